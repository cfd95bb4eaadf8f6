"""Resizing: to a size, or by a factor, which Paddle 3 keeps in float64 and Paddle 2.6 in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.int_arrays import narrowed
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import Tensor
from qcc.frontend.paddle3.rules.registry import rule

_SIZES = ("out_d", "out_h", "out_w")


@rule("nearest_interp", "bilinear_interp", "bicubic_interp", "linear_interp", "trilinear_interp")
def interpolate(call: Call) -> None:
    """Sizes that are constant are attributes, others tensors of int32."""
    attrs: dict[str, Any] = {
        name: call.attr(name) for name in (*_SIZES, "align_corners", "align_mode", "scale")
    }
    attrs |= {"data_layout": call.attr("data_format"), "interp_method": call.attr("interp_method")}
    inputs: dict[str, Any] = {"X": call["x"]}
    for operand, slot in (("size_tensor", "SizeTensor"), ("out_size", "OutSize")):
        if operand not in call:
            continue
        sizes = call.numbers(operand)
        if sizes is not None and 1 <= len(sizes) <= 3:
            attrs |= dict(zip(_SIZES[-len(sizes) :], sizes, strict=True))
        else:
            inputs[slot] = [narrowed(call, name, kind) for name, kind in call.elements(operand)]
    if "scale_tensor" in call:
        inputs["Scale"] = call["scale_tensor"]
    elif not inputs.keys() & {"SizeTensor", "OutSize"} and not _all_exact(attrs["scale"]):
        more, changed = _by_factors(call, attrs)
        inputs |= more
        attrs |= changed
    call.emit(f"{call.short}_v2", inputs, {"Out": call.out("output")}, **attrs)


def _all_exact(factors: Sequence[float]) -> bool:
    """True for 2 and 0.5, with which both compute the same; false for 0.3."""
    return all(float(np.float32(factor)) == factor for factor in factors)


def _by_factors(call: Call, attrs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and attributes that give the size, and the distance of samples, of factors in float64.

    100 * 0.29 is 28 in float64, cut off, and 29 in float32; 1 / 1.1 is another float32 than 1 over the
    float32 of 1.1, so that "nearest" would take other pixels.
    """
    last = attrs["data_layout"].endswith("C")
    kind = call.type("x")
    spatial = range(1, len(kind.shape) - 1) if last else range(2, len(kind.shape))
    factors = list(attrs["scale"]) * (len(spatial) if len(attrs["scale"]) == 1 else 1)
    if len(factors) != len(spatial) or not all(math.isfinite(factor) and factor > 0 for factor in factors):
        raise Unsupported(f"its factors {factors} do not fit {len(spatial)} axes")
    steps = [np.float32(1 / factor) for factor in factors]
    sizes = [kind.shape[axis] for axis in spatial]
    ends = None
    if all(size > 0 for size in sizes):
        ends = [int(size * factor) for size, factor in zip(sizes, factors, strict=True)]
        ratios = [np.float32(size) / np.float32(max(end, 1)) for size, end in zip(sizes, ends, strict=True)]
        if attrs["align_corners"] or ratios == steps:
            return {}, {"scale": [], **dict(zip(_SIZES[-len(ends) :], ends, strict=True))}
    close = [_closest(factor) for factor in factors]
    if attrs["interp_method"] == "nearest" and not attrs["align_corners"]:
        _check_pixels(factors, steps, [_step(factor) for factor in close], ends)
    return {"OutSize": _sizes(call, spatial, factors)}, {"scale": close}


def _check_pixels(
    factors: list[float], steps: list[np.float32], found: list[np.float32], ends: list[int] | None
) -> None:
    """Raises Unsupported where "nearest" would take other pixels with these steps."""
    for axis, (wanted, step) in enumerate(zip(steps, found, strict=True)):
        if wanted == step:
            continue
        places = np.arange(ends[axis] if ends else 0, dtype=np.float32)
        if ends is None or not np.array_equal(np.floor(places * wanted), np.floor(places * step)):
            raise Unsupported(
                f"Paddle 2.6 takes other pixels at the factor {factors[axis]}: resize to a size instead"
            )


def _step(factor: float) -> np.float32:
    """The distance of samples as Paddle 2.6 computes it of a factor."""
    return np.float32(1 / float(np.float32(factor)))


def _closest(factor: float) -> float:
    """The float32 whose inverse is closest to that of a factor."""
    middle = np.float32(factor)
    near = [middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf))]
    return float(
        min(near, key=lambda number: abs(float(_step(float(number))) - float(np.float32(1 / factor))))
    )


def _sizes(call: Call, spatial: range, factors: Sequence[float]) -> str:
    """The sizes of the result, computed in float64 as Paddle 3 does."""
    count = len(spatial)
    some = Tensor("int32", (count,))
    exact = some.with_dtype("float64")
    wide = call.cast(call.sizes("x", spatial), some, "float64")
    # One by one: Paddle 3.3 reads no list of doubles in a program of 2.6.
    single = [call.full(factor, Tensor("float64", (1,))) for factor in factors]
    numbers = call.new("concat", {"X": single}, exact, axis=0) if count > 1 else single[0]
    product = call.new("elementwise_mul", {"X": wide, "Y": numbers}, exact)
    return call.cast(product, exact, "int32")
