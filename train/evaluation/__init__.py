"""Evaluating, timing and running any form of a network, and the tables and pictures of that."""
