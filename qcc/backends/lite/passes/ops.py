"""lite-ops: ops of types or layouts without a kernel in Paddle Lite, or with a wrong one, by other ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.spellings.maps import affine_channel
from qcc.backends.spellings.step import Step, transposed
from qcc.backends.spellings.write import write
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.targets.lite import Arch

# Casts for which float32 in between loses nothing.
_BY_FLOATS = frozenset(
    {
        ("bool", "uint8"),
        ("int64", "bool"),
        ("uint8", "bool"),
        ("uint8", "int32"),
        ("uint8", "int64"),
    }
)


@options(frozen=True, config=OPTIONS)
class LiteOps(LitePass):
    """Compute by other ops what kernels of Paddle Lite do not take of some types or layouts, or get wrong.

    Before:

        g = affine_channel(X=x, Scale=s, Bias=b)  {data_layout = "AnyLayout"}
        h = transpose2(X=m)  {axis = [1, 0]}, m being boolean
        i = cast(X=n)  {in_dtype = int64, out_dtype = bool}
        j = reverse(X=x)  {axis = [3]}

    After:

        g.scaled = elementwise_mul(X=x, Y=s)
        g = elementwise_add(X=g.scaled, Y=b)
        h = ...  as a cast to float32, transpose2, and a cast back
        i = ...  as a cast to float32, and one to bool
        j = flip(X=x)  {axis = [3]}

    On x86 a softmax over another axis than the last one becomes one over the last, between two transposes.

    An affine_channel with data_layout NCHW stays one on ARM, which has a kernel for that.
    """

    name: ClassVar[str] = "lite-ops"
    runs_in_paddle: ClassVar[bool] = True

    arch: Arch = "arm"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            rewrite = _REWRITES.get(op.type)
            if rewrite is not None:
                modified |= rewrite(_Expansion(graph, op, self.arch))
        return PassResult(modified)


class _Expansion:
    """An op on its way to be replaced: `add` makes the ops that do its work, the last one its output."""

    def __init__(self, graph: Graph, op: Op, arch: Arch) -> None:
        self.graph = graph
        self.op = op
        self.arch = arch
        self.x = op.input("X")
        self.result = op.output("Out")

    def add(
        self, op_type: str, suffix: str, inputs: dict[str, Var], dtype: str = "float32", **attrs: Any
    ) -> Var:
        """An op that writes a new variable `<output>.<suffix>`; without a suffix, the output itself."""
        made = self.result
        if suffix:
            made = self.graph.add_var(f"{self.result.name}.{suffix}", dtype, self.result.shape)
        else:
            self.graph.set_output(self.op, "Out", [])
        self.graph.add_op(op_type, inputs, {"Out": made}, attrs, before=self.op)
        if not suffix:
            self.graph.remove_op(self.op)
        return made


def _cast(at: _Expansion) -> bool:
    """The kernel, one for all processors, knows few pairs of element types."""
    pair = dtype_name(at.x.dtype), dtype_name(at.result.dtype)
    if pair not in _BY_FLOATS:
        return False
    there: dict[str, Any] = {"in_dtype": int(at.x.dtype), "out_dtype": int(VarType.FP32)}
    back: dict[str, Any] = {"in_dtype": int(VarType.FP32), "out_dtype": int(at.result.dtype)}
    floats = at.add("cast", "float32", {"X": at.x}, **there)
    at.add("cast", "", {"X": floats}, **back)
    return True


def _transpose(at: _Expansion) -> bool:
    """Neither processor transposes booleans."""
    if at.x.dtype != VarType.BOOL or any(var.consumers for var in at.op.outputs.get("XShape", ())):
        return False
    there, back = int(VarType.BOOL), int(VarType.FP32)
    numbers = at.graph.add_var(f"{at.result.name}.source", "float32", at.x.shape)
    types: dict[str, Any] = {"in_dtype": there, "out_dtype": back}
    at.graph.add_op("cast", {"X": at.x}, {"Out": numbers}, types, before=at.op)
    turned = at.add("transpose2", "float32", {"X": numbers}, axis=list(at.op.attr("axis")))
    types = {"in_dtype": back, "out_dtype": there}
    at.add("cast", "", {"X": turned}, **types)
    return True


def _affine_channel(at: _Expansion) -> bool:
    """The kernel of ARM knows no other layout than NCHW."""
    if at.op.attr("data_layout", "AnyLayout") == "NCHW" and at.arch == "arm":
        return False
    write(at.graph, at.op, affine_channel(at.op))
    return True


def _reverse(at: _Expansion) -> bool:
    """The kernel, one for all processors, ends the process."""
    at.add("flip", "", {"X": at.x}, axis=[int(axis) for axis in at.op.attr("axis")])
    return True


def _softmax(at: _Expansion) -> bool:
    """Where the axis is not the last one, the kernel of x86 takes the exponential of what it reads, with no
    maximum taken away: from 89 on that is infinite, and the result no number."""
    last = len(at.x.shape) - 1
    # Of a scalar there is no axis.
    axis = int(at.op.attr("axis", -1)) % max(last + 1, 1)
    if at.arch == "arm" or axis >= last:
        return False
    order = list(range(last + 1))
    order[axis], order[last] = last, axis
    shape = tuple(at.x.shape[place] for place in order)
    turned = transposed("turned", at.x, tuple(order), shape)
    shares = Step("shares", "softmax", {"X": "turned"}, {"axis": -1}, shape)
    write(at.graph, at.op, (turned, shares, transposed("back", "shares", tuple(order), at.x.shape)))
    return True


_REWRITES: dict[str, Callable[[_Expansion], bool]] = {
    "affine_channel": _affine_channel,
    "cast": _cast,
    "reverse": _reverse,
    "softmax": _softmax,
    "transpose": _transpose,
    "transpose2": _transpose,
}
