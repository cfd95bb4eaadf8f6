"""Passes that bring a graph into the form that an engine computes rightly."""
