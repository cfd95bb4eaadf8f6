"""fuse-fc: a product with a weight and the addition of a bias into one fc op."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.graph_op import GraphOp
from qcc.backends.lite.passes.int8_op import ENABLED, LOWEST, USUAL_LOWEST, lowest_of
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.rules.products import leading_extents, why_not_fc
from qcc.backends.lite.rules.view import Rows
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import absorb, follower, is_weight, remove_op, set_attrs
from qcc.targets.lite import Arch

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

    On ARM an int8 fc op is right only for a number of rows that never changes (`rows`: as the declared shapes
    say, or fixed, or open), more than one column, and a weight that no other op reads; the kernels of int8
    products without a bias are always right. So others stay as they are.
    """

    name: ClassVar[str] = "fuse-fc"

    bare: bool = False
    arch: Arch = "arm"
    rows: Rows = "declared"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        rows = self.rows if self.arch == "arm" else None
        for op in graph.ops:
            if op.type not in _PRODUCTS or not may_be_fc(graph, op, rows):
                continue
            add = bias_behind(graph, op)
            if add is None and not self.bare:
                continue
            _fuse(graph, op, add, None if add is None else add.input("Y"))
            modified = True
        return PassResult(modified)


def may_be_fc(graph: Graph, op: Op, rows: Rows | None) -> bool:
    """Whether a product is one that an fc op computes; unless `rows` is None, also on ARM in int8."""
    if not _is_plain(graph, op):
        return False
    view = GraphOp(graph, op)
    if rows is None or not view.computes_int8:
        return True
    return why_not_fc(leading_extents(view), op.input("Y").shape[1], view.is_shared("Y"), rows) is None


def bias_behind(graph: Graph, op: Op) -> Op | None:
    """The addition of a bias behind a product; None where there is none."""
    add = follower(graph, op, "Out", "elementwise_add")
    return add if add is not None and _adds_bias(graph, op, add) else None


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
    if len(bias.shape) > rank:
        # The sum has a dimension that the product of a vector has not.
        return False
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
