"""Deformable convolutions."""

from __future__ import annotations

import numpy as np

from qcc.backends.spellings.step import Step, Steps, combined, require_declared, reshaped, transposed, weight
from qcc.ir.nodes import Op, Var

_SAMPLING = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": False}
_PLAIN = {"strides": [1, 1], "paddings": [0, 0], "dilations": [1, 1], "data_format": "NCHW"}


def deformable_conv(op: Op, filters: np.ndarray) -> Steps:
    """A map that is sampled where each tap of the kernel looks, and a 1 x 1 convolution over channels and
    taps.

    Tap t of place p reads the input, bilinear and 0 outside, at p * stride - padding + t * dilation + offset,
    and multiplies it by its mask, where there is one (Dai et al., Deformable Convolutional Networks; Zhu et
    al., Deformable ConvNets v2; `DmcnIm2colBilinear` in phi/kernels/impl/deformable_conv_kernel_impl.h).

    Raises PassError where the size of a map is open.
    """
    x, offset, out = op.input("Input"), op.input("Offset"), op.output("Output")
    require_declared(op, x)
    (images, channels, *size), (_, outputs, height, width) = x.shape, out.shape
    groups, taps = op.attr("deformable_groups"), filters.shape[2] * filters.shape[3]
    # Groups of channels, which look elsewhere each, are images of their own.
    batch = images * groups if images > 0 else images
    first, own = 0 if groups == 1 else -1, channels // groups
    points, seen = (batch, taps, height, width, 2), (batch, own, taps, height, width)
    rows, columns = _places(op, filters.shape[2:], size, (height, width))
    data: str | Var = x
    steps = []
    if groups > 1:
        data = "data"
        steps.append(reshaped("data", x, (batch, own, *size), first))
    steps += [
        reshaped("offsets", offset, (batch, taps, 2, height, width), first),
        transposed("pairs", "offsets", (0, 1, 3, 4, 2), points),
        # Offsets are down and to the right; a grid holds what is to the right first.
        Step("flipped", "flip", {"X": "pairs"}, {"axis": [4]}, points),
        weight("pixel", np.array([2 / size[1], 2 / size[0]], np.float32)),
        combined("moved", "mul", "flipped", "pixel", points),
        weight("rows", rows),
        combined("down", "add", "moved", "rows", points),
        weight("columns", columns),
        combined("right", "add", "down", "columns", points),
        reshaped("grid", "right", (batch, taps * height, width, 2)),
        Step(
            "sampled",
            "grid_sampler",
            {"X": data, "Grid": "grid"},
            _SAMPLING,
            (batch, own, taps * height, width),
            slot="Output",
        ),
        reshaped("taps", "sampled", seen),
    ]
    if op.inputs.get("Mask"):
        steps += [
            reshaped("mask", op.input("Mask"), (batch, 1, taps, height, width), first),
            combined("masked", "mul", "taps", "mask", seen),
        ]
    return (
        *steps,
        reshaped("gathered", steps[-1].name, (images, channels * taps, height, width), first),
        weight("filter", filters.reshape(outputs, -1, 1, 1)),
        Step(
            "sum",
            "conv2d",
            {"Input": "gathered", "Filter": "filter"},
            _PLAIN | {"groups": op.attr("groups")},
            slot="Output",
        ),
    )


def _places(
    op: Op, kernel: tuple[int, ...], size: list[int], out: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where taps look without an offset, from -1, the left or upper border of the map, to 1; first to the
    right, then down, as the sum of two, [taps, height, 1, 2] and [1, 1, width, 2].

    The middle of pixel i of n is at (2 * i + 1) / n - 1.
    """
    down, right = np.indices(kernel).reshape(2, -1)
    (stride_y, stride_x), (pad_y, pad_x) = op.attr("strides"), op.attr("paddings")
    spread_y, spread_x = op.attr("dilations")
    rows = np.empty((len(down), out[0], 1, 2), np.float32)
    first_x = right * spread_x - pad_x
    places_y = np.arange(out[0]) * stride_y + (down * spread_y - pad_y)[:, np.newaxis]
    rows[..., 0, 0] = ((2 * first_x + 1) / size[1] - 1)[:, np.newaxis]
    rows[..., 0, 1] = (2 * places_y + 1) / size[0] - 1
    columns = np.zeros((1, 1, out[1], 2), np.float32)
    columns[..., 0] = 2 * stride_x * np.arange(out[1]) / size[1]
    return rows, columns
