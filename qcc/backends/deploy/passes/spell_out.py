"""spell-out: ops that paddle2onnx lacks, or takes for something else, in ops that it knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.rewrite import remove_op, set_attrs


@options(frozen=True, config=OPTIONS)
class SpellOut(EnginePass):
    """Write ops that paddle2onnx does not translate, or translates wrongly, in others that give the same.

    Before, with x of [-1, 8, 12, 12]:

        a = channel_shuffle(X=x) {groups=2}
        b = softplus(X=x) {beta=2.0, threshold=20.0}

    After:

        a.split = reshape2(X=x) {shape=[0, 2, 4, 12, 12]}
        a.turned = transpose2(X=a.split) {axis=[0, 2, 1, 3, 4]}
        a = reshape2(X=a.turned) {shape=[0, 8, 12, 12]}
        b.scaled = scale(X=x) {scale=2.0}
        b.soft = softplus(X=b.scaled) {beta=1.0, threshold=20.0}
        b = scale(X=b.soft) {scale=0.5}

    In the same way pixel_unshuffle; fold where its patches lie side by side, and unpool where the windows of
    its pool do; gelu that is approximated by a tanh, which paddle2onnx takes for the other one; and softplus
    with a lower threshold, above which it is its input. Of the sizes of a map that is shuffled one may be
    open.
    """

    name: ClassVar[str] = "spell-out"

    def apply(self, graph: Graph) -> PassResult:
        found = {op: steps for op in graph.ops if (steps := _spelled(graph, op)) is not None}
        for op, steps in found.items():
            out = _out(op)
            check_free(graph, op, [f"{out.name}.{step.name}" for step in steps[:-1]])
        for op, steps in found.items():
            _write(graph, op, steps)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Step:
    """One op, or a weight where there is a `value`. The last of the steps of an op writes its output.

    `reads`: by slot, the name of a step before it, X for what the op that is replaced reads, or a variable.
    """

    name: str
    type: str = ""
    reads: Mapping[str, str | Var] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    """None: that of the op's output."""
    dtype: str = "float32"
    value: np.ndarray | None = None


Steps = tuple[_Step, ...]


def _spelled(graph: Graph, op: Op) -> Steps | None:
    spell = _SPELLINGS.get(op.type)
    steps = None if spell is None or op.input("X").dtype != VarType.FP32 else spell(op)
    others = [read for step in steps or () for read in step.reads.values() if isinstance(read, Var)]
    # What was read before the op may have been written over since.
    return steps if all(graph.var(var.name) is var for var in others) else None


def _out(op: Op) -> Var:
    return op.output(_slot(op))


def _slot(op: Op) -> str:
    return "Y" if op.type == "fold" else "Out"


def _write(graph: Graph, op: Op, steps: Steps) -> None:
    out, known = _out(op), {"X": op.input("X")}
    for step in steps[:-1]:
        shape = out.shape if step.shape is None else step.shape
        known[step.name] = graph.add_var(f"{out.name}.{step.name}", step.dtype, shape, step.value)
    known[steps[-1].name] = out
    graph.set_output(op, _slot(op), [])
    for step in steps:
        if step.value is None:
            inputs = {
                slot: known[read] if isinstance(read, str) else read for slot, read in step.reads.items()
            }
            made = graph.add_op(step.type, inputs, {"Out": known[step.name]}, {"op_role": 0}, before=op)
            set_attrs(graph, made, step.attrs)
    remove_op(graph, op, keep=out)


def _softplus(op: Op) -> Steps | None:
    beta, threshold = float(op.attr("beta", 1.0)), float(op.attr("threshold", _THRESHOLD))
    if beta == 0 or (beta, threshold) == (1.0, _THRESHOLD):
        return None
    soft = (
        _scaled("scaled", "X", beta),
        _Step("soft", "softplus", {"X": "scaled"}, {"beta": 1.0, "threshold": _THRESHOLD}),
        _scaled("narrow", "soft", 1 / beta),
    )
    if threshold >= _THRESHOLD:
        return soft
    limit = np.array([threshold], np.float32)
    return (
        *soft,
        _Step("threshold", shape=limit.shape, value=limit),
        _Step("linear", "greater_than", {"X": "scaled", "Y": "threshold"}, {"axis": -1}, dtype="bool"),
        _Step("chosen", "where", {"Condition": "linear", "X": "X", "Y": "narrow"}),
    )


