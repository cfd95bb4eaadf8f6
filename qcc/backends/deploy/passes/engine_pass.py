"""What the passes for engines have in common."""

from __future__ import annotations

from typing import ClassVar

from qcc.passes.base import Pass


class EnginePass(Pass):
    """A pass that writes around what an engine that runs Paddle's models gets wrong."""

    backend: ClassVar[str | None] = "engines"
