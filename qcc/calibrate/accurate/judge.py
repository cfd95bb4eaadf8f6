"""How far a quantized model's outputs are from the float one's, as one number."""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

import numpy as np

from qcc.backends.agreement import differences
from qcc.backends.heads import heads, heads_and_parts, may_be_no_scores, scores_classes, values_on
from qcc.calibrate.collect import Numbered
from qcc.calibrate.compare import same_class
from qcc.model import Model, Runner

Outputs = Mapping[str, np.ndarray]
_ALIGNMENT = 64


class Judge:
    """Compares models with the float one on some batches, by the outputs in front of an NMS, and in front of
    a softmax as well as behind it, and by the parts of an output that are small beside the rest of it; what
    the float one computes is kept, in a temporary file."""

    def __init__(self, model: Model, batches: Sequence[Numbered]) -> None:
        self._graph, self.batches = model.graph, batches
        self.heads = self._compared(model)
        self._wanted = _kept(self._run(model))
        self._units = {name: _unit([one[name] for one in self._wanted]) for name in self.heads}

    @property
    def names(self) -> list[str]:
        """What the batches are called."""
        return [batch.name for batch in self.batches]

    @property
    def scores_classes(self) -> bool:
        """Whether `agreement` counts rows with equal classes."""
        return any(scores_classes(self._graph, name) for name in self.heads)

    @property
    def may_be_no_scores(self) -> list[str]:
        """The outputs whose rows `agreement` counts for their shape alone."""
        return [name for name in self.heads if may_be_no_scores(self._graph, name)]

    def inputs(self, batch: Numbered) -> dict[str, np.ndarray]:
        """What the model is fed with."""
        given = batch.read()
        return {name: given[name] for name in self._graph.feeds}

    def error(self, model: Model) -> float:
        """The mean difference of the outputs, relative to the mean deviation of the float model's from their
        mean, the mean of all outputs; of an output of integers, the share that differs. It is 1 of an output
        whose shape differs, as it may where rounding decides how much is found, and infinite of one of floats
        that holds a number that is not finite, and not the same of the float model, as where a mask is.

        Not the root mean square, which a few images that are hard for any quantization would decide.
        """
        return self.error_of(self.off(place, found) for place, found in enumerate(self._run(model)))

    def agreement(self, model: Model) -> float:
        """Of a classifier, the share of rows whose largest value stands in the same place; of other networks,
        1 - error. At most 1."""
        names = [name for name in self.heads if name in model.graph and scores_classes(self._graph, name)]
        same: dict[str, list[np.ndarray]] = {name: [] for name in names}
        off = []
        for place, found in enumerate(self._run(model)):
            off.append(self.off(place, found))
            for name, rows in same.items():
                rows.append(same_class(self._wanted[place][name], found[name]))
        if names:
            return min(float(np.mean(np.concatenate(rows))) for rows in same.values())
        return 1 - self.error_of(off)

    def off(self, place: int, found: Outputs) -> np.ndarray:
        """How far outputs are off on the batch at a place: for each of them the sum of the differences, in
        the unit that `error` is relative to, and the number of elements, float64 [outputs, 2]. The sum is nan
        where the shape differs."""
        rows = []
        for name in self.heads:
            if name in found:
                wanted = self._wanted[place][name]
                rows.append((_difference(wanted, found[name], self._units[name]), float(wanted.size)))
        return np.array(rows, np.float64).reshape(-1, 2)

    @staticmethod
    def error_of(parts: Iterable[np.ndarray]) -> float:
        """The error on several batches, by what `off` gave for each."""
        sums, sizes = np.sum(list(parts), 0).T
        shares = np.where(np.isnan(sums), 1.0, sums / np.maximum(sizes, 1))
        return float(np.mean(shares))

    def _compared(self, model: Model) -> tuple[str, ...]:
        if not self.batches:
            return heads(model.graph)
        return heads_and_parts(model.graph, values_on(model, self.batches[0].read))

    def _run(self, model: Model) -> Iterable[Outputs]:
        """Of each batch, the outputs that both models have."""
        runner, names = Runner(model), tuple(name for name in self.heads if name in model.graph)
        for batch in self.batches:
            yield dict(zip(names, map(np.asarray, runner.run(self.inputs(batch), names)), strict=True))


def _kept(runs: Iterable[Outputs]) -> list[Outputs]:
    """The same arrays, as they lie in a temporary file: many maps of classes are larger than memory. The file
    is mapped once, as each map takes a descriptor, of which a process may have a thousand."""
    with tempfile.TemporaryFile() as file:
        places = [
            {name: (_written(file, one), one.dtype, one.shape) for name, one in run.items()} for run in runs
        ]
        file.flush()
        lent = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.tell() else b""
    return [
        {name: np.ndarray(shape, dtype, lent, offset) for name, (offset, dtype, shape) in run.items()}
        for run in places
    ]


def _written(file: IO[bytes], array: np.ndarray) -> int:
    """Where in the file the array lies from now on: behind what is there."""
    file.seek(-(-file.tell() // _ALIGNMENT) * _ALIGNMENT)
    start = file.tell()
    file.write(np.ascontiguousarray(array).data)
    return start


def _unit(wanted: Sequence[np.ndarray]) -> float:
    """What the error of an output is relative to, by what is finite of it; 1 for integers."""
    if wanted[0].dtype.kind != "f":
        return 1.0
    size = sum(_known(one).size for one in wanted)
    if not size:
        return 1.0
    mean = sum(_known(one).sum(dtype=np.float64) for one in wanted) / size
    deviation = sum(np.abs(np.subtract(_known(one), mean, dtype=np.float64)).sum() for one in wanted) / size
    return float(deviation or max(np.abs(_known(one)).max(initial=0) for one in wanted) or 1.0)


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _difference(wanted: np.ndarray, found: np.ndarray, unit: float) -> float:
    if wanted.shape != found.shape:
        return math.nan
    if wanted.dtype.kind != "f":
        return float(np.count_nonzero(wanted != found))
    return float(differences(found, wanted).sum()) / unit
