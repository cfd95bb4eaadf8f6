"""What the passes that lower a graph for Paddle Lite have in common."""

from __future__ import annotations

from typing import ClassVar

from qcc.passes.base import Pass


class LitePass(Pass):
    """A pass that serves Paddle Lite.

    Most make what Paddle's executor does not know, such as calib ops, or does not look at, such as the bias
    of a convolution outside oneDNN. The others say `runs_in_paddle = True`, and a test runs them.
    """

    backend: ClassVar[str | None] = "lite"
    runs_in_paddle: ClassVar[bool] = False
