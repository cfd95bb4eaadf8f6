"""Data sets: where they come from (`cache`) and how they are read."""
