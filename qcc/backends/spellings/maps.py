"""What moves the pixels of a map."""

from __future__ import annotations

from typing import Any

import numpy as np

from qcc._paddle import VarType
from qcc.backends.spellings.places import is_sized_in_a_run, nearest
from qcc.backends.spellings.step import (
    Step,
    Steps,
    cast,
    combined,
    permuted,
    reshaped,
    transposed,
    turned,
    weight,
)
from qcc.ir.nodes import Op, Var


def channel_shuffle(op: Op) -> Steps | None:
    """Of Paddle 1, `shuffle_channel` with `group`, as well. Where sizes are open, channels are taken by
    number."""
    x = op.input("X")
    batch, channels, *sizes = x.shape
    groups = op.attr("groups" if op.type == "channel_shuffle" else "group")
    if op.attr("data_format", "NCHW") != "NCHW" or channels < 1:
        return None
    told = turned(x, op.output("Out"), (batch, groups, channels // groups, *sizes), (0, 2, 1, 3, 4))
    if told is not None:
        return told
    order = np.arange(channels).reshape(groups, -1).T.ravel()
    return permuted(x, order, x.shape)


def by_permutation(op: Op, order: np.ndarray) -> Steps | None:
    """All channels by number, in an order that is not its own inverse: see `permuted`."""
    x, order = op.input("X"), order.ravel()
    axis = op.attr("dim" if op.type == "index_select" else "axis")
    if op.inputs.get("Axis") or axis % max(len(x.shape), 1) != 1:
        return None
    all_of_them = np.arange(x.shape[1])
    if not np.array_equal(np.sort(order), all_of_them):
        return None
    return None if np.array_equal(order[order], all_of_them) else permuted(x, order, x.shape)


def pixel_unshuffle(op: Op) -> Steps | None:
    x = op.input("X")
    batch, channels, *sizes = x.shape
    side = op.attr("downscale_factor")
    if op.attr("data_format", "NCHW") != "NCHW" or channels < 1:
        return None
    height, width = (size // side if size > 0 else -1 for size in sizes)
    return turned(x, op.output("Out"), (batch, channels, height, side, width, side), (0, 1, 3, 5, 2, 4))


def pixel_shuffle(op: Op) -> Steps | None:
    x = op.input("X")
    batch, channels, height, width = x.shape
    side = op.attr("upscale_factor")
    if op.attr("data_format", "NCHW") != "NCHW" or channels < 1:
        return None
    made = channels // side**2
    split = (batch, made, side, side, height, width)
    return turned(x, op.output("Out"), split, (0, 1, 4, 2, 5, 3)) or _shuffled_at_any_size(x, made, side)


def _shuffled_at_any_size(x: Var, made: int, side: int) -> Steps:
    """With channels last, where columns and then rows grow by one size that is open each."""
    batch, channels, height, width = x.shape
    apart = (batch, height, width, made, side, side)
    last = (batch, height, width, channels)
    return (
        transposed("last", x, (0, 2, 3, 1), last),
        Step("apart", "reshape2", {"X": "last"}, {"shape": [0, 0, 0, made, side, side]}, apart),
        transposed("turned", "apart", (0, 1, 2, 5, 4, 3), (*apart[:3], side, side, made)),
        Step(
            "wide",
            "reshape2",
            {"X": "turned"},
            {"shape": [0, 0, -1, side * made]},
            (batch, height, -1, side * made),
        ),
        transposed("columns", "wide", (0, 2, 1, 3), (batch, -1, height, side * made)),
        Step("tall", "reshape2", {"X": "columns"}, {"shape": [0, 0, -1, made]}, (batch, -1, -1, made)),
        transposed("shuffled", "tall", (0, 3, 2, 1), (batch, made, -1, -1)),
    )


def of_computed_filters(op: Op) -> Steps | None:
    """A convolution whose filters are no weight, as one of three dimensions, the first of which is 1.

    Paddle's `compute_propagate_scales_mkldnn_pass` looks for the values of all filters of two."""
    x, filters, out = op.input("Input"), op.input("Filter"), op.output("Output")
    if filters.persistable or (filters.producer and filters.producer.type == "dequantize_linear"):
        return None
    if op.attr("data_format", "NCHW") not in ("NCHW", "AnyLayout"):
        return None
    attrs: dict[str, Any] = {name: [1, *op.attr(name)] for name in ("strides", "dilations")}
    padded = list(op.attr("paddings"))
    attrs["paddings"] = [0] * (len(padded) // 2) + padded
    attrs |= {"groups": op.attr("groups"), "data_format": "NCDHW"}
    attrs["padding_algorithm"] = op.attr("padding_algorithm", "EXPLICIT")
    deep = Step("deep", "conv3d", {"Input": "map", "Filter": "filters"}, attrs, _deep(out), slot="Output")
    return (
        Step("map", "unsqueeze2", {"X": x}, {"axes": [2]}, _deep(x)),
        Step("filters", "unsqueeze2", {"X": filters}, {"axes": [2]}, _deep(filters)),
        deep,
        Step("flat", "squeeze2", {"X": "deep"}, {"axes": [2]}),
    )


def _deep(var: Var) -> tuple[int, ...]:
    return (*var.shape[:2], 1, *var.shape[2:])


def affine_channel(op: Op) -> Steps:
    """A factor and a bias for each channel: a batch norm that is frozen, in Paddle 1, which takes every
    layout but NCHW for channels last."""
    at = {"axis": 1 if op.attr("data_layout", "AnyLayout") == "NCHW" else -1}
    return (
        Step("scaled", "elementwise_mul", {"X": op.input("X"), "Y": op.input("Scale")}, at),
        Step("sum", "elementwise_add", {"X": "scaled", "Y": op.input("Bias")}, at),
    )


def nearest_interp(op: Op) -> Steps | None:
    """Of Paddle 1."""
    return nearest(op) or interpolate(op)


def by_a_fraction(op: Op) -> Steps | None:
    """paddle2onnx takes the scale of Paddle 1 for the ratio, which it is where it is whole."""
    return interpolate(op) if float(op.attr("scale", 0.0)) % 1 else None


def interpolate(op: Op) -> Steps | None:
    """Of Paddle 1, whose scale is one number, and tells the size alone."""
    out, scale = op.output("Out"), float(op.attr("scale", 0.0))
    if is_sized_in_a_run(op):
        return None
    told = {name: op.attr(name) for name in ("align_corners", "align_mode", "interp_method", "data_layout")}
    told |= {"out_d": -1, "out_h": op.attr("out_h"), "out_w": op.attr("out_w"), "scale": list[float]()}
    if scale > 0:
        layout = told["data_layout"]
        sizes = [out.shape[layout.index(side)] for side in "HW"]
        # What is declared is what is computed; of an open size a whole factor says the same in both versions.
        if min(sizes) > 0:
            told |= {"out_h": sizes[0], "out_w": sizes[1]}
        elif scale.is_integer():
            told["scale"] = [scale, scale]
        else:
            return None
    return (Step("resized", f"{op.type}_v2", {"X": op.input("X")}, told),)


def fold(op: Op) -> Steps | None:
    """Patches that lie side by side are moved; those that overlap are summed by a transposed convolution,
    which puts each value where it belongs."""
    x, out = op.input("X"), op.output("Y")
    kernel, sizes, strides = op.attr("kernel_sizes"), op.attr("output_sizes"), op.attr("strides")
    paddings, dilations = op.attr("paddings"), op.attr("dilations")
    batch, values, _ = x.shape
    if values < 1:
        return None
    channels = values // (kernel[0] * kernel[1])
    side_by_side = strides == kernel and not any(paddings) and set(dilations) == {1}
    if side_by_side and not any(size % part for size, part in zip(sizes, kernel, strict=True)):
        rows, columns = sizes[0] // kernel[0], sizes[1] // kernel[1]
        return turned(x, out, (batch, channels, *kernel, rows, columns), (0, 1, 4, 2, 5, 3))
    if paddings[:2] != paddings[2:]:
        return None
    padded = [sizes[axis] + 2 * paddings[axis] for axis in (0, 1)]
    windows = [
        (padded[axis] - dilations[axis] * (kernel[axis] - 1) - 1) // strides[axis] + 1 for axis in (0, 1)
    ]
    reached = [
        (windows[axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1 for axis in (0, 1)
    ]
    attrs = {
        "strides": strides,
        "paddings": paddings[:2],
        "dilations": dilations,
        "groups": channels,
        "output_padding": [padded[axis] - reached[axis] for axis in (0, 1)],
        "output_size": list[int](),
        "padding_algorithm": "EXPLICIT",
        "data_format": "NCHW",
    }
    return (
        reshaped("split", x, (batch, values, *windows)),
        weight("places", _own_places(channels, kernel)),
        Step("sum", "conv2d_transpose", {"Input": "split", "Filter": "places"}, attrs, slot="Output"),
    )


def uneven_unfold(op: Op) -> Steps | None:
    """Where the map is padded otherwise across than down: paddle2onnx pads it on all sides alike."""
    return None if len(set(op.attr("paddings"))) == 1 else unfold(op)


def unfold(op: Op) -> Steps | None:
    """Taken apart by a convolution."""
    x, kernel, paddings = op.input("X"), op.attr("kernel_sizes"), op.attr("paddings")
    channels, taps = x.shape[1], kernel[0] * kernel[1]
    if channels < 1:
        return None
    attrs = {
        "strides": op.attr("strides"),
        "paddings": [paddings[0], paddings[2], paddings[1], paddings[3]],
        "dilations": op.attr("dilations"),
        "groups": channels,
        "padding_algorithm": "EXPLICIT",
        "data_format": "NCHW",
    }
    out = op.output("Y").shape
    return (
        weight("places", _own_places(channels, kernel)),
        Step(
            "taken",
            "conv2d",
            {"Input": x, "Filter": "places"},
            attrs,
            (x.shape[0], channels * taps, -1, -1),
            slot="Output",
        ),
        reshaped("joined", "taken", (x.shape[0], channels * taps, out[2])),
    )


def unpool(op: Op) -> Steps | None:
    """Each value at the place of the first largest one of its window: where the pool has found it. What the
    pool says of that paddle2onnx does not translate."""
    x, out, pool = op.input("X"), op.output("Out"), op.input("Indices").producer
    if pool is None or not _side_by_side(pool) or min(x.shape[1:]) < 1:
        return None
    (batch, channels, height, width), (rows, columns) = x.shape, pool.attr("ksize")
    source = pool.input("X")
    if not source.shape[2:] == out.shape[2:] == (height * rows, width * columns):
        return None
    split, back = (batch, channels, height, rows, width, columns), (0, 1, 2, 4, 3, 5)
    windows = (batch, channels, height, width, rows, columns)
    flat, one = (*windows[:4], rows * columns), (*windows[:4], 1)
    first = {"axis": 4, "keepdims": False, "flatten": False, "dtype": int(VarType.INT64)}
    return (
        reshaped("split", source, split),
        transposed("windows", "split", back, windows),
        reshaped("flat", "windows", flat),
        Step("first", "arg_max", {"X": "flat"}, first, flat[:4], "int64"),
        cast("number", "first", VarType.INT64, flat[:4]),
        reshaped("place", "number", one),
        weight("places", np.arange(rows * columns, dtype=np.float32)),
        Step("own", "equal", {"X": "place", "Y": "places"}, {"axis": -1}, flat, "bool"),
        cast("kept", "own", VarType.BOOL, flat),
        reshaped("value", x, one),
        combined("product", "mul", "kept", "value", flat),
        reshaped("parts", "product", windows),
        transposed("turned", "parts", back, split),
        reshaped("joined", "turned", out.shape),
    )


def _own_places(channels: int, kernel: list[int]) -> np.ndarray:
    """A filter for each channel and tap of a kernel, 1 there: [channels * taps, 1, height, width]."""
    taps = kernel[0] * kernel[1]
    places = np.eye(taps, dtype=np.float32).reshape(taps, 1, *kernel)
    return np.tile(places, (channels, 1, 1, 1))


def _side_by_side(pool: Op) -> bool:
    """Whether the windows of a pool touch, and do not overlap."""
    if pool.type != "max_pool2d_with_index" or pool.attr("adaptive", False):
        return False
    fixed = not pool.attr("global_pooling", False) and not any(pool.attr("paddings"))
    return fixed and list(pool.attr("strides")) == list(pool.attr("ksize"))
