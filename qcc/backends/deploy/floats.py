"""A float model as the engine of a target reads it."""

from __future__ import annotations

from qcc.model import Model
from qcc.passes.manager import PassManager
from qcc.targets.table import Target

_ON_FLOATS = ("fold-constants", "prune", "mul-to-matmul")


def float_for(model: Model, target: Target) -> Model:
    """A float model of Paddle as the target's engine reads it: by those passes of its pipeline that are about
    any model."""
    steps = PassManager.parse(target.pipeline).passes
    return PassManager(tuple(step for step in steps if step.name in _ON_FLOATS)).run(model)
