"""How much an error of each channel of an activation matters to what reads it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from qcc.calibrate.histogram import Rows
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.channels import gain
from qcc.passes.elementwise import OF_ONE
from qcc.passes.quantizable import MATRIX_OPS, Operands, operands
from qcc.passes.rewrite import is_fetched, is_weight

_PASSED = OF_ONE | {"pool2d", "nearest_interp", "nearest_interp_v2", "bilinear_interp", "bilinear_interp_v2"}
_SUMS = ("elementwise_add", "elementwise_sub")
# Lower than this below the most important channel, channels are counted together.
_OCTAVES = 30


@dataclass(frozen=True)
class Importance:
    """The channels of an activation in rows of equal importance: `rows`, and the importance of each, float64
    [rows], ascending.

    What an op computes is off by the sum of the products of weights and errors. Errors of rounding do not
    know of each other, so that on average its square is the sum over channels of importance * error**2,
    with the sum of the squares of all weights that a channel meets as its importance. It is rounded to a
    power of two, which is exact enough, and makes few rows.
    """

    rows: Rows
    of_rows: np.ndarray

    @staticmethod
    def of(squares: np.ndarray, axis: int) -> Importance:
        """From the sum of the squares of the weights that each channel meets: float64 [channels]."""
        largest = float(squares.max(initial=0.0)) or 1.0
        octaves = np.rint(np.log2(np.maximum(squares, largest * 2.0**-_OCTAVES)))
        found, rows = np.unique(octaves, return_inverse=True)
        return Importance(Rows(rows.astype(np.int32), axis), 2.0**found)


def importances(graph: Graph, weights: Collection[str]) -> Mapping[str, Importance]:
    """The importance of the channels of each activation that meets one of these weights, by its name.

    An activation is left out whose channels do not stand in one axis for all its readers.
    """
    squares: dict[str, tuple[int, np.ndarray] | None] = {}
    for op in graph.ops:
        found = operands(op)
        if found is None or found.weight.name not in weights:
            continue
        name, own = found.data.name, _squares(graph, found)
        present = squares.get(name, own)
        if own is None or present is None or (present[0], present[1].size) != (own[0], own[1].size):
            squares[name] = None
        else:
            squares[name] = own if name not in squares else (own[0], present[1] + own[1])
    return {name: Importance.of(one[1], one[0]) for name, one in squares.items() if one is not None}


def importances_before(graph: Graph, wanted: Collection[str]) -> Mapping[str, Importance]:
    """The importance of the channels of maps that layers read behind activations, sums and the like, such as
    what a convolution writes in front of hard_swish, by their names: that of what the layers read. One is
    left out that anything else reads, too."""
    meant: dict[Var, np.ndarray | None] = {}
    for op in reversed(graph.ops):
        for var, squares in _met(graph, op, meant):
            meant[var] = None if is_fetched(graph, var) else _sum(meant.get(var, 0.0), squares)
    named = ((name, meant.get(graph.var(name))) for name in wanted if name in graph)
    return {name: Importance.of(squares, 1) for name, squares in named if squares is not None}


def _sum(present: np.ndarray | float | None, more: np.ndarray | None) -> np.ndarray | None:
    if present is None or more is None or np.shape(present) not in ((), more.shape):
        return None
    return present + more


def _met(
    graph: Graph, op: Op, meant: Mapping[Var, np.ndarray | None]
) -> Iterator[tuple[Var, np.ndarray | None]]:
    """What an op reads, and for each of its channels the sum of the squares of what it meets behind."""
    found = operands(op)
    if found is not None and is_weight(graph, found.weight):
        axis, squares = _squares(graph, found) or (0, None)
        yield found.data, squares if axis == 1 and len(found.data.shape) == 4 else None
        return
    written = op.outputs.get("Out", ())
    out = meant.get(written[0]) if len(written) == 1 else None
    data = [var for var in op.all_inputs() if not is_weight(graph, var)]
    if op.type == "concat" and out is not None and op.attr("axis", 0) == 1:
        ends = np.cumsum([var.shape[1] for var in op.inputs["X"]])
        if ends[-1] == out.size:
            yield from zip(op.inputs["X"], np.split(out, ends[:-1]), strict=True)
            return
    factors = gain(graph, op) if op.type == "elementwise_mul" else None
    if factors is not None and out is not None:
        yield data[0], out * np.square(factors.ranges(graph), dtype=np.float64)
        return
    passes = op.type in _PASSED or (op.type in _SUMS and all(var.shape == data[0].shape for var in data))
    for var in data:
        yield var, out if passes and len(var.shape) == 4 else None


def _squares(graph: Graph, found: Operands) -> tuple[int, np.ndarray] | None:
    """The axis of the activation's channels, and the sum of the squares of the weights that each meets."""
    op, squares = found.op, graph.weights[found.weight.name].astype(np.float64) ** 2
    if op.type in MATRIX_OPS:
        turned = op.attr("trans_x", False) or op.attr("transpose_X", False)
        if found.swapped or squares.ndim != 2 or turned:
            return None
        return -1, squares.sum(found.channel_axis)
    axis = -1 if op.attr("data_format", "NCHW") == "NHWC" else 1
    if op.type == "conv2d_transpose":
        return axis, squares.sum((1, 2, 3))
    groups = op.attr("groups", 1)
    # [out, in / groups, h, w]: the outputs of a group meet the inputs of that group.
    per_output = squares.sum((2, 3)).reshape(groups, -1, squares.shape[1])
    return axis, per_output.sum(1).reshape(-1)
