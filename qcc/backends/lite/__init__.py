"""Paddle Lite's naive buffer: writing, reading, checking and running `.nb` files."""
