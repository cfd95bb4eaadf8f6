"""Boxes and lines between them as an SVG picture inside a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import graphviz

from qcc.analyze.page.elements import Html, tag
from qcc.draw.render import Layout, layout

_WIDTH, _HEIGHT, _PILL_HEIGHT = 176.0, 44.0, 26.0
_LONGEST = 25
_MARGIN = 8.0


@dataclass(frozen=True)
class Box:
    """`lines`: one or two that are seen; `words`: what is told of it besides; `look`: the class of colour.
    `link`: what a click leads to; `id`: what others may lead to. A pill is what comes in or goes out."""

    lines: Sequence[str]
    words: Sequence[str]
    look: str
    link: str | None = None
    id: str | None = None
    pill: bool = False

    @property
    def height(self) -> float:
        return _PILL_HEIGHT if self.pill else _HEIGHT


def drawing(title: str, boxes: Mapping[str, Box], edges: Mapping[tuple[str, str], str]) -> Html:
    """The picture. `boxes`: by short names without spaces; `edges`: words about a line from one to another.

    Raises MissingDependencyError where nothing lays it out.
    """
    sheet = layout(_source(boxes, edges))
    lines = [_edge(sheet, ends, words) for ends, words in edges.items()]
    shown = [_box(sheet.nodes[name], box) for name, box in boxes.items()]
    width, height = sheet.width + 2 * _MARGIN, sheet.height + 2 * _MARGIN
    return tag(
        "svg",
        tag("title", title),
        *lines,
        *shown,
        viewBox=f"{-_MARGIN} {-_MARGIN} {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
    )


def _source(boxes: Mapping[str, Box], edges: Mapping[tuple[str, str], str]) -> str:
    dot = graphviz.Digraph(
        graph_attr={"rankdir": "TB", "nodesep": "0.25", "ranksep": "0.3"},
        node_attr={"shape": "box", "fixedsize": "true", "label": "", "width": _inches(_WIDTH)},
        edge_attr={"arrowhead": "none"},
    )
    for name, box in boxes.items():
        dot.node(name, height=_inches(box.height))
    for tail, head in edges:
        dot.edge(tail, head)
    return str(dot.source)


def _inches(points: float) -> str:
    return f"{points / 72:.4f}"


def _edge(sheet: Layout, ends: tuple[str, str], words: str) -> Html:
    first, *rest = sheet.edges[ends]
    d = f"M{first[0]:.1f} {first[1]:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in rest)
    return tag("path", tag("title", words), class_="edge", d=d)


def _box(place: tuple[float, float], box: Box) -> Html:
    x, y = place
    corner = box.height / 2 if box.pill else 5
    sides = {"x": f"{x - _WIDTH / 2:.1f}", "y": f"{y - box.height / 2:.1f}"}
    shape = tag("rect", class_=box.look, **sides, width=_WIDTH, height=box.height, rx=corner)
    heights = (4.0,) if len(box.lines) == 1 else (-3.0, 13.0)
    looks = ("name",) if box.pill else ("kind", "name")
    texts = [
        tag("text", _short(line), class_=look, x=f"{x:.1f}", y=f"{y + down:.1f}", text_anchor="middle")
        for line, look, down in zip(box.lines, looks, heights, strict=False)
    ]
    inner = (tag("title", "\n".join(box.words)), shape, *texts)
    if box.link is None:
        return tag("g", *inner, id=box.id)
    return tag("a", *inner, id=box.id, href=f"#{box.link}")


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
