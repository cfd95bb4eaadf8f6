"""kept-dims: reductions that keep the dimensions that they reduce, and a squeeze behind them."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult, check_free

_TYPES = ("reduce_max", "reduce_mean", "reduce_min", "reduce_sum")
_CHANNEL = 1
_TOKENS = 3
"""How many dimensions tokens have, where images have four."""


@options(frozen=True, config=OPTIONS)
class KeptDims(EnginePass):
    """Reduce in two steps where the second dimension is another one behind it, or the input has three.

    Before, with x of [-1, 16, 384]:

        y = reduce_mean(X=x) {dim=[1], keep_dim=false}

    After:

        y.kept = reduce_mean(X=x) {dim=[1], keep_dim=true}
        y = squeeze2(X=y.kept) {axes=[1]}

    OpenVINO 2026.4 computes a norm, a factor or a bias of each channel behind a reduction together with it,
    where a quantize op follows, and then takes the values of other channels. Of maps of four dimensions that
    are reduced to their channels it takes the right ones. A last dimension of three that is kept already goes
    wrong as well, from a batch of two on, and stays.
    """

    name: ClassVar[str] = "kept-dims"

    def apply(self, graph: Graph) -> PassResult:
        chosen = {op: axes for op in graph.ops if (axes := _dropped(op))}
        for op in chosen:
            check_free(graph, op, [_kept(op)])
        for op, axes in chosen.items():
            x, out = op.input("X"), op.output("Out")
            shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
            kept = graph.add_var(_kept(op), "float32", shape)
            graph.set_output(op, "Out", [kept])
            graph.set_flag(op, "keep_dim", True)
            attrs = {"axes": list(axes), "op_role": 0}
            graph.add_op("squeeze2", {"X": kept}, {"Out": out}, attrs, after=op)
        return PassResult(bool(chosen))


def _kept(op: Op) -> str:
    return f"{op.output('Out').name}.kept"


def _dropped(op: Op) -> tuple[int, ...]:
    """The dimensions that an op reduces and drops, where what is left has channels that go wrong."""
    if op.type not in _TYPES or op.attr("keep_dim", False) or op.attr("reduce_all", False):
        return ()
    if op.input("X").dtype != VarType.FP32:
        return ()
    rank = len(op.input("X").shape)
    axes = tuple(sorted(axis % rank for axis in op.attr("dim")))
    has_channels = rank - len(axes) > _CHANNEL
    # Without any, all are reduced.
    return axes if axes and has_channels and (axes[0] <= _CHANNEL or rank == _TOKENS) else ()
