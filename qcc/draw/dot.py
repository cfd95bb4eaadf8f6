"""How a picture looks: Graphviz source.

Roles differ in shape and in colour. The colours are those of Okabe and Ito, which colour-blind people
tell apart (https://jfly.uni-koeln.de/color/); what a pass added is also bold, what it removed dashed.
"""

from __future__ import annotations

import graphviz

from qcc.draw.picture import Change, Edge, Node, Picture, Role
from qcc.shown import markup

_FONT = "Helvetica"  # one family, whose widths the renderer knows; browsers take one like it
_GREEN, _VERMILION, _PURPLE, _BLUE = "#009E73", "#D55E00", "#AA3377", "#0072B2"
_GREY = "#666666"
_LEGEND_COLUMNS = 3

_FUNNEL = {"shape": "polygon", "sides": "4", "margin": "0.05,0.03"}
_LOOKS = {
    Role.FEED: {"shape": "ellipse", "fillcolor": "#FFFFFF"},
    Role.FETCH: {"shape": "ellipse", "fillcolor": "#444444", "fontcolor": "#FFFFFF", "peripheries": "2"},
    Role.FLOAT_OP: {"shape": "box", "style": "filled,rounded", "fillcolor": "#EEEEEE"},
    Role.QUANTIZED_OP: {"shape": "box", "fillcolor": "#56B4E9", "peripheries": "2"},
    Role.QUANTIZE: {**_FUNNEL, "distortion": "0.4", "fillcolor": "#E69F00"},
    Role.DEQUANTIZE: {**_FUNNEL, "distortion": "-0.4", "fillcolor": "#F0E442"},
    Role.ROUND_TRIP: {"shape": "hexagon", "fillcolor": "#F3C15A", "margin": "0.02,0.03"},
    Role.TRAINING_OP: {"shape": "parallelogram", "fillcolor": "#E8DCCB", "margin": "0.02,0.03"},
    Role.WEIGHT: {"shape": "cylinder", "fillcolor": "#E3BAD2"},
    Role.INTEGER_WEIGHT: {"shape": "cylinder", "fillcolor": "#0072B2", "fontcolor": "#FFFFFF"},
    Role.SCALE: {"shape": "note", "fillcolor": "#BFE8DA"},
    Role.CUT: {"shape": "plaintext", "style": ""},
}
_CHANGED_NODES = {
    Change.ADDED: {"color": _GREEN, "penwidth": "4"},
    Change.REMOVED: {"color": _VERMILION, "penwidth": "2", "style": "dashed", "fontcolor": "#777777"},
    Change.CHANGED: {"color": _PURPLE, "penwidth": "3"},
}
_CHANGED_EDGES = {
    Change.ADDED: {"color": _GREEN},
    Change.REMOVED: {"color": _VERMILION, "style": "dashed", "fontcolor": "#AAAAAA", "arrowhead": "empty"},
    Change.CHANGED: {"color": _PURPLE},
}


def to_dot(picture: Picture, title: str = "") -> str:
    """The Graphviz source of a picture, with a legend of what occurs in it; the same text every time."""
    dot = graphviz.Digraph(
        graph_attr={"fontname": _FONT, "nodesep": "0.25", "ranksep": "0.35", "rankdir": "TB"},
        node_attr={"fontname": _FONT, "fontsize": "11", "style": "filled", "color": _GREY, "height": "0.3"},
        edge_attr={"fontname": _FONT, "fontsize": "8", "fontcolor": "#555555", "color": "#555555"},
    )
    if title:
        dot.attr(label=title, labelloc="t", fontsize="14")
    identifiers = {key: f"n{number}" for number, key in enumerate(picture.nodes)}
    for key, node in picture.nodes.items():
        dot.node(
            identifiers[key], _label(node), tooltip=markup(node.tooltip or node.title), **_node_look(node)
        )
    for (tail, head), edge in picture.edges.items():
        dot.edge(identifiers[tail], identifiers[head], **_edge_look(edge))
    _add_legend(dot, picture)
    return str(dot.source)


def _node_look(node: Node) -> dict[str, str]:
    look = {**_LOOKS[node.role], **_CHANGED_NODES.get(node.change, {})}
    if node.change is Change.REMOVED:
        look["fillcolor"] = "none"
    return look


def _edge_look(edge: Edge) -> dict[str, str]:
    look = {"label": f" {markup(edge.label)} "} if edge.label else {}
    if edge.kept:
        # Were they to pull on the layout, forward and backward ops would not come apart.
        look.update(style="dotted", color="#AAAAAA", constraint="false")
    elif not edge.side and edge.change is not Change.REMOVED:
        look["weight"] = "5"  # pulls the way of the activations straight
    if edge.integer:
        look.update(color=_BLUE, penwidth="2.5", fontcolor=_BLUE)
    if edge.side and not edge.kept:
        look.update(style="dotted", arrowsize="0.7")
    if edge.change is not Change.NONE:
        look.update(_CHANGED_EDGES[edge.change])
        look.setdefault("penwidth", "2")
    return look


def _label(node: Node) -> str:
    """HTML-like: a bold title, facts, and the variable's name, each smaller than the line above."""
    if node.role is Role.CUT:
        return node.title
    lines = [f"<b>{markup(node.title)}</b>"]
    lines += [f'<font point-size="9">{markup(fact)}</font>' for fact in node.facts if fact]
    if node.name:
        lines.append(f'<font point-size="8"><i>{markup(node.name)}</i></font>')
    return f"<{'<br/>'.join(lines)}>"


def _add_legend(dot: graphviz.Digraph, picture: Picture) -> None:
    """One sample of every role and change that occurs, and of the kinds of edges, in a column."""
    roles = {node.role for node in picture.nodes.values()} - {Role.CUT}
    changes = {node.change for node in picture.nodes.values()}
    changes.update(edge.change for edge in picture.edges.values())
    edges = picture.edges.values()
    samples = [(role.value, _LOOKS[role]) for role in Role if role in roles]
    samples += [
        (change.value, {"shape": "box", "fillcolor": "none", **_CHANGED_NODES[change]})
        for change in _CHANGED_NODES
        if change in changes
    ]
    if any(edge.integer for edge in edges):
        samples.append(
            ("thick arrow, blue label: integers", {"shape": "plaintext", "style": "", "fontcolor": _BLUE})
        )
    if any(edge.kept for edge in edges):
        samples.append(("pale dotted arrow: kept for training", {"shape": "plaintext", "style": ""}))
    if any(edge.side for edge in edges):
        samples.append(("dotted arrow: weight or scale", {"shape": "plaintext", "style": ""}))
    with dot.subgraph(name="cluster_legend") as legend:
        legend.attr(label="Legend", fontsize="11", color="#BBBBBB", style="rounded")
        rows = -(-len(samples) // _LEGEND_COLUMNS)
        for number, (text, look) in enumerate(samples):
            legend.node(f"legend{number}", text, fontsize="9", **look)
            if number % rows:
                legend.edge(f"legend{number - 1}", f"legend{number}", style="invis")
        # The columns from left to right: their heads side by side.
        with legend.subgraph(graph_attr={"rank": "same"}) as heads:
            for number in range(rows, len(samples), rows):
                heads.edge(f"legend{number - rows}", f"legend{number}", style="invis")
