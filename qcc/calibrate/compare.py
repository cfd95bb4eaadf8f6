"""How far a quantized model is from the float one on data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qcc.backends.agreement import distances
from qcc.backends.heads import heads, scores_classes
from qcc.calibrate.data.batches import Batch
from qcc.ir.graph import Graph
from qcc.model import Model, Runner

_NOISY = 0.2
"""Networks that find on photos what they found are off by 2 to 6 %, a detector that lost a quarter of its
boxes by 30 to 70 % (PicoDet, whose maps were off by half a percent of their range)."""
_SAME = 0.9
"""Classifiers that are sure of what they say give another class for less than one image in a hundred, one of
the directions of short texts, which is undecided in many, for six (PP-OCR's)."""


@dataclass(frozen=True)
class Agreement:
    """Of one output: the largest and the mean difference over all batches, relative to the range of the
    float model's values on all; and of a classifier's, the share of rows whose largest value stands in the
    same place, None for other outputs.

    `noise`: the root mean square of the difference, relative to that of what the float model's values differ
    from their mean, as far as both are finite; None where they do not. Its square is the reciprocal of the
    signal-to-quantization-noise ratio. Of a map that is zero nearly everywhere it tells what a mean hides.
    """

    output: str
    largest: float
    mean: float
    noise: float | None
    same_class: float | None

    def __str__(self) -> str:
        words = (
            f"{self.output}: off by {self.mean:.2%} of its range on average, at most by {self.largest:.2%}"
        )
        if self.noise is not None:
            words += f", and by {self.noise:.1%} of how much it varies"
        return words if self.same_class is None else f"{words}; same class in {self.same_class:.1%}"


def noisy(agreement: Sequence[Agreement], remedy: str) -> Iterator[str]:
    """What to say of outputs whose noise is much, and of those that often tell another class; `remedy`: what
    may help."""
    found = [one for one in agreement if one.same_class is None and (one.noise or 0) > _NOISY]
    if found:
        worst = max(found, key=lambda one: one.noise or 0)
        others = f", and {len(found) - 1} more by over {_NOISY:.0%}" if len(found) > 1 else ""
        yield (
            f"the output {worst.output!r} is off by {worst.noise:.0%} of how much it varies{others}, which is"
            f" much, however little of its range it is. {remedy}"
        )
    classes = {one.output: one.same_class for one in agreement if one.same_class is not None}
    least = min(classes, key=classes.__getitem__, default=None)
    if least is not None and classes[least] < _SAME:
        yield (
            f"the largest number of {least!r}, which is the class of a classifier, is another one than in"
            f" float in {1 - classes[least]:.0%} of what was compared. {remedy}"
        )


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
    values, exact = (np.concatenate([one.ravel() for one in side]) for side in (found, wanted))
    (distance,) = distances([values], [exact])
    same = same_class_of(graph, name, wanted, found)
    return Agreement(name, distance.largest, distance.mean, _noise(values, exact), same)


def _noise(values: np.ndarray, exact: np.ndarray) -> float | None:
    if values.shape != exact.shape or exact.dtype.kind != "f":
        return None
    finite = np.isfinite(values) & np.isfinite(exact)
    # Squares of small and of large numbers are none of float32.
    values, exact = (one[finite].astype(np.float64) for one in (values, exact))
    varies = exact - exact.mean() if exact.size and np.ptp(exact) else np.zeros(0)
    return float(np.linalg.norm(values - exact) / np.linalg.norm(varies)) if varies.any() else None


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
