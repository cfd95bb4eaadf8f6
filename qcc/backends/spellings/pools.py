"""Pools whose windows files lack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qcc._paddle import VarType
from qcc.backends.spellings.adaptive_pools import is_open, is_uneven, parts_of
from qcc.backends.spellings.step import (
    Step,
    Steps,
    cast,
    combined,
    gathered,
    product,
    require_declared,
    scaled,
    sliced,
    weight,
)
from qcc.ir.nodes import Op
from qcc.passes.window import Window


def adaptive_max(op: Op) -> Steps | None:
    """Parts of unequal sizes, whose last pixels are repeated so that all are as large: no maximum changes.

    Raises PassError where the size of the map is open.
    """
    x, parts = op.input("X"), op.attr("ksize")
    if op.attr("pooling_type", "max") != "max":
        return None
    if is_open(op):
        require_declared(op, x)
    if not is_uneven(op):
        return None
    sizes = x.shape[2:]
    rows, columns = (_repeated(size, part) for size, part in zip(sizes, parts, strict=True))
    kernel = [len(rows) // parts[0], len(columns) // parts[1]]
    taller = (*x.shape[:2], len(rows), sizes[1])
    return (
        weight("rows", rows),
        gathered("taller", x, 2, "rows", taller),
        weight("columns", columns),
        gathered("wider", "taller", 3, "columns", (*taller[:3], len(columns))),
        Step("largest", "pool2d", {"X": "wider"}, _plain("max", kernel, kernel)),
    )


def pool(op: Op) -> Steps | None:
    """See `adaptive_max`, `adaptive_mean` and `mean_beyond`."""
    return adaptive_max(op) or adaptive_mean(op) or mean_beyond(op)


def for_onednn(op: Op) -> Steps | None:
    """See `mean_beyond` and `same_padding`."""
    return mean_beyond(op) or same_padding(op)


def same_padding(op: Op) -> Steps | None:
    """So padded, windows cover a map whichever way its size is rounded: `ceil_mode` changes nothing, but that
    Paddle's oneDNN kernel pads once more for it where a stride does not divide a size, and refuses that."""
    if op.attr("padding_algorithm", "EXPLICIT") != "SAME" or not op.attr("ceil_mode", False):
        return None
    if op.attr("adaptive", False) or op.attr("global_pooling", False):
        return None
    told = _plain(op.attr("pooling_type", "max"), op.attr("ksize"), op.attr("strides"))
    kept = {"exclusive": op.attr("exclusive", True), "data_format": op.attr("data_format", "NCHW")}
    attrs = {**told, **kept, "padding_algorithm": "SAME"}
    return (Step("pooled", "pool2d", {"X": op.input("X")}, attrs),)


def adaptive_mean(op: Op) -> Steps | None:
    """Into parts of a map of open size: products with matrices of what each pixel counts for in each part,
    as pass uneven-pools writes them for declared sizes, here worked out from the size that is there."""
    if op.attr("pooling_type", "max") != "avg" or not is_open(op):
        return None
    x, (rows, columns) = op.input("X"), op.attr("ksize")
    return (
        Step("sizes", "shape", {"Input": x}, shape=(4,), dtype="int32"),
        *_shares("rows", 2, rows),
        *_shares("columns", 3, columns),
        product("pooled", "rows", x, (*x.shape[:2], rows, x.shape[3])),
        Step("mean", "matmul_v2", {"X": "pooled", "Y": "columns"}, {"trans_x": False, "trans_y": True}),
    )


