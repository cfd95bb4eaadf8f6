"""Fixing, once and on data, the scales that a model would measure at every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qcc.backends.lite.passes.static_scales import DYNAMIC, StaticScales
from qcc.calibration import Batch, largest_magnitudes
from qcc.graph import Graph
from qcc.model import Model
from qcc.nodes import Op
from qcc.passes.manager import PassManager


def dynamic_ops(graph: Graph) -> Iterator[Op]:
    """The ops that measure the scale of an activation at every run (activation_type=abs_max)."""
    for op in graph.ops:
        if op.type == DYNAMIC and not op.input("X").persistable:
            yield op


def calibrated(model: Model, batches: Iterable[Batch]) -> Model:
    """The model with fixed scales in place of those measured at every run; itself when it has none.

    A scale is the largest that any batch gives, so that nothing which the data holds is clipped. The
    model's history records the numbers, as options of the pass `static-scales`.

    Raises DataError when there is no batch, the model does not run on one, or a value is not finite.
    """
    names = list(dict.fromkeys(op.input("X").name for op in dynamic_ops(model.graph)))
    if not names:
        return model
    scales = largest_magnitudes(model, names, batches)
    entries = tuple(f"{name}={scale!r}" for name, scale in scales.items())
    return PassManager((StaticScales(scales=entries),)).run(model)
