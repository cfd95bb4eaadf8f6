"""Scales, rounding and clipping: the one definition that passes, backends and calibration share.

Quantization is symmetric: with b bits the integers run from -max_int(b) to max_int(b), and a scale
is the largest magnitude that they stand for, so that x ~ integer * scale / max_int(b).

Formulas are those of Paddle 2.6: the CPU kernels of `fake_quantize_op.h` and
`fake_dequantize_op.h`, and for weights `paddle/static/quantization/utils.py`. All arithmetic is
float32, in the kernels' order, because a different order rounds differently.
"""

from __future__ import annotations

import math

import numpy as np

SCALE_FLOOR = np.float32(1e-8)
"""Stands in for the scale of a tensor or channel that is all zero (`quant_tensor` in utils.py)."""

# Up to here the kernels divide not by the scale but by the scale + 1e-6 (`inverse` in fake_quantize_op.h),
# which makes all integers 0.
_NO_SCALE = np.float32(1e-30)

UNOBSERVED_SCALE = np.float32(0.001)
"""What an activation's scale holds until a training step has observed one (`_SCALE_DEFAULT_VALUE`)."""


def max_int(bits: int) -> int:
    """Largest integer of a symmetric quantization: 127 for 8 bits."""
    return 2 ** (bits - 1) - 1


def linear_range(bits: int) -> tuple[int, int]:
    """The integers at which quantize_linear clips, its `qmin` and `qmax`: (-128, 127) for 8 bits."""
    return -max_int(bits) - 1, max_int(bits)


def bits_for(q: np.ndarray) -> int:
    """The fewest bits (at least 2) whose symmetric range holds the integers q.

    For -128 they are 8: INT8 holds it, and quantize_linear clips there. What is not finite is no integer, and
    does not count.
    """
    known = q[np.isfinite(q)]
    highest, lowest = int(np.max(known, initial=0)), int(np.min(known, initial=0))
    return max(2, max(highest, -lowest - (lowest == -128)).bit_length() + 1)


def _per_channel(scale: np.ndarray, axis: int | None, ndim: int) -> np.ndarray:
    """Shape a scale so that it broadcasts along `axis`; None means one scale for all."""
    if axis is None:
        return scale.reshape(())
    shape = [1] * ndim
    shape[axis] = scale.size
    return scale.reshape(shape)


def usable_scale(magnitude: np.ndarray | float) -> np.ndarray:
    """The scale, float32, for a largest magnitude: that itself.

    A magnitude of 0, or one that the kernels take for 0, becomes `SCALE_FLOOR`: the integers are 0
    either way, and a scale is positive.
    """
    scale = np.asarray(magnitude, np.float32)
    return np.where(scale <= _NO_SCALE, SCALE_FLOOR, scale)


def abs_max(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The `usable_scale` of max|x|: shape [1], or [channels] along `axis`."""
    if axis is None:
        scale = np.max(np.abs(x), initial=0.0).reshape(1)
    else:
        others = tuple(dim for dim in range(x.ndim) if dim != axis)
        scale = np.max(np.abs(x), axis=others, initial=0.0)
    return usable_scale(scale)


def quantize_weight(w: np.ndarray, scale: np.ndarray, bits: int, axis: int | None = None) -> np.ndarray:
    """Offline weight quantization: float32 integers of w's shape, round(clip(w) / scale * max_int).

    Ties round to even (`quant_tensor` and `np.round` in Paddle's freeze). `scale` is float32, [1] or
    [channels] along `axis`.
    """
    s = _per_channel(np.asarray(scale, np.float32), axis, w.ndim)
    clipped = np.clip(w, -s, s)
    # Adding 0 turns -0, which no integer type holds, into 0.
    return np.round(clipped / s * np.float32(max_int(bits))) + np.float32(0)


def even_weight(w: np.ndarray, scale: np.ndarray, bits: int, axis: int | None = None) -> np.ndarray:
    """As `quantize_weight`, but to even integers, and to the largest one, which is odd.

    An engine that halves the integers loses nothing of the even ones, and the largest must stay: it stands
    for the scale.
    """
    integers = quantize_weight(w, scale, bits, axis)
    s = _per_channel(np.asarray(scale, np.float32), axis, w.ndim)
    most = max_int(bits)
    even = 2 * np.round(np.clip(w / s * np.float32(most / 2), -(most // 2), most // 2)) + np.float32(0)
    return np.where(np.abs(integers) == most, integers, even)


def dequantize_weight(q: np.ndarray, scale: np.ndarray, bits: int, axis: int | None = None) -> np.ndarray:
    """The float32 values that integers stand for: q * scale / max_int."""
    s = _per_channel(np.asarray(scale, np.float32), axis, q.ndim)
    return q.astype(np.float32) * s / np.float32(max_int(bits))


def fake_quantize(x: np.ndarray, scale: np.ndarray, bits: int, axis: int | None = None) -> np.ndarray:
    """What the fake_quantize kernels compute at run time: float32 integers of x's shape.

    round(max_int * (1 / scale) * clip(x)), ties away from zero (`ClipAndFakeQuantFunctor` with
    round_type 1, the ops' default).
    """
    s = _per_channel(np.asarray(scale, np.float32), axis, x.ndim)
    inverse = np.float32(1.0) / np.where(s <= _NO_SCALE, s + np.float32(1e-6), s)
    factor = np.float32(max_int(bits)) * inverse
    scaled = factor * np.clip(x, -s, s)
    # In float64 the addition of one half is exact, so that 0.49999997 does not become 1.
    magnitude = np.floor(np.abs(scaled).astype(np.float64) + 0.5)
    return np.copysign(magnitude, scaled).astype(np.float32)


def correct_bias(
    w: np.ndarray, q: np.ndarray, scale: np.ndarray, bits: int, axis: int | None = None
) -> np.ndarray:
    """Integers whose dequantized values keep the mean and standard deviation of w.

    Per tensor, or per channel along `axis`: dequantize, shift by the mean error, stretch by the
    ratio of standard deviations, quantize again (Banner et al., https://arxiv.org/abs/1810.05723,
    section 4.3).
    """
    dims = None if axis is None else tuple(dim for dim in range(w.ndim) if dim != axis)
    value = dequantize_weight(q, scale, bits, axis)
    shift = (w - value).mean(axis=dims, keepdims=True)
    stretch = w.std(axis=dims, keepdims=True) / (value.std(axis=dims, keepdims=True) + SCALE_FLOOR)
    return quantize_weight((value + shift) * stretch, scale, bits, axis)


def decibels(signal: float, noise: float) -> float:
    """10 * log10(signal / noise); infinite without noise, and minus infinity where the noise is no number."""
    if noise == 0:
        return math.inf
    ratio = signal / noise
    return 10 * math.log10(ratio) if ratio > 0 else -math.inf
