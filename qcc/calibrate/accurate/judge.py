"""How far a quantized model's outputs are from the float one's, as one number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qcc.backends.heads import heads
from qcc.calibrate.collect import Numbered
from qcc.calibrate.compare import same_class_of
from qcc.model import Model, Runner

Side = tuple[str, list[np.ndarray], list[np.ndarray]]


class Judge:
    """Compares models with the float one on some batches, by the outputs in front of an NMS, and in front of
    a softmax as well as behind it; what the float one computes is kept."""

    def __init__(self, model: Model, batches: Sequence[Numbered]) -> None:
        self._graph, self._batches = model.graph, batches
        self._names = heads(model.graph)
        runner = Runner(model)
        self._wanted = [runner.run(self._inputs(batch), self._names) for batch in batches]

    @property
    def names(self) -> list[str]:
        """What the batches are called."""
        return [batch.name for batch in self._batches]

    def error(self, model: Model) -> float:
        """The mean difference of the outputs, relative to the mean deviation of the float model's from their
        mean, the mean of all outputs; of an output of integers, the share that differs. It is 1 of an output
        whose shape differs, as it may where rounding decides how much is found, and infinite of one of floats
        that holds a number that is not finite.

        Not the root mean square, which a few images that are hard for any quantization would decide.
        """
        return self._mean_of(self._sides(model))

    def agreement(self, model: Model) -> float:
        """Of a classifier, the share of rows whose largest value stands in the same place; of other networks,
        1 - error. At most 1."""
        sides = self._sides(model)
        shares = [
            same
            for name, wanted, found in sides
            if (same := same_class_of(self._graph, name, wanted, found)) is not None
        ]
        return min(shares) if shares else 1 - self._mean_of(sides)

    def _inputs(self, batch: Numbered) -> dict[str, np.ndarray]:
        given = batch.read()
        return {name: given[name] for name in self._graph.feeds}

    def _sides(self, model: Model) -> list[Side]:
        """Each output that both models have, and what the float model and the other one compute."""
        runner, names = Runner(model), tuple(name for name in self._names if name in model.graph)
        found = [runner.run(self._inputs(batch), names) for batch in self._batches]
        places = [self._names.index(name) for name in names]
        return [
            (name, [one[place] for one in self._wanted], [one[number] for one in found])
            for number, (name, place) in enumerate(zip(names, places, strict=True))
        ]

    def _mean_of(self, sides: list[Side]) -> float:
        return float(np.mean([self._relative(wanted, found) for _, wanted, found in sides]))

    @staticmethod
    def _relative(wanted: list[np.ndarray], found: list[np.ndarray]) -> float:
        if any(left.shape != right.shape for left, right in zip(wanted, found, strict=True)):
            return 1.0
        left, right = (np.concatenate([one.reshape(-1) for one in side]) for side in (wanted, found))
        if not left.size:
            return 0.0
        if left.dtype.kind != "f":
            return float(np.mean(left != right))
        if not (np.isfinite(left).all() and np.isfinite(right).all()):
            return math.inf
        deviation = float(np.abs(left - left.mean(dtype=np.float64)).mean())
        difference = float(np.abs(left - right).mean(dtype=np.float64))
        return difference / (deviation or float(np.abs(left).max(initial=0)) or 1.0)
