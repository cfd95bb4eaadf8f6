"""A network in few nodes: each op with a weight together with what merely goes on behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from qcc.draw.labels import edge_label, op_facts, op_title
from qcc.draw.picture import Edge, Key, Node, Picture, Role
from qcc.draw.roles import holds_integers, op_role
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS

Fold: TypeAlias = "list[Op]"
"""Ops that are one node: the first one, and those that follow it one by one, each the only reader of the one
before."""


@dataclass(frozen=True)
class Folded:
    """The nodes in the order of the network; and for each two numbers of nodes that data flow between, one
    variable that does. -1 - n stands for the feed n."""

    folds: tuple[Fold, ...]
    edges: dict[tuple[int, int], Var]

    def follower_names(self, number: int) -> list[str]:
        """What goes on behind the first op of a node, in short words."""
        return [_short(op) for op in self.folds[number][1:]]


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
            folds[number[op]].append(op)
            continue
        number[op] = len(folds)
        folds.append([op])
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


def _short(op: Op) -> str:
    if op.type == "elementwise_add" and any(var.persistable for var in op.all_inputs()):
        return "bias"
    return op.type.removeprefix("elementwise_")


def folded_view(graph: Graph) -> Picture:
    """A picture of a graph in few nodes, which a network of hundreds of ops is readable in."""
    folded = fold(graph)
    picture = Picture()
    for name in graph.feeds:
        if name in graph:
            picture.nodes["feed", name] = Node(Role.FEED, name, (edge_label(graph.versions(name)[0]),))
            picture.places.setdefault(name, []).append(("feed", name))
    for number, ops in enumerate(folded.folds):
        first, behind = ops[0], ", ".join(folded.follower_names(number))
        facts = (*op_facts(first, 0), f"+ {behind}" if behind else "")
        outputs = [var.name for var in ops[-1].all_outputs()]
        name = outputs[0] if outputs else ""
        picture.nodes[first] = Node(op_role(first), op_title(first), facts, name, first.type)
        for op in ops:
            for var in (*op.all_inputs(), *op.all_outputs()):
                found = picture.places.setdefault(var.name, [])
                if first not in found:
                    found.append(first)
    for (tail, head), var in folded.edges.items():
        key: Key = folded.folds[tail][0] if tail >= 0 else ("feed", graph.feeds[-1 - tail])
        picture.edges[key, folded.folds[head][0]] = Edge(edge_label(var), holds_integers(var))
    return picture
