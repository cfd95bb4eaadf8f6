"""How models come in: Paddle's files in every layout, and programs that live in a training script."""

from __future__ import annotations

from qcc.frontend.live import from_program
from qcc.frontend.saved import load

__all__ = ["from_program", "load"]
