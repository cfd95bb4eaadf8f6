"""What quantizing leaves of a range: of activations what is clipped, of weights how far channels differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qcc.analyze.twins import Layer
from qcc.calibrate.observers import Seen
from qcc.numerics import abs_max

_SHOWN_BINS = 64


@dataclass(frozen=True)
class Range:
    """An activation's values: `counts` of their magnitudes in bins of `width` from 0 on, int; `scale` is the
    threshold that was chosen, None where it is measured at every run, and `clipped` the share of the values
    beyond it."""

    smallest: float
    largest: float
    scale: float | None
    clipped: float
    counts: tuple[int, ...]
    width: float

    @staticmethod
    def of(seen: Seen, scale: float | None) -> Range:
        """From what was counted."""
        histogram = seen.histogram
        counts, total = seen.counts, histogram.total
        beyond = 0 if scale is None else int(counts[int(np.ceil(scale / histogram.width)) :].sum())
        used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 1
        together = -(-used // _SHOWN_BINS)
        padded = np.pad(counts[: together * _SHOWN_BINS], (0, max(0, together * _SHOWN_BINS - len(counts))))
        shown = padded.reshape(-1, together).sum(1)
        limits = (histogram.smallest, histogram.largest) if total else (0.0, 0.0)
        return Range(
            *limits,
            scale,
            beyond / total if total else 0.0,
            tuple(map(int, shown)),
            together * histogram.width,
        )

    def record(self) -> dict[str, Any]:
        """For programs."""
        return {**vars(self), "counts": list(self.counts)}


@dataclass(frozen=True)
class Spread:
    """The largest magnitude of each of a weight's channels; one number for a weight without channels."""

    peaks: tuple[float, ...]

    @staticmethod
    def of(layer: Layer) -> Spread:
        """Of the float weight, along the output's channels."""
        axis = layer.operands.channel_axis
        return Spread(tuple(map(float, abs_max(layer.weight, axis if axis < layer.weight.ndim else None))))

    @property
    def times(self) -> float:
        """How many times as large as that of the middle channel the largest one is: what one scale for all
        channels would take from the middle one."""
        middle = float(np.median(self.peaks))
        return max(self.peaks) / middle
