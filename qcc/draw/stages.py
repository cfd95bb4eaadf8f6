"""Pictures of a graph while a pipeline runs on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qcc.draw.picture import Picture
from qcc.draw.view import view
from qcc.ir.graph import Graph
from qcc.passes.base import Pass, PassResult
from qcc.passes.instruments import Instrument


@dataclass
class Stages(Instrument):
    """Take a picture before the first pass, and one after each: `pictures[i + 1]` is that after pass i.

    Ops are the same objects throughout, so that `difference` of any two of them tells what happened.
    """

    pictures: list[Picture] = field(default_factory=list)

    def start(self, graph: Graph, passes: Sequence[Pass]) -> None:
        self.pictures = [view(graph)]

    def after(self, step: Pass, graph: Graph, result: PassResult) -> None:
        self.pictures.append(view(graph))
