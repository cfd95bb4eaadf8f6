"""Where in a graph in QDQ form an engine wants quantized variables, besides the inputs of quantized ops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import CONVOLUTIONS, RECTIFIERS, is_fetched, only_reader
from qcc.passes.round_trip import round_trips, rounded_from

Where = Literal["outputs", "shortcuts"]

# What comes out of them has gone in: it can be quantized in front of them as well as behind.
_MOVES = frozenset(
    {
        "concat",
        "flatten_contiguous_range",
        "nearest_interp",
        "nearest_interp_v2",
        "reshape2",
        "slice",
        "split",
        "squeeze2",
        "transpose2",
        "unsqueeze2",
    }
)

# What may stand between the addition of a mask and the softmax behind it.
_BEFORE_SOFTMAX = ("cast", "reshape2", "scale", "squeeze2", "transpose2", "unsqueeze2")


def points(graph: Graph, where: Where) -> list[Var]:
    """The variables that are to be quantized, in order; without those that are fetched. A residual addition
    of floats alone, as between layers that were left float, stays one of floats."""
    found: dict[Var, None] = {}
    moved: set[Var] = set()

    def is_rounded(var: Var) -> bool:
        return var in found or var in moved or pair_of(var) is not None

    order: dict[Op | None, int] = {op: number for number, op in enumerate(graph.ops)}
    for op in graph.ops:
        if is_residual_add(op) and not _makes_scores(graph, op):
            if where == "shortcuts":
                shortcut = _shortcut(graph, op, order)
                found.update({} if shortcut is None else {shortcut: None})
                continue
            operands = [rounded_from(var) for var in op.all_inputs()]
            if any(map(is_rounded, operands)):
                found.update((var, None) for var in operands)
                found[end_of(graph, op.output("Out"))] = None
        elif _moves(op):
            if any(is_rounded(rounded_from(var)) for var in op.all_inputs()):
                moved.update(op.all_outputs())
        elif where == "outputs" and is_quantized_convolution(op):
            found[end_of(graph, op.output(KINDS[op.type].output))] = None
    return [var for var in found if var.producer is not None and not is_fetched(graph, var)]


def is_residual_add(op: Op) -> bool:
    """True for an addition of two activations of one shape with four dimensions."""
    if op.type != "elementwise_add":
        return False
    left, right = op.input("X"), op.input("Y")
    computed = left.producer is not None and right.producer is not None
    return computed and left is not right and len(left.shape) == 4 and left.shape == right.shape


def _makes_scores(graph: Graph, add: Op) -> bool:
    """Whether a softmax takes what an addition makes: scores of attention and a mask, which is -10,000 or
    minus infinity where nothing is to be seen. With one scale for both, nothing of the scores is left."""
    op: Op | None = add
    while op is not None and (op is add or op.type in _BEFORE_SOFTMAX):
        op = only_reader(graph, op.output("Out"))
    return op is not None and op.type == "softmax"


def pair_of(var: Var) -> tuple[Op, Op] | None:
    """The quantize op that reads a variable, and the dequantize op behind it; None where there is none."""
    for quantize in var.consumers:
        if quantize.type == "quantize_linear":
            for op in quantize.output("Y").consumers:
                if op.type == "dequantize_linear":
                    return quantize, op
    return None


def inherited_scales(graph: Graph) -> dict[Var, float]:
    """The scales of variables that are moved only, and then quantized with one scale."""
    known: dict[Var, float] = {}
    for op in reversed(graph.ops):
        for var in op.all_outputs():
            scale = _scale_behind(graph, var, known)
            if scale is not None:
                known[var] = scale
    return known


def _scale_behind(graph: Graph, var: Var, known: dict[Var, float]) -> float | None:
    pair = pair_of(var)
    if pair is not None:
        return float(graph.weights[pair[0].input("Scale").name].reshape(-1)[0])
    scales: set[float | None] = set()
    for op in var.consumers:
        if not _moves(op):
            return None
        data = [read for read in op.all_outputs() if read.consumers]
        scales.update(known.get(read) for read in data)
    return scales.pop() if len(scales) == 1 else None


def _moves(op: Op) -> bool:
    if op.type == "pool2d":
        return bool(op.attr("pooling_type") == "max")
    return op.type in _MOVES


def is_quantized_convolution(op: Op) -> bool:
    """True for a convolution in QDQ form."""
    if op.type not in CONVOLUTIONS or op.type not in KINDS:
        return False
    found = round_trips(op)
    return found is not None and found.is_stored


def end_of(graph: Graph, var: Var) -> Var:
    """Where the work of an op ends: behind its bias and its rectifier, where these alone read it."""
    op = only_reader(graph, var)
    if op is not None and op.type == "elementwise_add" and op.input("X") is var and op.input("Y").persistable:
        var = op.output("Out")
        op = only_reader(graph, var)
    if op is not None and op.type in RECTIFIERS:
        var = op.output("Out")
    return var


def _shortcut(graph: Graph, add: Op, order: Mapping[Op | None, int]) -> Var | None:
    """The operand of a residual addition beside the one that a convolution alone computes for it; None where
    there is no such convolution. `order`: the places of the ops."""
    left, right = add.input("X"), add.input("Y")
    fused = [var for var in (left, right) if _ends_a_convolution(graph, var)]
    if not fused:
        return None
    # Of two convolutions the later one is fused with the addition.
    last = max(fused, key=lambda var: order[var.producer])
    return rounded_from(right if last is left else left)


def _ends_a_convolution(graph: Graph, var: Var) -> bool:
    op = var.producer
    if op is not None and op.type == "elementwise_add" and op.input("Y").persistable:
        op = op.input("X").producer
    return op is not None and is_quantized_convolution(op) and only_reader(graph, var) is not None
