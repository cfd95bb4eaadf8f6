"""plain-copies: what Paddle's oneDNN kernels would get wrong from another op is read from a copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.onednn_rounding import ACTIVATIONS
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import add_copy, free_name

_PRODUCTS = ("matmul", "matmul_v2")
_IMAGES = ("conv2d", "conv2d_transpose", "depthwise_conv2d", "pool2d")
_ROWS = (*_PRODUCTS, "elementwise_max", "reshape", "reshape2", "transpose", "transpose2")
_MAP = 4
"""Dimensions of what convolutions give."""


@options(frozen=True, config=OPTIONS)
class PlainCopies(EnginePass):
    """Put the maximum of a value and itself, which is that value, in front of a second activation, and in
    front of products of maps.

    Before, with maps of four dimensions that come from convolutions:

        a = relu(X=c)
        y = swish(X=a)
        p = matmul_v2(X=c, Y=d)

    After:

        a = relu(X=c)
        y.X.copy = elementwise_max(X=a, Y=a)
        y = swish(X=y.X.copy)
        p.X.copy = elementwise_max(X=c, Y=c)
        p.Y.copy = elementwise_max(X=d, Y=d)
        p = matmul_v2(X=p.X.copy, Y=p.Y.copy)

    Paddle 2.6 makes one op of a convolution and an activation, and then of that and a second one, whereby the
    first is forgotten. Its product kernel takes maps as they lie, channels in blocks, for rows of numbers;
    those that were reshaped, transposed or multiplied before lie in rows.
    oneDNN has no kernel for the maximum of two values, so that what reads one gets it by itself, and in rows.
    """

    name: ClassVar[str] = "plain-copies"

    def apply(self, graph: Graph) -> PassResult:
        found = list(_concerned(graph))
        for op, slot in found:
            source = op.input(slot)
            copy = graph.add_var_like(free_name(graph, op.output("Out").name, f".{slot}.copy"), source)
            add_copy(graph, source, copy, before=op)
            graph.set_input(op, slot, [copy])
        return PassResult(bool(found))


def _concerned(graph: Graph) -> Iterator[tuple[Op, str]]:
    in_blocks = _in_blocks(graph)
    for op in graph.ops:
        if op.type in ACTIVATIONS:
            first = op.input("X").producer
            if first is not None and first.type in ACTIVATIONS:
                yield op, "X"
        elif op.type in _PRODUCTS:
            yield from ((op, slot) for slot in ("X", "Y") if op.input(slot) in in_blocks)


def _in_blocks(graph: Graph) -> set[Var]:
    """The maps whose channels may lie in blocks: what layers on images give, and what others make of that
    until one puts it into rows."""
    found: set[Var] = set()
    for op in graph.ops:
        if op.type in _IMAGES or (op.type not in _ROWS and any(var in found for var in op.all_inputs())):
            found.update(
                var for var in op.all_outputs() if len(var.shape) == _MAP and var.dtype == VarType.FP32
            )
    return found
