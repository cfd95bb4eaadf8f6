"""How long models take in the engines of this machine, side by side."""