def _shares(name: str, axis: int, parts: int) -> Iterator[Step]:
    """Steps to the matrix [parts, size] of what each place of an axis counts for in each part, which is where
    `parts_of` says. Floats are exact here: all are whole below 2**24, or quotients of such by `parts`."""
    part, each, row = np.arange(parts, dtype=np.float32)[:, np.newaxis], (parts, 1), (parts, -1)
    yield replace(sliced(f"{name}.size", "sizes", {0: axis}, {0: axis + 1}, (1,)), dtype="int32")
    yield cast(f"{name}.length", f"{name}.size", VarType.INT32, (1,))
    yield weight(f"{name}.parts", np.array([parts], np.float32))
    for end, whole, first in (("begin", "floor", part), ("end", "ceil", part + 1)):
        yield weight(f"{name}.{end}.number", first)
        yield combined(f"{name}.{end}.times", "mul", f"{name}.{end}.number", f"{name}.length", each)
        yield combined(f"{name}.{end}.exact", "div", f"{name}.{end}.times", f"{name}.parts", each)
        yield Step(f"{name}.{end}", whole, {"X": f"{name}.{end}.exact"}, shape=each)
    yield weight(f"{name}.zero", np.zeros(1, np.float32))
    yield weight(f"{name}.one", np.ones(1, np.float32))
    given = {"Start": f"{name}.zero", "End": f"{name}.length", "Step": f"{name}.one"}
    yield Step(f"{name}.places", "range", given, shape=(-1,))
    # Of whole numbers, 1 where a place is at the begin or behind it, and 1 where it is in front of the end.
    yield combined(f"{name}.from", "sub", f"{name}.begin", f"{name}.places", row)
    yield scaled(f"{name}.from.one", f"{name}.from", -1.0, 1.0, row)
    yield combined(f"{name}.to", "sub", f"{name}.end", f"{name}.places", row)
    for side in ("from.one", "to"):
        yield Step(f"{name}.{side}.cut", "clip", {"X": f"{name}.{side}"}, {"min": 0.0, "max": 1.0}, row)
    yield combined(f"{name}.inside", "mul", f"{name}.from.one.cut", f"{name}.to.cut", row)
    yield combined(f"{name}.count", "sub", f"{name}.end", f"{name}.begin", each)
    yield combined(name, "div", f"{name}.inside", f"{name}.count", row)


def mean_beyond(op: Op) -> Steps | None:
    """Means over windows that count what is padded, and not what the last ones reach beyond that, of which
    engines take other numbers. Paddle takes what is padded behind for as much as in front. All is padded
    before, so that windows are whole, and what the last ones count too much is made up for (`Pool2dFunctor`
    in phi/kernels/funcs/pooling.cc). None where a size is open, or a window sees nothing."""
    x, out = op.input("X"), op.output("Out")
    if (
        op.attr("pooling_type", "max") != "avg"
        or op.attr("exclusive", True)
        or op.attr("adaptive", False)
        or op.attr("global_pooling", False)
    ):
        return None
    if op.attr("data_format", "NCHW") not in ("NCHW", "AnyLayout") or min(*x.shape[2:], *out.shape[2:]) < 1:
        return None
    window, strides = op.attr("ksize"), op.attr("strides")
    padding = Window.of(op, tuple(window), x.shape[2:]).padding
    ends = [np.arange(out.shape[axis + 2]) * strides[axis] + window[axis] for axis in (0, 1)]
    last = [int(end[-1]) for end in ends]
    before = [pads[0] for pads in padding]
    counted = [
        np.minimum(ends[axis], x.shape[axis + 2] + 2 * before[axis]) - ends[axis] + window[axis]
        for axis in (0, 1)
    ]
    least = [np.min(count) for count in counted]
    if least == window or min(least) < 1:
        return None
    behind = [max(last[axis] - x.shape[axis + 2] - before[axis], 0) for axis in (0, 1)]
    larger = tuple(x.shape[axis + 2] + before[axis] + behind[axis] for axis in (0, 1))
    shares = np.outer(window[0] / counted[0], window[1] / counted[1]).astype(np.float32)
    attrs = {
        "paddings": [before[1], behind[1], before[0], behind[0], 0, 0],
        "mode": "constant",
        "value": 0.0,
        "data_format": "NCDHW",
    }
    batch, channels, *size = x.shape
    # What files pad is volumes.
    return (
        Step("volume", "unsqueeze2", {"X": x}, {"axes": [2]}, (batch, channels, 1, *size)),
        Step("larger", "pad3d", {"X": "volume"}, attrs, (batch, channels, 1, *larger)),
        Step("padded", "squeeze2", {"X": "larger"}, {"axes": [2]}, (batch, channels, *larger)),
        Step("mean", "pool2d", {"X": "padded"}, _plain("avg", window, strides)),
        weight("shares", shares),
        combined("counted", "mul", "mean", "shares"),
    )


def _plain(kind: str, kernel: list[int], strides: list[int]) -> dict[str, Any]:
    return {
        "pooling_type": kind,
        "ksize": kernel,
        "strides": strides,
        "paddings": [0, 0],
        "exclusive": True,
        "ceil_mode": False,
        "adaptive": False,
        "global_pooling": False,
        "data_format": "NCHW",
        "padding_algorithm": "EXPLICIT",
    }


def _repeated(size: int, parts: int) -> np.ndarray:
    """Which pixels each of the parts holds, as many of all: int64."""
    found = [np.arange(begin, end) for begin, end in parts_of(size, parts)]
    longest = max(len(one) for one in found)
    return np.concatenate([np.pad(one, (0, longest - len(one)), mode="edge") for one in found]).astype(
        np.int64
    )
