"""How far two runs of a model are apart, and how far they may be.

Judged by distance: a direction (a cosine) is the same for an output that is 369 times too large.

The limit is measured, not thought of. Kernels round differently, and in a quantized model a value on a
rounding boundary then becomes the neighbouring integer; layer by layer the difference grows, on deep networks
to a good part of the output's range between two right answers. How far depends on the model and the input. So
it is seen how far the model's outputs move when nothing but the last bits of something change, and a run that
is further off than a small multiple of that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Predictors round numbers this small to zero (the processor's denormals).
_NEGLIGIBLE = 1e-30
# An output that varies by less than a hundredth of its values is judged by these, for its last bits count
# for more than its range.
_VARIES = 0.01

MULTIPLE = 8.0
"""What moves a model in the runs that are measured, and in the one that is judged, is noise of the same kind,
but measured few times: another draw is seldom larger than the largest of a few by more than a few times."""

ROUNDING = 1e-5
"""Sums of float32 in another order: of n products, they differ by about sqrt(n) * 6e-8 of their range, with
n up to 20,000 or so in convolutional networks."""

FEW = 16
"""In an output of so few elements, such as a classifier's scores, the largest difference is one draw of noise
and not the largest of many, and the norm says nothing that this does not say."""

MANY = 10_000
"""In an output of so many elements, such as the map of a segmenter, those at an edge may be off by all of the
range where the others are right; how many are, the mean says."""

MOST = 0.5
"""An output that is off by half of its range is wrong however far the model moves by itself."""


@dataclass(frozen=True)
class Distance:
    """How far an output is off.

    `largest` and `mean` are those of the differences of its elements, relative to the range of the values
    that are expected (their largest minus their smallest); of integers and booleans, the share that differs.
    `norms`: how far the ratio of the norms, found to expected, is from 1; 0 of `FEW` elements. All are
    infinite where shapes or dtypes are others than expected, or what is not finite is not the same.
    """

    largest: float = 0.0
    mean: float = 0.0
    norms: float = 0.0
    ratio: float = 1.0

    @property
    def sound(self) -> bool:
        return bool(np.isfinite(self.largest))

    def times(self, factor: float) -> Distance:
        """As a limit: so many times as far, but at most `MOST`."""
        return Distance(*(min(factor * seen, MOST) for seen in (self.largest, self.mean, self.norms)))

    def within(self, limit: Distance) -> bool:
        """Whether this is nowhere further than `limit`."""
        return self.largest <= limit.largest and self.mean <= limit.mean and self.norms <= limit.norms

    def __str__(self) -> str:
        if not self.sound:
            return "values that are not finite, or of another shape or dtype"
        if self.largest == 0:
            return "equal"
        size = f", {self.ratio:.3g} times as large" if abs(self.ratio - 1) > 0.01 else ""
        return f"off by {self.largest:.1e} of the range, {self.mean:.1e} on average{size}"


_UNSOUND = Distance(np.inf, np.inf, np.inf, 0.0)


def differences(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How far the numbers of two arrays of one shape are apart, float64, in which those of float16 have room:
    0 where both are the same that is not finite, such as the minus infinity of what is masked out, and
    infinite where one alone is not finite, or both are, but not the same."""
    left, right = found.astype(np.float64), wanted.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    apart = np.abs(np.subtract(left, right, out=np.zeros_like(left), where=~same))
    return np.where(np.isnan(apart), np.inf, apart)


def distances(arrays: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> list[Distance]:
    """The distances of the fetches of two runs, pair by pair."""
    return [_distance(array, wanted) for array, wanted in zip(arrays, expected, strict=True)]


def furthest(*found: Distance) -> Distance:
    """In each respect the largest."""
    worst = max(found, key=lambda one: one.largest)
    return Distance(
        worst.largest,
        max(one.mean for one in found),
        max(one.norms for one in found),
        max((one.ratio for one in found), key=lambda ratio: abs(ratio - 1)),
    )


def limits(movements: Iterable[Sequence[Distance]], floor: float) -> list[Distance]:
    """How far each output may be off, when the model itself has been seen to move so far (some times all
    outputs): a small multiple of that, at least `floor`, and at most `MOST`."""
    return [_limit(furthest(*seen), floor) for seen in zip(*movements, strict=True)]


def last_bit(output: np.ndarray) -> Distance:
    """How far an output of float16 may be off because a sum is rounded to the number beside."""
    if output.dtype != np.float16:
        return Distance()
    bit = float(np.finfo(np.float16).eps)
    return Distance(bit, bit, bit)


def _limit(movement: Distance, floor: float) -> Distance:
    return furthest(movement.times(MULTIPLE), Distance(floor, floor, floor))


def _distance(array: np.ndarray, expected: np.ndarray) -> Distance:
    if not _is_shaped_like(array, expected) or array.dtype != expected.dtype:
        return _UNSOUND
    if expected.dtype.kind not in "fc":
        share = float(np.mean(array.ravel() != expected.ravel())) if expected.size else 0.0
        return Distance(share, share)
    left, right = _numbers(array), _numbers(expected)
    difference = differences(left, right)
    if not np.isfinite(difference).all():
        return _UNSOUND
    finite = np.isfinite(right)
    left, right, difference = left[finite], right[finite], difference[finite]
    difference[difference < _NEGLIGIBLE] = 0
    if not difference.any():
        return Distance()
    scale = range_of(right)
    norms = float(np.linalg.norm(left)), float(np.linalg.norm(right))
    ratio = norms[0] / norms[1] if norms[1] > _NEGLIGIBLE else np.inf
    apart = 0.0 if array.size <= FEW else abs(ratio - 1)
    return Distance(float(difference.max()) / scale, float(difference.mean()) / scale, apart, ratio)


def _numbers(array: np.ndarray) -> np.ndarray:
    """The elements as float64; a complex one is two."""
    if array.dtype.kind == "c":
        return array.ravel().astype(np.complex128).view(np.float64)
    return array.ravel().astype(np.float64)


def _is_shaped_like(array: np.ndarray, expected: np.ndarray) -> bool:
    """Paddle 2.6 returns a scalar as [] or as [1], depending on who is asked."""
    return array.shape == expected.shape or {array.shape, expected.shape} == {(), (1,)}


def range_of(values: np.ndarray) -> float:
    """Of the values that are expected: what differences are relative to. Where nothing is found, of none."""
    if not values.size:
        return _NEGLIGIBLE
    varies, size = float(np.ptp(values)), float(np.abs(values).max())
    return max(varies if varies > _VARIES * size else size, _NEGLIGIBLE)
