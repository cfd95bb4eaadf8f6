"""Boxes of detectors that start from given ones."""

from __future__ import annotations

import numpy as np

from qcc.backends.spellings.step import Step, Steps, combined, reshaped, scaled, sliced, weight
from qcc.ir.nodes import Op, Var


def box_coder(op: Op) -> Steps | None:
    """Boxes from offsets: with a prior box's middle c and size s, and variances v, the middle is at
    c + v * offset * s, and the size is s * exp(v * offset) (Liu et al., SSD: Single Shot MultiBox Detector;
    `DecodeCenterSize` in phi/kernels/cpu/box_coder_kernel.cc). None for what encodes boxes, in training.

    Offsets are [boxes, priors, 4], or, by axis, [priors, boxes, 4]. There is no sum of two maps, which
    engines would be given as a residual one.
    """
    prior, target, out = op.input("PriorBox"), op.input("TargetBox"), op.output("OutputBox")
    if op.attr("code_type", "encode_center_size") != "decode_center_size":
        return None
    # Where boxes are in pixels, the last one belongs to them.
    last_pixel = 0.0 if op.attr("box_normalized", True) else 1.0
    pairs = (*target.shape[:2], 2)
    corner, corners = (*pairs[:2], 1, 2), (*pairs[:2], 2, 2)
    return (
        *_priors(prior, last_pixel, bool(op.attr("axis", 0))),
        *_offsets(op, pairs),
        combined("way", "mul", "shift", "size", pairs),
        scaled("back", "way", -1.0, 0.0, pairs),
        combined("center", "sub", "middle", "back", pairs),
        Step("factor", "exp", {"X": "growth"}, {}, pairs),
        combined("whole", "mul", "factor", "size", pairs),
        reshaped("centers", "center", corner),
        reshaped("sizes", "whole", corner),
        weight("half", np.array([[0.5], [-0.5]], np.float32)),
        combined("reach", "mul", "sizes", "half", corners),
        combined("corners", "sub", "centers", "reach", corners),
        weight("last_pixel", np.array([[0.0], [last_pixel]], np.float32)),
        combined("within", "sub", "corners", "last_pixel", corners),
        reshaped("boxes", "within", (*out.shape[:2], 4)),
    )


def _priors(prior: Var, last_pixel: float, along_rows: bool) -> Steps:
    """Size and middle of each: [priors, 2], or [priors, 1, 2]."""
    pairs = (prior.shape[0], 2)
    shape = (pairs[0], 1, 2) if along_rows else pairs
    return (
        *_halves("first", "last", prior, 1, pairs),
        combined("span", "sub", "last", "first", pairs),
        scaled("sizes_of_priors", "span", 1.0, last_pixel, pairs),
        scaled("minus_half", "sizes_of_priors", -0.5, 0.0, pairs),
        combined("middles", "sub", "first", "minus_half", pairs),
        reshaped("size", "sizes_of_priors", shape, -1),
        reshaped("middle", "middles", shape, -1),
    )


def _offsets(op: Op, pairs: tuple[int, ...]) -> Steps:
    """How far each middle moves, and how much each size grows, by the variances."""
    target, given = op.input("TargetBox"), op.attr("variance", [])
    if op.inputs.get("PriorBoxVar"):
        variances = op.input("PriorBoxVar")
        of = (variances.shape[0], 2)
        shape = (of[0], 1, 2) if op.attr("axis", 0) else of
        scales: Steps = (
            *_halves("of_shifts", "of_growths", variances, 1, of),
            reshaped("of_shift", "of_shifts", shape, -1),
            reshaped("of_growth", "of_growths", shape, -1),
        )
    else:
        both = np.array(given or [1.0] * 4, np.float32)
        scales = (weight("of_shift", both[:2]), weight("of_growth", both[2:]))
    return (
        *scales,
        *_halves("shifts", "growths", target, 2, pairs),
        combined("shift", "mul", "shifts", "of_shift", pairs),
        combined("growth", "mul", "growths", "of_growth", pairs),
    )


def _halves(first: str, last: str, source: Var, axis: int, shape: tuple[int, ...]) -> Steps:
    """The first and the last two numbers along an axis."""
    return (
        sliced(first, source, {axis: 0}, {axis: 2}, shape),
        sliced(last, source, {axis: 2}, {axis: 4}, shape),
    )


def roi_align(op: Op) -> Steps | None:
    """As many samples as a bin is large are asked for by -1 in Paddle's functions, and by 0 in ONNX."""
    ratio = int(op.attr("sampling_ratio", -1))
    if ratio >= 0:
        return None
    names = ("pooled_height", "pooled_width", "spatial_scale", "aligned")
    attrs = {name: op.attr(name) for name in names} | {"sampling_ratio": 0}
    reads = {slot: variables[0] for slot, variables in op.inputs.items() if variables}
    return (Step("pooled", "roi_align", reads, attrs),)
