"""How far a quantized model is from the float one on data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from qcc.backends.agreement import differences, range_of
from qcc.backends.heads import heads_and_parts, scores_classes
from qcc.calibrate.data.batches import Batch
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
    well as behind it; of what a concat joins of very different sizes, such as boxes in pixels and scores, the
    small ones by themselves as well."""
    (found,) = compare_each(model, [quantized], batches)
    return found


def compare_each(model: Model, quantized: Sequence[Model], batches: Iterable[Batch]) -> list[list[Agreement]]:
    """Run a model and each of several others on some batches, and compare each with it, as `compare` does.
    Outputs are held of one batch at a time: maps of classes are large."""
    runner, others = Runner(model), [Runner(one) for one in quantized]
    names: tuple[str, ...] | None = None
    sums: list[dict[str, _Sums]] = [{} for _ in quantized]
    for batch in batches:
        inputs = {name: batch[name] for name in model.feeds}
        if names is None:
            names = heads_and_parts(model.graph, partial(runner.run, inputs))
            for one, seen in zip(quantized, sums, strict=True):
                kept = (name for name in names if name in one.graph)
                seen.update((name, _Sums(scores_classes(model.graph, name))) for name in kept)
        wanted = dict(zip(names, runner.run(inputs, names), strict=True))
        for other, seen in zip(others, sums, strict=True):
            for name, found in zip(seen, other.run(inputs, tuple(seen)), strict=True):
                seen[name].add(found, wanted[name])
    return [[one.agreement(name) for name, one in seen.items()] for seen in sums]


@dataclass
class _Sums:
    """What has been seen of an output so far: of its values, and of their differences.

    `low`, `high`, `mean` and `spread`, the sum of the squares of what differs from the mean, are those of the
    float model's values; `same`: the number of rows with the same class, of so many `rows`.
    """

    of_classes: bool
    sound: bool = True
    count: int = 0
    largest: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    mean: float = 0.0
    spread: float = 0.0
    same: int = 0
    rows: int = 0

    def add(self, found: np.ndarray, wanted: np.ndarray) -> None:
        """Count what both give on a batch."""
        if self.of_classes:
            same = same_class(wanted, found)
            self.same, self.rows = self.same + int(np.count_nonzero(same)), self.rows + same.size
        # Paddle 2.6 returns a scalar as [] or as [1], depending on who is asked.
        if found.size != wanted.size or found.dtype != wanted.dtype:
            self.sound = False
        elif wanted.dtype.kind != "f":
            differ = int(np.count_nonzero(found.ravel() != wanted.ravel()))
            self.count, self.total = self.count + wanted.size, self.total + differ
        else:
            self._add_floats(found.ravel(), wanted.ravel())

    def _add_floats(self, found: np.ndarray, wanted: np.ndarray) -> None:
        off = differences(found, wanted)
        self.sound &= bool(np.isfinite(off).all())
        known = np.isfinite(found) & np.isfinite(wanted)
        # Squares of small and of large numbers are none of float32.
        off, exact = off[known], wanted[known].astype(np.float64)
        if not exact.size:
            return
        self.largest = max(self.largest, float(off.max()))
        self.total += float(off.sum())
        self.squares += float(np.dot(off, off))
        self.low, self.high = min(self.low, float(exact.min())), max(self.high, float(exact.max()))
        # The spread of all is that within both parts, and that between their means.
        mean, count = float(exact.mean()), self.count + exact.size
        exact -= mean
        step = mean - self.mean
        self.spread += float(np.dot(exact, exact)) + step**2 * self.count * exact.size / count
        self.mean += step * exact.size / count
        self.count = count

    def agreement(self, output: str) -> Agreement:
        """Of all batches."""
        same = self.same / max(self.rows, 1) if self.of_classes else None
        noise = float(np.sqrt(self.squares / self.spread)) if self.high > self.low and self.spread else None
        if not self.sound:
            return Agreement(output, np.inf, np.inf, noise, same)
        if self.low > self.high:  # of integers, or of nothing
            share = self.total / max(self.count, 1)
            return Agreement(output, share, share, None, same)
        scale = range_of(np.array([self.low, self.high]))
        return Agreement(output, self.largest / scale, self.total / max(self.count, 1) / scale, noise, same)


def same_class(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Of each row, whether its largest value stands in the same place; never, where there are not as many
    rows, for their number may depend on the values."""
    if wanted.shape != found.shape:
        return np.zeros(wanted.size // wanted.shape[-1], bool)
    return (wanted.argmax(-1) == found.argmax(-1)).reshape(-1)
