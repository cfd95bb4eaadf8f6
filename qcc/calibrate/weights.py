"""Weights rounded to the nearest integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.calibrate.plan import Plan
from qcc.numerics import dequantize_weight, even_weight, quantize_weight
from qcc.passes.fake_quant import Quantizer
from qcc.passes.scales import weight_scale

BITS = 8


@dataclass(frozen=True)
class Rounded:
    """`integers` of a weight, float32 as Paddle keeps them, and their `scale`, one for each output channel,
    along `axis`."""

    integers: np.ndarray
    scale: np.ndarray
    axis: int | None

    @property
    def values(self) -> np.ndarray:
        """What the integers stand for."""
        return dequantize_weight(self.integers, self.scale, BITS, self.axis)


def nearest(plan: Plan, name: str, axis: int | None) -> Rounded:
    """A weight as the plan rounds it, with channels along `axis`: to even integers where the target halves
    them."""
    value = plan.folded.weights[name]
    scale = weight_scale(value, Quantizer("channel_wise_abs_max", BITS, axis))
    rounded = even_weight if name in plan.even else quantize_weight
    return Rounded(rounded(value, scale, BITS, axis), scale, axis)
