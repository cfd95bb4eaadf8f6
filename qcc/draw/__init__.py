"""Drawings of graphs, and of what passes did to them, as Graphviz source."""

from __future__ import annotations

from qcc.draw.dot import to_dot
from qcc.draw.folded import folded_view
from qcc.draw.picture import Picture, around, difference
from qcc.draw.render import write_dot, write_picture
from qcc.draw.stages import Stages
from qcc.draw.view import view

__all__ = [
    "Picture",
    "Stages",
    "around",
    "difference",
    "folded_view",
    "to_dot",
    "view",
    "write_dot",
    "write_picture",
]
