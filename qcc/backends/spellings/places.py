"""What takes elements by where they stand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qcc._paddle import MAJOR, VarType
from qcc.backends.spellings.step import (
    Step,
    Steps,
    gathered,
    product,
    reshaped,
    sliced,
    transposed,
    weight,
)
from qcc.ir.dtypes import dtype_name
from qcc.ir.nodes import Op, Var


def crop(op: Op) -> Steps | None:
    """A slice; None where its place depends on what is computed."""
    x, out = op.input("X"), op.output("Out")
    offsets, sizes = op.attr("offsets"), op.attr("shape")
    if any(op.inputs.get(slot) for slot in ("Y", "Shape", "ShapeTensor", "Offsets", "OffsetsTensor")):
        return None
    begins = {axis: begin for axis, begin in enumerate(offsets) if begin or sizes[axis] > 0}
    if not begins or min(offsets) < 0:
        return None
    ends = {axis: begin + sizes[axis] if sizes[axis] > 0 else _ALL for axis, begin in begins.items()}
    return (sliced("cropped", x, begins, ends, out.shape),)


def strided_slice(op: Op) -> Steps | None:
    """Backwards, as in `x[:, ::-1]`: paddle2onnx ends a step too early. The elements of these axes are taken
    by number, of the others as before. None where their size is open."""
    x, out, strides = op.input("Input"), op.output("Out"), op.attr("strides")
    axes = [axis % len(x.shape) for axis in op.attr("axes")]
    backwards = [place for place, stride in enumerate(strides) if stride < 0]
    if not backwards or op.attr("decrease_axis") or any(op.inputs.get(slot) for slot in _GIVEN):
        return None
    if any(x.shape[axes[place]] < 1 for place in backwards):
        return None
    starts, ends = op.attr("starts"), op.attr("ends")
    indices = {}
    for place in backwards:
        size, start, end = x.shape[axes[place]], starts[place], ends[place]
        first = max(start + size, 0) if start < 0 else start
        last = None if _is_in_front(end, size) else max(end + size, 0) if end < 0 else end
        indices[axes[place]] = np.arange(size)[first : last : strides[place]]
    rest = [place for place in range(len(axes)) if place not in backwards]
    steps = _taken(x, indices)
    if rest:
        named = ("starts", "ends", "strides", "infer_flags")
        attrs = {name: [op.attr(name)[place] for place in rest] for name in named}
        attrs |= {"axes": [axes[place] for place in rest], "decrease_axis": list[int]()}
        steps = (*steps, Step("sliced", "strided_slice", {"Input": steps[-1].name}, attrs))
    return (*steps[:-1], replace(steps[-1], shape=out.shape))


def _is_in_front(end: int, size: int) -> bool:
    """Whether an end is in front of all: for Paddle 2 that is -1, otherwise than in Python, and no other one,
    however small."""
    return end < -size if MAJOR >= 3 else end == -1


def circular_pad(op: Op) -> Steps | None:
    """What stands at the other side, taken by number. None for other modes, and where the size is open."""
    x, layout = op.input("X"), op.attr("data_format", "NCDHW")
    if op.attr("mode", "constant") != "circular" or op.inputs.get("Paddings"):
        return None
    indices = {}
    pads = op.attr("paddings")
    for before, after, name in zip(pads[::2], pads[1::2], "WHD", strict=True):
        axis = layout.index(name)
        if not before and not after:
            continue
        if x.shape[axis] < 1:
            return None
        indices[axis] = np.arange(-before, x.shape[axis] + after) % x.shape[axis]
    return _taken(x, indices) or None


def pad(op: Op) -> Steps | None:
    """As the last three of five dimensions: OpenVINO does not read the op, and oneDNN ends the process at it.
    None where others are padded."""
    x, out = op.input("X"), op.output("Out")
    ahead = 5 - len(x.shape)
    pads = [0, 0] * ahead + list(op.attr("paddings"))
    if op.inputs.get("Paddings") or ahead < 0 or any(pads[:4]):
        return None
    attrs = {
        "paddings": [*pads[8:], *pads[6:8], *pads[4:6]],
        "mode": "constant",
        "value": op.attr("pad_value", 0.0),
        "data_format": "NCDHW",
    }
    if not ahead:
        return (Step("padded", "pad3d", {"X": x}, attrs),)
    added, axes = (1,) * ahead, list(range(ahead))
    return (
        Step("longer", "unsqueeze2", {"X": x}, {"axes": axes}, (*added, *x.shape)),
        Step("padded", "pad3d", {"X": "longer"}, attrs, (*added, *out.shape)),
        Step("shorter", "squeeze2", {"X": "padded"}, {"axes": axes}),
    )


def reverse(op: Op) -> Steps:
    return (Step("flipped", "flip", {"X": op.input("X")}, {"axis": list(op.attr("axis"))}),)


def expand_as(op: Op) -> Steps | None:
    """To the size that another value has when it runs. paddle2onnx takes the declared one, open sizes and
    all."""
    if not op.inputs.get("Y") or min(op.attr("target_shape", []), default=-1) >= 0:
        return None
    target = op.input("Y")
    return (
        Step("sizes", "shape", {"Input": target}, {}, (len(target.shape),), "int32"),
        Step("expanded", "expand_v2", {"X": op.input("X"), "Shape": "sizes"}, {"shape": list[int]()}),
    )


def nearest(op: Op) -> Steps | None:
    """The pixel at floor(ratio * place), or with aligned corners the nearest one, taken by number. oneDNN
    takes the one nearest to the middle, which is the same where each is repeated. None where a size is
    open."""
    x, out = op.input("X"), op.output("Out")
    if op.attr("data_layout", "NCHW") != "NCHW" or len(x.shape) != 4:
        return None
    if is_sized_in_a_run(op) or min(*x.shape[2:], *out.shape[2:]) < 1:
        return None
    aligned = op.attr("align_corners", True)
    # The first version of the op takes its scale for the size alone.
    given = [] if op.type == "nearest_interp" else op.attr("scale", [])
    scales = [*given, 0.0, 0.0][:2]
    sizes = list(zip(x.shape[2:], out.shape[2:], scales, strict=True))
    places = {axis: _nearest(*size, aligned=aligned) for axis, size in enumerate(sizes, 2)}
    return (
        None
        if not aligned and all(map(_is_each_repeated, x.shape[2:], places.values()))
        else _taken(x, places)
    )


def is_sized_in_a_run(op: Op) -> bool:
    """Whether an interpolation reads how large its output is."""
    return any(op.inputs.get(slot) for slot in ("OutSize", "SizeTensor", "Scale"))


def polygon_box_transform(op: Op) -> Steps | None:
    """From how far a corner is to the left (even channels) or above (odd ones) to where it is in the image,
    which is four times as large (Zhou et al., EAST). None where the size is open."""
    x = op.input("Input")
    if min(x.shape[1:]) < 1:
        return None
    _, channels, height, width = x.shape
    y_and_x = np.indices((height, width))
    corners = 4 * np.stack([y_and_x[1 - channel % 2] for channel in range(channels)])
    return (
        weight("corners", corners[np.newaxis].astype(np.float32)),
        Step("places", "elementwise_sub", {"X": "corners", "Y": x}, {"axis": -1}),
    )


def reshape(op: Op) -> Steps | None:
    """Of Paddle 1."""
    if op.inputs.get("Shape") or op.inputs.get("ShapeTensor"):
        return None
    return (Step("reshaped", "reshape2", {"X": op.input("X")}, {"shape": list(op.attr("shape"))}),)


def transpose(op: Op) -> Steps:
    """Of Paddle 1."""
    return (transposed("turned", op.input("X"), tuple(op.attr("axis")), op.output("Out").shape),)


def flatten(op: Op) -> Steps | None:
    """Of Paddle 1: a matrix, of what is in front of an axis and what follows. None where that is open, and
    something is in front."""
    x, axis = op.input("X"), op.attr("axis", 1)
    if axis == 0:
        return (Step("flat", "reshape2", {"X": x}, {"shape": [1, -1]}),)
    if min(x.shape[axis:], default=1) < 1:
        return None
    return (reshaped("flat", x, (-1, math.prod(x.shape[axis:])), batch=-1),)


def flatten_range(op: Op) -> Steps | None:
    """As a reshape to sizes that the file holds: paddle2onnx computes them in a run, after which OpenVINO is
    right for one sample alone. None where more than one is open behind the dimensions that stay in front."""
    x, out = op.input("X"), op.output("Out")
    start = op.attr("start_axis") % max(len(x.shape), 1)
    told = [0] * start + [size if size > 0 else -1 for size in out.shape[start:]]
    if not x.shape or told.count(-1) > 1:
        return None
    return (Step("flat", "reshape2", {"X": x}, {"shape": told}),)


def part_of(op: Op, number: int) -> Steps:
    """One of the slices that unbind and unstack cut a value into, without the dimension that they cut."""
    x = op.input("X")
    axis = op.attr("axis") % len(x.shape)
    attrs = {"axes": [axis], "starts": [number], "ends": [number + 1], "decrease_axis": [axis]}
    return (Step("part", "slice", {"Input": x}, {**attrs, "infer_flags": [1]}),)


def broadcast_part(op: Op, number: int) -> Steps:
    """One of several values that are brought to a common shape, as the indices of `x[i, j]` are: itself, or
    less zeros like the others. A sum of two maps would be given to engines as a residual one."""
    own = op.inputs["X"][number]
    others = [var for var in op.inputs["X"] if var.shape != own.shape or min(own.shape, default=1) < 0]
    dtype, truth = dtype_name(own.dtype), own.dtype == VarType.BOOL
    steps: list[Step] = []
    shape = own.shape
    for place, other in enumerate(var for var in others if var is not own):
        nothing = {"value": 0.0, "dtype": int(own.dtype)}
        shape = _together(shape, other.shape)
        reads = {"X": steps[-1].name if steps else own, "Y": f"zeros{place}"}
        steps.append(Step(f"zeros{place}", "fill_any_like", {"X": other}, nothing, other.shape, dtype))
        kind, attrs = ("logical_or", {}) if truth else ("elementwise_sub", {"axis": -1})
        steps.append(Step(f"wide{place}", kind, reads, attrs, shape, dtype))
    return tuple(steps) or (Step("same", "assign", {"X": own}),)


def _together(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape, of which a size is open where it is in one and no other tells it."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True)
    return tuple(-1 if max(sizes) == 1 and -1 in sizes else max(sizes) for sizes in columns)


def arg_extreme(op: Op) -> Steps | None:
    """The place of the largest or smallest along an axis, which OpenVINO takes for a number from 0 on, and
    never keeps."""
    x, out = op.input("X"), op.output("Out")
    axis, kept = int(op.attr("axis")), bool(op.attr("keepdims", False))
    if op.attr("flatten", False) or (axis >= 0 and not kept):
        return None
    axis %= len(x.shape)
    attrs = {"axis": axis, "keepdims": False, "flatten": False, "dtype": op.attr("dtype")}
    if not kept:
        return (Step("first", op.type, {"X": x}, attrs),)
    dropped = (*x.shape[:axis], *x.shape[axis + 1 :])
    return (
        Step("first", op.type, {"X": x}, attrs, dropped, dtype_name(out.dtype)),
        Step("kept", "unsqueeze2", {"X": "first"}, {"axes": [axis]}),
    )


def affine_grid(op: Op) -> Steps | None:
    """Where each point of an image of the asked size, from -1 to 1 along each side, is sent by an affine map
    of two rows, [batch, 2, 3]."""
    theta, size = op.input("Theta"), op.attr("output_shape")
    if op.inputs.get("OutputShape") or len(size) != 4 or min(size[2:]) < 1:
        return None
    batch, (rows, columns) = theta.shape[0], size[2:]
    y, x = (_points(length, op.attr("align_corners", True)) for length in (rows, columns))
    places = np.stack([np.tile(x, rows), np.repeat(y, columns), np.ones(rows * columns)]).astype(np.float32)
    return (
        weight("places", places),
        product("sent", theta, "places", (batch, 2, rows * columns)),
        transposed("pairs", "sent", (0, 2, 1), (batch, rows * columns, 2)),
        reshaped("grid", "pairs", (batch, rows, columns, 2)),
    )


_ALL = 2**31 - 1
_GIVEN = tuple(f"{name}Tensor{kind}" for name in ("Starts", "Ends", "Strides") for kind in ("", "List"))


def _taken(x: Var, indices: Mapping[int, np.ndarray]) -> Steps:
    steps: list[Step] = []
    source: str | Var = x
    shape = x.shape
    for axis, index in indices.items():
        shape = (*shape[:axis], len(index), *shape[axis + 1 :])
        steps += [
            weight(f"places{axis}", index.astype(np.int64)),
            gathered(f"taken{axis}", source, axis, f"places{axis}", shape),
        ]
        source = steps[-1].name
    return tuple(steps)


def _nearest(before: int, after: int, scale: float, *, aligned: bool) -> np.ndarray:
    """Which pixel of a side stands at each of another length (`NearestNeighborInterpolate` in
    phi/kernels/cpu/interpolate_kernel.cc)."""
    if aligned:
        ratio, half = np.float32((before - 1) / (after - 1)) if after > 1 else np.float32(0), 0.5
    else:
        ratio, half = np.float32(1 / scale if scale > 0 else before / after), 0.0
    return np.minimum(
        (ratio * np.arange(after, dtype=np.float32) + np.float32(half)).astype(np.int64), before - 1
    )


def _is_each_repeated(before: int, places: np.ndarray) -> bool:
    """Whether each pixel of a side stands as many times as every other one: a factor of 2.3 makes six of
    three otherwise."""
    return len(places) % before == 0 and np.array_equal(
        places, np.repeat(np.arange(before), len(places) // before)
    )


def _points(length: int, align_corners: bool) -> np.ndarray:
    if align_corners:
        return np.linspace(-1, 1, length)
    return (2 * np.arange(length) + 1) / length - 1
