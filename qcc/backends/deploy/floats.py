"""A float model as the engine of a target reads it."""

from __future__ import annotations

from pathlib import Path

from qcc.backends import fluid
from qcc.model import Model
from qcc.passes.manager import PassManager
from qcc.targets.table import Target

_ON_FLOATS = (
    "einsum-to-matmul",
    "fold-constants",
    "constant-arguments",
    "fuse-activations",
    "prune",
    "spell-out",
    "output-padding",
    "mul-to-matmul",
    "flat-biases",
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


def write_float_for(model: Model, target: Target, folder: Path) -> Path:
    """Write what `float_for` gives in a folder, unchecked.  Returns the program's path."""
    return fluid.save(float_for(model, target), folder, "float", None, None, False).files[0]