def _gelu(op: Op) -> Steps | None:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), without a sum of two maps, which engines would
    be given as a residual one."""
    if not op.attr("approximate", False):
        return None
    factor = math.sqrt(2 / math.pi)
    return (
        _Step("square", "elementwise_mul", {"X": "X", "Y": "X"}, {"axis": -1}),
        _scaled("bent", "square", factor * 0.044715, factor),
        _Step("inner", "elementwise_mul", {"X": "X", "Y": "bent"}, {"axis": -1}),
        _Step("tanh", "tanh", {"X": "inner"}),
        _scaled("share", "tanh", 0.5, 0.5),
        _Step("product", "elementwise_mul", {"X": "X", "Y": "share"}, {"axis": -1}),
    )


def _channel_shuffle(op: Op) -> Steps | None:
    batch, channels, *sizes = op.input("X").shape
    groups = op.attr("groups")
    if op.attr("data_format", "NCHW") != "NCHW" or channels < 1:
        return None
    return _turned(op, (batch, groups, channels // groups, *sizes), (0, 2, 1, 3, 4))


def _pixel_unshuffle(op: Op) -> Steps | None:
    batch, channels, *sizes = op.input("X").shape
    side = op.attr("downscale_factor")
    if op.attr("data_format", "NCHW") != "NCHW" or channels < 1:
        return None
    height, width = (size // side if size > 0 else -1 for size in sizes)
    return _turned(op, (batch, channels, height, side, width, side), (0, 1, 3, 5, 2, 4))


def _fold(op: Op) -> Steps | None:
    kernel, sizes = op.attr("kernel_sizes"), op.attr("output_sizes")
    side_by_side = op.attr("strides") == kernel and not any(op.attr("paddings"))
    whole = not any(size % part for size, part in zip(sizes, kernel, strict=True))
    batch, values, _ = op.input("X").shape
    if not side_by_side or not whole or set(op.attr("dilations")) != {1} or values < 1:
        return None
    (height, width), (rows, columns) = kernel, (sizes[0] // kernel[0], sizes[1] // kernel[1])
    channels = values // (height * width)
    return _turned(op, (batch, channels, height, width, rows, columns), (0, 1, 4, 2, 5, 3))


def _unpool(op: Op) -> Steps | None:
    """Each value at the place of the first largest one of its window: where the pool has found it. What the
    pool says of that paddle2onnx does not translate."""
    x, out, pool = op.input("X"), op.output("Out"), op.input("Indices").producer
    if pool is None or not _side_by_side(pool) or min(x.shape[1:]) < 1:
        return None
    (batch, channels, height, width), (rows, columns) = x.shape, pool.attr("ksize")
    if not pool.input("X").shape[2:] == out.shape[2:] == (height * rows, width * columns):
        return None
    split, back = (batch, channels, height, rows, width, columns), [0, 1, 2, 4, 3, 5]
    windows = (batch, channels, height, width, rows, columns)
    flat, one = (*windows[:4], rows * columns), (*windows[:4], 1)
    places = np.arange(rows * columns, dtype=np.float32)
    first = {"axis": -1, "keepdims": True, "flatten": False, "dtype": int(VarType.INT64)}
    return (
        _Step("split", "reshape2", {"X": pool.input("X")}, {"shape": _with_batch(split)}, split),
        _Step("windows", "transpose2", {"X": "split"}, {"axis": back}, windows),
        _Step("flat", "reshape2", {"X": "windows"}, {"shape": _with_batch(flat)}, flat),
        _Step("first", "arg_max", {"X": "flat"}, first, one, "int64"),
        _Step("place", "cast", {"X": "first"}, _cast(VarType.INT64), one),
        _Step("places", shape=places.shape, value=places),
        _Step("own", "equal", {"X": "place", "Y": "places"}, {"axis": -1}, flat, "bool"),
        _Step("kept", "cast", {"X": "own"}, _cast(VarType.BOOL), flat),
        _Step("value", "reshape2", {"X": "X"}, {"shape": _with_batch(one)}, one),
        _Step("product", "elementwise_mul", {"X": "kept", "Y": "value"}, {"axis": -1}, flat),
        _Step("parts", "reshape2", {"X": "product"}, {"shape": _with_batch(windows)}, windows),
        _Step("turned", "transpose2", {"X": "parts"}, {"axis": back}, split),
        _Step("joined", "reshape2", {"X": "turned"}, {"shape": _with_batch(out.shape)}),
    )


def _cast(source: VarType) -> dict[str, int]:
    return {"in_dtype": int(source), "out_dtype": int(VarType.FP32)}


def _side_by_side(pool: Op) -> bool:
    """Whether the windows of a pool touch, and do not overlap."""
    if pool.type != "max_pool2d_with_index" or pool.attr("adaptive", False):
        return False
    fixed = not pool.attr("global_pooling", False) and not any(pool.attr("paddings"))
    return fixed and list(pool.attr("strides")) == list(pool.attr("ksize"))


def _turned(op: Op, split: tuple[int, ...], order: tuple[int, ...]) -> Steps | None:
    """Steps that split dimensions, put the parts into another order, and join them again."""
    joined, turned = _out(op).shape, tuple(split[at] for at in order)
    if sum(size < 1 for size in split[1:]) > 1 or sum(size < 1 for size in joined[1:]) > 1:
        return None
    return (
        _Step("split", "reshape2", {"X": "X"}, {"shape": _with_batch(split)}, split),
        _Step("turned", "transpose2", {"X": "split"}, {"axis": list(order)}, turned),
        _Step("joined", "reshape2", {"X": "turned"}, {"shape": _with_batch(joined)}),
    )


def _with_batch(shape: tuple[int, ...]) -> list[int]:
    """What a reshape is told: 0 stands for the size that is there, -1 for what is left over."""
    return [0, *(size if size > 0 else -1 for size in shape[1:])]


def _scaled(name: str, source: str, scale: float, bias: float = 0.0) -> _Step:
    attrs = {"scale": scale, "bias": bias, "bias_after_scale": True}
    return _Step(name, "scale", {"X": source}, attrs)


_THRESHOLD = 20.0
"""Above this softplus is its input, up to the rounding of float32: no larger one makes a difference."""

_SPELLINGS: Mapping[str, Callable[[Op], Steps | None]] = {
    "channel_shuffle": _channel_shuffle,
    "fold": _fold,
    "gelu": _gelu,
    "pixel_unshuffle": _pixel_unshuffle,
    "softplus": _softplus,
    "unpool": _unpool,
}
"""How an op of a type is written otherwise; None where it is left."""
