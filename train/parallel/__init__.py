"""Training in several processes at once, each on its part of every batch."""
