"""The network as a picture inside a page: its ops, coloured by what quantizing them costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import graphviz

from qcc.analyze.page.elements import Html, tag
from qcc.draw.folded import Folded, fold
from qcc.draw.labels import edge_label, op_facts
from qcc.draw.render import Layout, layout
from qcc.ir.graph import Graph

_WIDTH, _HEIGHT, _FEED_HEIGHT = 176.0, 44.0, 26.0
_LONGEST = 25
_FOLLOWERS = 3
_MARGIN = 8.0


@dataclass(frozen=True)
class Place:
    """What stands of an op elsewhere in the page: the row's link, the class of its colour, and words."""

    row: str
    look: str
    words: str


def network(graph: Graph, places: Mapping[str, Place]) -> Html:
    """The picture; `places`: by the variable that an op with a weight writes.

    Raises MissingDependencyError where nothing lays it out.
    """
    folded = fold(graph)
    sheet = layout(_source(graph, folded))
    edges = [_edge(sheet, folded, ends, edge_label(var)) for ends, var in folded.edges.items()]
    feeds = [
        _feed(sheet, -1 - index, name)
        for index, name in enumerate(graph.feeds)
        if _name(-1 - index) in sheet.nodes
    ]
    nodes = [_node(sheet, folded, number, places) for number in range(len(folded.folds))]
    width, height = sheet.width + 2 * _MARGIN, sheet.height + 2 * _MARGIN
    return tag(
        "svg",
        tag("title", "the network"),
        *edges,
        *feeds,
        *nodes,
        id="network-picture",
        viewBox=f"{-_MARGIN} {-_MARGIN} {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
    )


def _source(graph: Graph, folded: Folded) -> str:
    dot = graphviz.Digraph(
        graph_attr={"rankdir": "TB", "nodesep": "0.25", "ranksep": "0.3"},
        node_attr={"shape": "box", "fixedsize": "true", "label": "", "width": _inches(_WIDTH)},
        edge_attr={"arrowhead": "none"},
    )
    for index in range(len(graph.feeds)):
        dot.node(_name(-1 - index), height=_inches(_FEED_HEIGHT))
    for number in range(len(folded.folds)):
        dot.node(_name(number), height=_inches(_HEIGHT))
    for tail, head in folded.edges:
        dot.edge(_name(tail), _name(head))
    return str(dot.source)


def _inches(points: float) -> str:
    return f"{points / 72:.4f}"


def _name(number: int) -> str:
    return f"n{number}" if number >= 0 else f"f{-number}"


def _edge(sheet: Layout, folded: Folded, ends: tuple[int, int], words: str) -> Html:
    first, *rest = sheet.edges[_name(ends[0]), _name(ends[1])]
    d = f"M{first[0]:.1f} {first[1]:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in rest)
    return tag("path", tag("title", words), class_="edge", d=d)


def _feed(sheet: Layout, number: int, name: str) -> Html:
    x, y = sheet.nodes[_name(number)]
    box = tag("rect", class_="feed", **_box(x, y, _FEED_HEIGHT), rx=_FEED_HEIGHT / 2)
    return tag("g", tag("title", f"input {name}"), box, _text(x, y + 4, _short(name), "name"))


def _node(sheet: Layout, folded: Folded, number: int, places: Mapping[str, Place]) -> Html:
    one = folded.folds[number]
    x, y = sheet.nodes[_name(number)]
    op = one[0]
    outputs = [var.name for ours in one for var in ours.all_outputs()]
    place = next((places[name] for name in outputs if name in places), None)
    title, behind = " ".join([op.type, *op_facts(op, 0)]), folded.follower_names(number)
    more = f" +{len(behind) - _FOLLOWERS}" if len(behind) > _FOLLOWERS else ""
    second = ("+ " + ", ".join(behind[:_FOLLOWERS]) + more) if behind else ""
    words = [title, *behind, outputs[0] if outputs else "", *([place.words] if place else [])]
    shape = tag("rect", class_=place.look if place else "other", **_box(x, y, _HEIGHT), rx=5)
    lines = [_text(x, y - (3 if second else -4), _short(title), "kind")]
    if second:
        lines.append(_text(x, y + 13, _short(second), "name"))
    inner = (tag("title", "\n".join(words)), shape, *lines)
    if place is None:
        return tag("g", *inner)
    return tag("a", *inner, id=f"node-{place.row}", href=f"#{place.row}")


def _box(x: float, y: float, height: float) -> dict[str, object]:
    return {"x": f"{x - _WIDTH / 2:.1f}", "y": f"{y - height / 2:.1f}", "width": _WIDTH, "height": height}


def _text(x: float, y: float, words: str, look: str) -> Html:
    return tag("text", words, class_=look, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor="middle")


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
