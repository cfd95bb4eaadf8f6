"""How far a quantized model's outputs are from the float one's, as one number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qcc.backends.heads import heads
from qcc.calibrate.collect import Numbered
from qcc.calibrate.compare import same_class_of
from qcc.model import Model, Runner


class Judge:
    """Compares models with the float one on some batches, by the outputs in front of an NMS, and in front of
    a softmax as well as behind it; what the float one computes is kept."""

    def __init__(self, model: Model, batches: Sequence[Numbered]) -> None:
        self._graph, self._batches = model.graph, batches
        self._names = heads(model.graph)
        runner = Runner(model)
        self._wanted = [runner.run(self._inputs(batch), self._names) for batch in batches]

    def error(self, model: Model) -> float:
        """The mean difference of the outputs, relative to the mean deviation of the float model's from their
        mean, the mean of all outputs; of an output of integers, the share that differs.

        Not the root mean square, which a few images that are hard for any quantization would decide.
        """
        return float(np.mean([self._relative(*pair) for pair in zip(*self._sides(model), strict=True)]))

    def agreement(self, model: Model) -> float:
        """Of a classifier, the share of rows whose largest value stands in the same place; of other networks,
        1 - error. At most 1."""
        wanted, found = self._sides(model)
        shares = [
            same
            for name, left, right in zip(self._names, wanted, found, strict=True)
            if (same := same_class_of(self._graph, name, left, right)) is not None
        ]
        if shares:
            return min(shares)
        errors = [self._relative(left, right) for left, right in zip(wanted, found, strict=True)]
        return 1 - float(np.mean(errors))

    def _inputs(self, batch: Numbered) -> dict[str, np.ndarray]:
        given = batch.read()
        return {name: given[name] for name in self._graph.feeds}

    def _sides(self, model: Model) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
        """By output, what the float model and the other one compute of each batch."""
        runner = Runner(model)
        found = [runner.run(self._inputs(batch), self._names) for batch in self._batches]
        return [list(one) for one in zip(*self._wanted, strict=True)], [
            list(one) for one in zip(*found, strict=True)
        ]

    @staticmethod
    def _relative(wanted: list[np.ndarray], found: list[np.ndarray]) -> float:
        left, right = (np.concatenate([one.reshape(-1) for one in side]) for side in (wanted, found))
        if left.dtype.kind != "f":
            return float(np.mean(left != right)) if left.shape == right.shape else 1.0
        deviation = float(np.abs(left - left.mean(dtype=np.float64)).mean())
        difference = float(np.abs(left - right).mean(dtype=np.float64))
        return difference / (deviation or float(np.abs(left).max(initial=0)) or 1.0)
