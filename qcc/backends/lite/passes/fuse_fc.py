"""fuse-fc: a product with a weight and the addition of a bias into one fc op."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.int8_op import ENABLED, LOWEST, USUAL_LOWEST, lowest_of
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import absorb, follower, is_weight, remove_op, set_attrs

_PRODUCTS = ("mul", "matmul", "matmul_v2")
_TRANSPOSES = ("transpose_X", "transpose_Y", "trans_x", "trans_y")


@options(frozen=True, config=OPTIONS)
class FuseFc(LitePass):
    """Make one fc op of a product with a two-dimensional weight and the addition of a bias.

    Before:

        m = matmul_v2(X=x, Y=w)
        y = elementwise_add(X=m, Y=b)

    After:

        y = fc(Input=x, W=w, Bias=b)  {in_num_col_dims = 1, op_type = "matmul_v2"}

    A relu behind it becomes its activation_type. With `bare`, a product without a bias becomes an fc op
    as well.
    """

    name: ClassVar[str] = "fuse-fc"

    bare: bool = False

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type not in _PRODUCTS or not _is_plain(graph, op):
                continue
            add = follower(graph, op, "Out", "elementwise_add")
            bias = add.input("Y") if add is not None and _adds_bias(graph, op, add) else None
            if bias is None and not self.bare:
                continue
            _fuse(graph, op, add if bias is not None else None, bias)
            modified = True
        return PassResult(modified)


def _is_plain(graph: Graph, op: Op) -> bool:
    """True for a product of an activation and a matrix, neither of them transposed, without a factor."""
    weight = op.input("Y")
    if not is_weight(graph, weight) or len(weight.shape) != 2 or op.input("X").persistable:
        return False
    if op.attr("alpha", 1.0) != 1.0 or op.attr("y_num_col_dims", 1) != 1:
        return False
    return not any(op.attr(name, False) for name in _TRANSPOSES)


def _adds_bias(graph: Graph, op: Op, add: Op) -> bool:
    """True when the addition's right operand is a row as long as the product's rows."""
    bias = add.input("Y")
    columns = op.input("Y").shape[1]
    if not is_weight(graph, bias) or bias.shape not in ((columns,), (1, columns)):
        return False
    rank = len(op.output("Out").shape)
    return add.attr("axis", -1) in (-1, rank - len(bias.shape))


def _fuse(graph: Graph, op: Op, add: Op | None, bias: Var | None) -> None:
    last = add or op
    out = last.output("Out")
    inputs: dict[str, Any] = {"Input": op.input("X"), "W": op.input("Y")}
    if bias is not None:
        inputs["Bias"] = bias
    attrs: dict[str, Any] = {"op_type": op.type, "in_num_col_dims": 1}
    if op.type == "mul":
        attrs["in_num_col_dims"] = int(op.attr("x_num_col_dims", 1))
    if op.attr(ENABLED):
        attrs |= {ENABLED: True, "bit_length": op.attr("bit_length")}
        if lowest_of(op) != USUAL_LOWEST:
            attrs[LOWEST] = lowest_of(op)
        attrs |= {"Input0_scale": op.attr("X0_scale"), "W0_scale": op.attr("Y0_scale")}
    # The new op reads the variables before the old ones let go of them.
    fc = graph.add_op("fc", inputs, {}, {}, before=op)
    if add is not None:
        remove_op(graph, add, keep=out)
    remove_op(graph, op, keep=out)
    graph.set_output(fc, "Out", [out])
    if bias is not None and (relu := follower(graph, fc, "Out", "relu")) is not None:
        attrs["activation_type"] = "relu"
        absorb(graph, fc, "Out", relu, "Out")
    set_attrs(graph, fc, attrs)
