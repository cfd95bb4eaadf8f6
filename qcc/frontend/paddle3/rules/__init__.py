"""What converts each op that is not one of Paddle 2.6 under other names."""

from __future__ import annotations

from qcc.frontend.paddle3.rules import (  # noqa: F401  (each registers its rules)
    activations,
    arrays,
    attention,
    control,
    creation,
    elementwise,
    indexing,
    interface,
    layers,
    picking,
    quantization,
    reductions,
    resizing,
    sampling,
    shapes,
)
from qcc.frontend.paddle3.rules.refused import why_not
from qcc.frontend.paddle3.rules.registry import RULES

__all__ = ["RULES", "why_not"]
