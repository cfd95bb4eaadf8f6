"""How far two runs of a model agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Predictors round numbers this small to zero (the processor's denormals).
_NEGLIGIBLE = 1e-30

OTHER_LENGTHS = (
    "another number of detections than the model on this input, as one value on a rounding boundary can"
    " cause: compare the accuracy of both with `qcc eval`"
)
"""What to tell of a quantized model when `lengths` differ."""


@dataclass(frozen=True)
class Agreement:
    """Of all fetched arrays, the worst.

    `relative`: the largest difference, relative to the largest magnitude of the expected array.
    `distance`: the norm of the difference, relative to the norm of the expected array; unlike
    `relative` it is not ruled by the few elements behind a value that stood on a rounding boundary.
    `cosine`: of the angle between the two. `sound`: shapes and dtypes are those expected, and every
    value is finite where the expected one is.
    """

    relative: float
    distance: float
    cosine: float
    sound: bool

    def __str__(self) -> str:
        if not self.sound:
            return "values that are not finite, or of another shape or dtype"
        if self.relative == 0:
            return "equal"
        return f"difference {self.relative:.1e} of the largest value, cosine {self.cosine:.4f}"


def compare(arrays: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Agreement:
    """Compare the fetches of two runs, pair by pair."""
    pairs = [_compare(array, wanted) for array, wanted in zip(arrays, expected, strict=True)]
    return Agreement(
        max(pair.relative for pair in pairs),
        max(pair.distance for pair in pairs),
        min(pair.cosine for pair in pairs),
        all(pair.sound for pair in pairs),
    )


def lengths(outputs: Sequence[np.ndarray]) -> list[int]:
    """The first dimensions, which for one input differ only where the data decides on them."""
    return [len(np.atleast_1d(output)) for output in outputs]


def _compare(array: np.ndarray, expected: np.ndarray) -> Agreement:
    # Paddle 2.6 returns a scalar as [] or as [1], depending on who is asked.
    if array.size != expected.size or array.dtype != expected.dtype:
        return Agreement(np.inf, np.inf, 0.0, sound=False)
    left, right = array.ravel().astype(np.float64), expected.ravel().astype(np.float64)
    finite = np.isfinite(right)
    if not np.array_equal(np.isfinite(left), finite):
        return Agreement(np.inf, np.inf, 0.0, sound=False)
    left, right = left[finite], right[finite]
    difference = np.abs(left - right)
    difference[difference < _NEGLIGIBLE] = 0
    if not difference.any():
        return Agreement(0.0, 0.0, 1.0, sound=True)
    norms = float(np.linalg.norm(left)), float(np.linalg.norm(right))
    cosine = float(left @ right) / (norms[0] * norms[1]) if all(norms) else 0.0
    largest = max(float(np.abs(right).max()), _NEGLIGIBLE)
    return Agreement(
        float(difference.max()) / largest,
        float(np.linalg.norm(difference)) / max(norms[1], _NEGLIGIBLE),
        cosine,
        sound=True,
    )
