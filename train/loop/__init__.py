"""The epoch loop: steps, progress, journals, checkpoints, and how a run ends early."""
