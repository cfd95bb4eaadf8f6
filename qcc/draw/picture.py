"""What a drawing shows: nodes with a role and a label, and edges. How it looks is `qcc.draw.dot`'s."""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

from qcc.errors import GraphError


class Role(Enum):
    """What a node is; the value is its line in the legend."""

    FEED = "input of the model"
    FETCH = "output of the model"
    FLOAT_OP = "float op"
    QUANTIZED_OP = "quantized op"
    QUANTIZE = "quantize: float to integer"
    DEQUANTIZE = "dequantize: integer to float"
    ROUND_TRIP = "quantize and dequantize in one"
    TRAINING_OP = "backward or optimizer op"
    WEIGHT = "weight, float"
    INTEGER_WEIGHT = "weight, integers"
    SCALE = "scale"
    CUT = "more of the model, not drawn"


class Change(Enum):
    """What a pass did to a node or an edge."""

    NONE = "unchanged"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed or rewired"


Key: TypeAlias = Hashable
"""What makes a node the same before and after a pass: its op, or the kind and name of its variable."""


@dataclass(frozen=True)
class Node:
    """A title, short facts below it, the name by which the textual form knows it, and more on hovering."""

    role: Role
    title: str
    facts: tuple[str, ...] = ()
    name: str = ""
    tooltip: str = ""
    change: Change = Change.NONE


@dataclass(frozen=True)
class Edge:
    """Data that flows; `label` is its shape.

    `integer` marks quantized data, `side` what is no activation: weights, scales; `kept` marks forward
    data that a backward or optimizer op reads.
    """

    label: str = ""
    integer: bool = False
    side: bool = False
    kept: bool = False
    change: Change = Change.NONE


@dataclass
class Picture:
    """Nodes and edges in the order in which they are drawn.

    `places` tells for every variable, drawn or not, at which nodes it is found.
    """

    nodes: dict[Key, Node] = field(default_factory=dict)
    edges: dict[tuple[Key, Key], Edge] = field(default_factory=dict)
    places: dict[str, list[Key]] = field(default_factory=dict)

    def neighbours(self) -> dict[Key, list[Key]]:
        """All nodes that share an edge with each node; what was removed between nodes that stay is no way."""
        found: dict[Key, list[Key]] = {key: [] for key in self.nodes}
        for (tail, head), edge in self.edges.items():
            ends = (self.nodes[tail].change, self.nodes[head].change)
            if edge.change is Change.REMOVED and Change.REMOVED not in ends:
                continue
            found[tail].append(head)
            found[head].append(tail)
        return found


def difference(before: Picture, after: Picture) -> Picture:
    """Both pictures in one, where every node and edge tells what happened to it."""
    nodes: dict[Key, Node] = {}
    for key, node in before.nodes.items():
        now = after.nodes.get(key)
        if now is None:
            nodes[key] = replace(node, change=Change.REMOVED)
        else:
            nodes[key] = now if now == node else replace(now, change=Change.CHANGED)
    for key, node in after.nodes.items():
        if key not in nodes:
            nodes[key] = replace(node, change=Change.ADDED)
    edges = {}
    for ends, edge in before.edges.items():
        if ends in after.edges:
            edges[ends] = after.edges[ends]
        else:
            edges[ends] = replace(edge, change=Change.REMOVED)
    for ends, edge in after.edges.items():
        if ends not in edges:
            added = any(nodes[key].change is Change.ADDED for key in ends)
            edges[ends] = replace(edge, change=Change.ADDED if added else Change.CHANGED)
    places = {
        name: list(dict.fromkeys([*before.places.get(name, ()), *after.places.get(name, ())]))
        for name in before.places | after.places
    }
    return Picture(nodes, edges, places)


def around(picture: Picture, name: str, depth: int) -> Picture:
    """The part of a picture within `depth` edges of a variable; the rest becomes dots.

    Weights and scales come with their ops, wholly, and do not count as a way from one op to another.
    Raises GraphError for an unknown name, with the nearest known ones.
    """
    if not picture.places.get(name):
        near = difflib.get_close_matches(name, [known for known, keys in picture.places.items() if keys], n=3)
        hint = f"; the nearest names are {', '.join(near)}" if near else ""
        raise GraphError(f"no op of the graph reads or writes a variable {name!r}{hint}.")
    neighbours = picture.neighbours()
    side = {key for key, node in picture.nodes.items() if node.role in _SIDE_ROLES}
    centres = picture.places[name]
    waiting = list(centres)
    distance = dict.fromkeys(waiting, 0)
    for key in waiting:
        if distance[key] == depth or (key in side and key not in centres):
            continue
        for other in neighbours[key]:
            if other not in distance:
                distance[other] = distance[key] + 1
                waiting.append(other)
    shown = set(distance)
    shown.update(other for key in distance if key not in side for other in neighbours[key] if other in side)
    return _cut(picture, _with_weight_chains(picture, shown))


_SIDE_ROLES = (Role.WEIGHT, Role.INTEGER_WEIGHT, Role.SCALE)


def _with_weight_chains(picture: Picture, shown: set[Key]) -> set[Key]:
    """The nodes with all that makes a weight or a scale for one of them."""
    sources: dict[Key, list[Key]] = {}
    for (tail, head), edge in picture.edges.items():
        if edge.side:
            sources.setdefault(head, []).append(tail)
    waiting = list(shown)
    for key in waiting:
        for tail in sources.get(key, ()):
            if tail not in shown:
                shown.add(tail)
                waiting.append(tail)
    return shown


def _cut(picture: Picture, shown: set[Key]) -> Picture:
    nodes = {key: node for key, node in picture.nodes.items() if key in shown}
    edges: dict[tuple[Key, Key], Edge] = {}
    for (tail, head), edge in picture.edges.items():
        if tail in shown and head in shown:
            edges[tail, head] = edge
        elif edge.side or edge.change is Change.REMOVED:
            continue
        elif tail in shown:
            nodes[tail, "behind"] = Node(Role.CUT, "…")
            edges[tail, (tail, "behind")] = replace(edge, label="")
        elif head in shown:
            nodes[head, "before"] = Node(Role.CUT, "…")
            edges[(head, "before"), head] = replace(edge, label="")
    return Picture(nodes, edges)
