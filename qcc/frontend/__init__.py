"""How models come in: Paddle's files in every layout, and what lives in a training script."""

from __future__ import annotations

from qcc.frontend.layer import from_layer, into_layer
from qcc.frontend.live import from_program
from qcc.frontend.saved import load

__all__ = ["from_layer", "from_program", "into_layer", "load"]
