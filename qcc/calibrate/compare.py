"""How far a quantized model is from the float one on data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qcc.backends.agreement import distances
from qcc.backends.heads import heads, scores_classes
from qcc.calibrate.data.batches import Batch
from qcc.ir.graph import Graph
from qcc.model import Model, Runner


@dataclass(frozen=True)
class Agreement:
    """Of one output: the largest and the mean difference over all batches, relative to the range of the
    float model's values on all; and of a classifier's, the share of rows whose largest value stands in the
    same place, None for other outputs."""

    output: str
    largest: float
    mean: float
    same_class: float | None

    def __str__(self) -> str:
        words = (
            f"{self.output}: off by {self.mean:.2%} of its range on average, at most by {self.largest:.2%}"
        )
        return words if self.same_class is None else f"{words}; same class in {self.same_class:.1%}"


def compare(model: Model, quantized: Model, batches: Iterable[Batch]) -> list[Agreement]:
    """Run both on some batches, and compare the outputs: in front of an NMS, and in front of a softmax as
    well as behind it."""
    names = tuple(name for name in heads(model.graph) if name in quantized.graph)
    runners = Runner(model), Runner(quantized)
    pairs: list[tuple[list[np.ndarray], ...]] = []
    for batch in batches:
        inputs = {name: batch[name] for name in model.feeds}
        pairs.append(tuple(runner.run(inputs, names) for runner in runners))
    if not pairs:
        return []
    return [
        _agreement(
            model.graph, name, [wanted[index] for wanted, _ in pairs], [found[index] for _, found in pairs]
        )
        for index, name in enumerate(names)
    ]


def _agreement(graph: Graph, name: str, wanted: list[np.ndarray], found: list[np.ndarray]) -> Agreement:
    (distance,) = distances(*([np.concatenate([one.ravel() for one in side])] for side in (found, wanted)))
    same = same_class_of(graph, name, wanted, found)
    return Agreement(name, distance.largest, distance.mean, same)


def same_class_of(graph: Graph, name: str, wanted: list[np.ndarray], found: list[np.ndarray]) -> float | None:
    """The share of rows of an output's batches whose largest value stands in the same place; None for an
    output that is no scores of classes."""
    if not scores_classes(graph, name):
        return None
    return float(np.mean(np.concatenate(list(map(_same_class, wanted, found)))))


def _same_class(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Of each row, whether its largest value stands in the same place; never, where there are not as many
    rows, for their number may depend on the values."""
    if wanted.shape != found.shape:
        return np.zeros(wanted.size // wanted.shape[-1], bool)
    return (wanted.argmax(-1) == found.argmax(-1)).reshape(-1)
