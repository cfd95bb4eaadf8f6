"""How far a quantized model is from the float one on data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qcc.backends.agreement import distances
from qcc.backends.heads import heads
from qcc.calibrate.batches import Batch
from qcc.ir.graph import Graph
from qcc.model import Model, Runner

_FEWEST_CLASSES = 2


@dataclass(frozen=True)
class Agreement:
    """Of one output: the means over the batches of the largest and the mean difference, relative to the
    range of the float model's values; and of a classifier's, the share of rows whose largest value stands
    in the same place, None for other outputs."""

    output: str
    largest: float
    mean: float
    same_class: float | None

    def __str__(self) -> str:
        words = (
            f"{self.output}: off by {self.mean:.2%} of the range on average, at most by {self.largest:.2%}"
        )
        return words if self.same_class is None else f"{words}; same class in {self.same_class:.1%}"


def compare(model: Model, quantized: Model, batches: Iterable[Batch]) -> list[Agreement]:
    """Run both on some batches, and compare the outputs: in front of an NMS, and in front of a softmax as
    well as behind it."""
    names = tuple(name for name in heads(model.graph) if name in quantized.graph)
    runners = Runner(model), Runner(quantized)
    classes = [_is_classes(model.graph, name) for name in names]
    rows: list[list[tuple[float, float, float]]] = [[] for _ in names]
    for batch in batches:
        inputs = {name: batch[name] for name in model.feeds}
        wanted, found = (runner.run(inputs, names) for runner in runners)
        for row, one, right, left in zip(rows, distances(found, wanted), wanted, found, strict=True):
            row.append((one.largest, one.mean, _same_class(right, left)))
    return [
        _agreement(name, np.array(row), counted)
        for name, row, counted in zip(names, rows, classes, strict=True)
        if row
    ]


def _agreement(name: str, rows: np.ndarray, classes: bool) -> Agreement:
    largest, mean, same = rows.mean(0).tolist()
    return Agreement(name, largest, mean, same if classes else None)


def _is_classes(graph: Graph, name: str) -> bool:
    """True for an output of scores: [batch, classes], or [batch, places, classes]."""
    shape = graph.var(name).shape
    return len(shape) in (2, 3) and shape[-1] >= _FEWEST_CLASSES


def _same_class(right: np.ndarray, left: np.ndarray) -> float:
    if right.ndim < 1 or right.shape != left.shape or not right.size:
        return 0.0
    return float(np.mean(right.argmax(-1) == left.argmax(-1)))
