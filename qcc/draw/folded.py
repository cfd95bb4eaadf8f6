"""A network in few nodes: each op with a weight together with what merely goes on behind it."""

from __future__ import annotations

from dataclasses import dataclass, field

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS


@dataclass
class Fold:
    """Ops that are one node: `ops[0]`, and those that follow it one by one, each the only reader of the one
    before."""

    ops: list[Op] = field(default_factory=list)


@dataclass(frozen=True)
class Folded:
    """The nodes in the order of the network, and the pairs of them that data flow between: their numbers, the
    variable, by the numbers' order. -1 - n stands for the feed n, and no edge leads to a fetch."""

    folds: tuple[Fold, ...]
    edges: dict[tuple[int, int], Var]


def fold(graph: Graph) -> Folded:
    """Fold a graph: an op with a weight begins a node, and so does whatever joins or parts ways.

    Before: `c = conv2d(x, w); b = elementwise_add(c, bias); y = relu(b)`, after: one node, conv2d.
    """
    number: dict[Op, int] = {}
    folds: list[Fold] = []
    edges: dict[tuple[int, int], Var] = {}
    feeds = {name: -1 - index for index, name in enumerate(graph.feeds)}
    for op in graph.ops:
        read = [var for var in op.all_inputs() if not var.persistable]
        before = _follows(op, read)
        if before is not None:
            number[op] = number[before]
            folds[number[op]].ops.append(op)
            continue
        number[op] = len(folds)
        folds.append(Fold([op]))
        for var in read:
            tail = feeds.get(var.name) if var.producer is None else number[var.producer]
            if tail is not None:
                edges.setdefault((tail, number[op]), var)
    return Folded(tuple(folds), edges)


def _follows(op: Op, read: list[Var]) -> Op | None:
    """The op that this one merely goes on with; None where there is none."""
    if op.type in KINDS and any(var.persistable for var in op.all_inputs()):
        return None
    if len(read) != 1 or read[0].producer is None or len(read[0].consumers) != 1:
        return None
    before = read[0].producer
    others = sum(len(var.consumers) for var in before.all_outputs())
    return before if others == 1 else None
