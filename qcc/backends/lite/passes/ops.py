"""lite-ops: ops that Paddle Lite has not, or not right, by ops that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.spellings.activations import BUILT_IN
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.targets.lite import Arch

# Whole powers up to here are products.
_POWERS = frozenset(map(float, range(2, 9)))
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
    """Compute by other ops what Paddle Lite has no kernel for, or one that ignores an attribute.

    Before:

        b = brelu(X=x)  {t_min = -1.0, t_max = 1.0}
        c = bmm(X=x, Y=z)
        d = relu6(X=x)  {threshold = 4.0}
        e = pow(X=x)  {factor = 2.0}
        f = sign(X=x)
        g = affine_channel(X=x, Scale=s, Bias=b)  {data_layout = "AnyLayout"}
        h = transpose2(X=m)  {axis = [1, 0]}, m being boolean
        i = cast(X=n)  {in_dtype = int64, out_dtype = bool}

    After:

        b = clip(X=x)  {min = -1.0, max = 1.0}
        c = matmul_v2(X=x, Y=z)
        d = relu6(X=x)  {threshold = 6.0}
        e = elementwise_mul(X=x, Y=x)
        f = ...  as (x > 0) - (x < 0)
        g.scaled = elementwise_mul(X=x, Y=s)
        g = elementwise_add(X=g.scaled, Y=b)
        h = ...  as a cast to float32, transpose2, and a cast back
        i = ...  as a cast to float32, and one to bool

    An affine_channel with data_layout NCHW stays one on ARM, which has a kernel for that.

    It is the other way round with the attributes of relu6, swish and hard_swish: Paddle 2.6 ignores them, and
    Paddle Lite does not, so that they get the values that Paddle computes with.
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
        op = self.graph.add_op(op_type, inputs, {"Out": made}, attrs, before=self.op)
        if op_type == "scale":
            self.graph.set_flag(op, "bias_after_scale", True)
        if not suffix:
            self.graph.remove_op(self.op)
        return made

    def scaled(self, suffix: str, x: Var, factor: float = 1.0, bias: float = 0.0) -> Var:
        return self.add("scale", suffix, {"X": x}, scale=factor, bias=bias)

    def clipped(self, suffix: str, x: Var, low: float, high: float) -> Var:
        return self.add("clip", suffix, {"X": x}, min=low, max=high)

    def product(self, suffix: str, x: Var, y: Var) -> Var:
        return self.add("elementwise_mul", suffix, {"X": x, "Y": y}, axis=-1)


def _brelu(at: _Expansion) -> bool:
    at.clipped("", at.x, float(at.op.attr("t_min", 0.0)), float(at.op.attr("t_max", 24.0)))
    return True


def _as_paddle_computes(at: _Expansion) -> bool:
    """Give an op the parameters that Paddle's kernel has built in."""
    built_in = BUILT_IN[at.op.type]
    changed = {name: value for name, value in built_in.items() if at.op.attr(name) != value}
    for name, value in changed.items():
        at.graph.set_attr(at.op, name, value)
    return bool(changed)


def _bmm(at: _Expansion) -> bool:
    at.add("matmul_v2", "", {"X": at.x, "Y": at.op.input("Y")}, trans_x=False, trans_y=False)
    return True


def _pow(at: _Expansion) -> bool:
    """The kernel of x86 takes a logarithm: a square of negative values is infinite there."""
    factor = at.op.attr("factor", 1.0)
    if at.op.inputs.get("FactorTensor") or at.x.dtype != VarType.FP32 or factor not in _POWERS:
        return False
    found = at.x
    for done in range(2, int(factor)):
        found = at.product(f"power{done}", found, at.x)
    at.product("", found, at.x)
    return True


def _sign(at: _Expansion) -> bool:
    """The kernel of ARM aborts, and x86 has none."""
    if at.x.dtype != VarType.FP32:
        return False
    zero = at.graph.add_var(f"{at.result.name}.zero", "float32", (1,), np.zeros(1, np.float32))
    parts = []
    for suffix, compare in (("above", "greater_than"), ("below", "less_than")):
        found = at.add(compare, suffix, {"X": at.x, "Y": zero}, dtype="bool", axis=-1)
        assert found.producer is not None
        at.graph.set_flag(found.producer, "force_cpu", False)
        types: dict[str, Any] = {"in_dtype": int(VarType.BOOL), "out_dtype": int(VarType.FP32)}
        parts.append(at.add("cast", f"{suffix}.float32", {"X": found}, **types))
    at.add("elementwise_sub", "", {"X": parts[0], "Y": parts[1]}, axis=-1)
    return True


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
    """Paddle takes every data_layout but NCHW for channels last; the kernel of ARM knows no other."""
    second = at.op.attr("data_layout", "AnyLayout") == "NCHW"
    if second and at.arch == "arm":
        return False
    axis = 1 if second else -1
    scaled = at.add("elementwise_mul", "scaled", {"X": at.x, "Y": at.op.input("Scale")}, axis=axis)
    at.add("elementwise_add", "", {"X": scaled, "Y": at.op.input("Bias")}, axis=axis)
    return True


_REWRITES: dict[str, Callable[[_Expansion], bool]] = {
    "affine_channel": _affine_channel,
    "cast": _cast,
    "sign": _sign,
    "transpose": _transpose,
    "transpose2": _transpose,
    "brelu": _brelu,
    "bmm": _bmm,
    "pow": _pow,
    **dict.fromkeys(BUILT_IN, _as_paddle_computes),
}
