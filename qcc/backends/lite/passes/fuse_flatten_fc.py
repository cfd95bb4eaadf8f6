"""fuse-flatten-fc: take the flattening out in front of an fc op."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import only_reader, remove_op


@options(frozen=True, config=OPTIONS)
class FuseFlattenFc(LitePass):
    """Take out a flattening in front of an fc op, which flattens its input itself.

    Before:

        f = flatten_contiguous_range(X=x)  {start_axis = 1, stop_axis = 3}
        y = fc(Input=f, W=w, Bias=b)  {in_num_col_dims = 1, op_type = "matmul_v2"}

    After:

        y = fc(Input=x, W=w, Bias=b)  {in_num_col_dims = 1, op_type = "mul"}
    """

    name: ClassVar[str] = "fuse-flatten-fc"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if not _flattens_samples(op):
                continue
            flat = op.output("Out")
            fc = only_reader(graph, flat)
            if fc is None or fc.type != "fc" or fc.attr("in_num_col_dims") != 1:
                continue
            graph.replace_input(fc, flat, op.input("X"))
            # A product of matrices would take all dimensions but the last for rows.
            graph.set_attr(fc, "op_type", "mul")
            remove_op(graph, op)
            modified = True
        return PassResult(modified)


def _flattens_samples(op: Op) -> bool:
    """True for a flattening of everything but the first dimension, whose XShape nobody reads."""
    if op.type != "flatten_contiguous_range":
        return False
    rank = len(op.input("X").shape)
    whole = op.attr("start_axis", 1) == 1 and op.attr("stop_axis", 1) in (-1, rank - 1)
    return whole and not any(var.consumers for var in op.outputs.get("XShape", ()))
