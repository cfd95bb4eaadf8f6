"""How much an error of each channel of an activation matters to what reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from qcc.calibrate.histogram import Rows
from qcc.ir.graph import Graph
from qcc.passes.quantizable import MATRIX_OPS, Operands, operands

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
