"""Ops that compute each element from those at the same place."""

from __future__ import annotations

OF_ONE = frozenset(
    {
        "abs", "assign", "cast", "clip", "dropout", "elu", "exp", "gelu", "hard_sigmoid", "hard_swish",
        "leaky_relu", "log", "mish", "pow", "relu", "relu6", "rsqrt", "scale", "selu", "sigmoid", "silu",
        "softplus", "softsign", "sqrt", "square", "swish", "tanh",
    }
)  # fmt: skip
"""Of one tensor, in `X`, and without an axis."""

OF_TWO = frozenset(f"elementwise_{kind}" for kind in ("add", "sub", "mul", "div", "max", "min", "pow"))
"""Of two, of which either may be broadcast, in `X` and `Y`."""
