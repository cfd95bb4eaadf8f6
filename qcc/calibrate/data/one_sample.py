"""Of some data one sample that shows what the others are like."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qcc.calibrate.data.batches import Batch, Item, spread
from qcc.model import Model

_LOOKED_AT = 5
"""So many show what most are like, and are soon read."""


def ordinary(found: Sequence[Item], read: Callable[[Item], Batch]) -> Item:
    """Of items that batches are read from, at least one, that whose batch varies as much as most do: no blank
    image, and none that was not normalised as the others were."""
    few = spread(found, _LOOKED_AT)
    return sorted(few, key=lambda one: _varies(read(one)))[len(few) // 2]


def _varies(batch: Batch) -> float:
    """How much the floating-point numbers of a batch vary, of all feeds together."""
    return sum(float(array.std()) for array in batch.values() if array.dtype.kind == "f" and array.size)


def one_sample(model: Model, batch: Batch) -> Batch:
    """A batch cut to one sample where the model takes any number of them."""
    shapes = {name: model.graph.versions(name)[0].shape for name in model.feeds}
    return {name: batch[name][:1] if shape[:1] == (-1,) else batch[name] for name, shape in shapes.items()}
