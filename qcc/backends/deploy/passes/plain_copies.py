"""plain-copies: what Paddle's oneDNN kernels would get wrong from another op is read from a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.onednn_rounding import ACTIVATIONS
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import CONVOLUTIONS, read_a_copy
from qcc.quantization import quantized_op

_PRODUCTS = ("matmul", "matmul_v2")
_IMAGES = (*CONVOLUTIONS, "pool2d")
_ROWS = (*_PRODUCTS, "elementwise_max", "reshape", "reshape2", "transpose", "transpose2")
_MAP = 4
"""Dimensions of what convolutions give."""


@options(frozen=True, config=OPTIONS)
class PlainCopies(EnginePass):
    """Put the maximum of a value and itself, which is that value, in front of a second activation, of
    products of maps, and of quantize ops behind some float layers.

    Before, with maps of four dimensions that come from convolutions, and `t` of an open batch that comes from
    a float conv2d_transpose:

        a = relu(X=c)
        y = swish(X=a)
        p = matmul_v2(X=c, Y=d)
        q = quantize_linear(X=t)

    After:

        a = relu(X=c)
        y.X.copy = elementwise_max(X=a, Y=a)
        y = swish(X=y.X.copy)
        p.X.copy = elementwise_max(X=c, Y=c)
        p.Y.copy = elementwise_max(X=d, Y=d)
        p = matmul_v2(X=p.X.copy, Y=p.Y.copy)
        q.X.copy = elementwise_max(X=t, Y=t)
        q = quantize_linear(X=q.X.copy)

    Paddle 2.6 makes one op of a convolution and an activation, and then of that and a second one, whereby the
    first is forgotten. Its product kernel takes maps as they lie, channels in blocks, for rows of numbers;
    those that were reshaped, transposed or multiplied before lie in rows. Its quantize kernel describes
    channels in blocks by strides, which there are none for where a batch has more than one image; most layers
    give channels last, but neither do grouped convolutions, nor transposed ones unless they are of a kind.
    oneDNN has no kernel for the maximum of two values, so that what reads one gets it by itself, and in rows.
    """

    name: ClassVar[str] = "plain-copies"

    def apply(self, graph: Graph) -> PassResult:
        found = list(_concerned(graph))
        for op, slot in found:
            read_a_copy(graph, op, slot)
        return PassResult(bool(found))


def _concerned(graph: Graph) -> Iterator[tuple[Op, str]]:
    in_blocks, described_wrong = _in_blocks(graph), _described_wrong(graph)
    for op in graph.ops:
        if op.type in ACTIVATIONS:
            first = op.input("X").producer
            if first is not None and first.type in ACTIVATIONS:
                yield op, "X"
        elif op.type in _PRODUCTS:
            yield from ((op, slot) for slot in ("X", "Y") if op.input(slot) in in_blocks)
        elif op.type == "quantize_linear" and op.input("X") in described_wrong:
            yield op, "X"


def _in_blocks(graph: Graph) -> set[Var]:
    """The maps whose channels may lie in blocks: what layers on images give, and what others make of that
    until one puts it into rows."""
    return _handed_on(
        graph,
        lambda op: True if op.type in _IMAGES else None,
        lambda var: var.dtype == VarType.FP32,
    )


def _described_wrong(graph: Graph) -> set[Var]:
    """Of these, those that no strides describe: of several images, from layers that do not give channels
    last, or made of such."""
    return _handed_on(
        graph,
        lambda op: not _gives_channels_last(graph, op) if op.type in CONVOLUTIONS else None,
        lambda var: var.shape[0] != 1,
    )


def _handed_on(graph: Graph, gives: Callable[[Op], bool | None], kept: Callable[[Var], bool]) -> set[Var]:
    """The maps that some ops give, and what others make of them until one puts them into rows. `gives`: None
    for an op that hands on what it reads; `kept`: which maps count."""
    found: set[Var] = set()
    for op in graph.ops:
        given = gives(op)
        if given is None:
            given = op.type not in _ROWS and any(var in found for var in op.all_inputs())
        if given:
            found.update(var for var in op.all_outputs() if len(var.shape) == _MAP and kept(var))
    return found


def _gives_channels_last(graph: Graph, op: Op) -> bool:
    """Whether what an op gives has its channels last, as seen of oneDNN in Paddle 2.6 on processors with AVX2
    and newer: int8 convolutions do, and float ones with one group or one per channel; transposed ones with
    one group where their strides divide what they give beyond the first place."""
    groups, weight = op.attr("groups"), op.input("Filter").shape
    if not op.type.endswith("_transpose"):
        return groups in (1, weight[0]) or quantized_op(graph, op) is not None
    strides = op.attr("strides")
    if groups > 1 or min(strides) == 1 or max(op.attr("dilations")) > 1:
        return False
    if op.attr("padding_algorithm", "EXPLICIT") != "EXPLICIT":
        return False
    padded = np.reshape(op.attr("paddings"), (2, -1))
    padded = padded.sum(1) * (2 // padded.shape[1])
    over = np.array(weight[2:]) - padded + (op.attr("output_padding") or 0)
    return not np.any(over % strides)
