"""Effort accurate: what is done to a network, beyond choosing scales, so that rounding moves it less."""
