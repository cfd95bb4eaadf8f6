"""A float model as the engine of a target reads it."""

from __future__ import annotations

from qcc.model import Model
from qcc.passes.manager import PassManager
from qcc.targets.table import Target

_ON_FLOATS = (
    "einsum-to-matmul",
    "fold-constants",
    "prune",
    "spell-out",
    "output-padding",
    "mul-to-matmul",
    "own-filters",
    "fewer-dims",
    "plain-copies",
)
"""What engines do not read, or compute wrongly, with floats as well."""


def float_for(model: Model, target: Target) -> Model:
    """A float model of Paddle as the target's engine reads it: by those passes of its pipeline that are about
    any model."""
    steps = PassManager.parse(target.pipeline).passes
    return PassManager(tuple(step for step in steps if step.name in _ON_FLOATS)).run(model)
