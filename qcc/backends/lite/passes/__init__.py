"""Passes that lower a graph for Paddle Lite: ordinary passes, each of use alone.

`qcc.backends.lite.lowering` puts them together.
"""
