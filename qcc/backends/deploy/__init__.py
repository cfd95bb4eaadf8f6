"""Models for a named engine: what of them runs there, and the form in which it is right there."""
