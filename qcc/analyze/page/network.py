"""The network as pictures inside a page: its ops, coloured by what quantizing them costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qcc.analyze.page.blocks import Block, blocks
from qcc.analyze.page.drawing import Box, drawing
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.words import MINUS
from qcc.draw.folded import fold
from qcc.draw.labels import edge_label, op_facts
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.shown import counted

COLOURS = ("best", "better", "middle", "worse", "worst")
_FOLLOWERS = 3
_MOST_AT_ONCE = 60
"""Nodes of a network that is shown as it is; one that has more is shown in blocks, too."""

_LOOKS = (*reversed(COLOURS), "unmeasured", "float", "other")
"""Of a block: that of the op which comes first here."""
_KEYS = (
    ("unmeasured", "in int8, effect not measured"),
    ("float", "a convolution or product that stays float"),
    ("other", "other ops"),
)


@dataclass(frozen=True)
class Place:
    """What stands of an op elsewhere in the page: the row's link, the class of its colour, and words."""

    row: str
    look: str
    words: str


def network(graph: Graph, places: Mapping[str, Place]) -> Html:
    """The part of a page that has the pictures; `places`: by the variable that an op with a weight writes.

    Raises MissingDependencyError where nothing lays them out.
    """
    net = _Network(graph, places)
    looks = {place.look for place in places.values()}
    scale = (tag("i", class_=f"key {look}") for look in reversed(COLOURS))
    legend = tag(
        "p",
        *([tag("span", "in int8, and costs most ", *scale, " least")] if looks & {*COLOURS} else []),
        *(tag("span", words, class_=f"key {look}") for look, words in _KEYS if look in {*looks, "other"}),
        class_="legend",
    )
    shown = net.in_blocks() if len(net.folded.folds) > _MOST_AT_ONCE else net.whole(linked=True)
    return joined(tag("h2", "The network", id="network"), legend, shown)


class _Network:
    """A network that is drawn: as a whole, or in blocks."""

    def __init__(self, graph: Graph, places: Mapping[str, Place]) -> None:
        self._graph, self._places = graph, places
        self.folded = fold(graph)

    def whole(self, *, linked: bool) -> Html:
        """All in one picture; `linked`: whether the table leads to it."""
        boxes = {
            _name(-1 - number): _pill(f"input {name}", name)
            for number, name in enumerate(self._graph.feeds)
            if any(tail == -1 - number for tail, _ in self.folded.edges)
        }
        boxes |= {_name(number): self._node(number, linked) for number in range(len(self.folded.folds))}
        edges = {
            (_name(tail), _name(head)): edge_label(var) for (tail, head), var in self.folded.edges.items()
        }
        return _canvas(drawing("the network", boxes, edges))

    def in_blocks(self) -> Html:
        """The blocks in one picture, each in one of its own, and all in one."""
        found = blocks(self.folded)
        home = {node: number for number, block in enumerate(found) for node in block.nodes}
        home |= {-1 - number: -1 - number for number in range(len(self._graph.feeds))}
        return joined(
            tag(
                "p",
                f"In {counted(len(found), 'block')}, each coloured as its worst op. Click one to open it.",
            ),
            self._overview(found, home),
            *(self._block(number, block, home) for number, block in enumerate(found)),
            tag("details", tag("summary", "all in one picture"), self.whole(linked=False)),
        )

    def _overview(self, found: Sequence[Block], home: Mapping[int, int]) -> Html:
        edges = {
            (home[tail], home[head]): edge_label(var)
            for (tail, head), var in self.folded.edges.items()
            if home[tail] != home[head]
        }
        boxes = {
            _name(-1 - number): _pill(f"input {name}", name)
            for number, name in enumerate(self._graph.feeds)
            if any(tail == -1 - number for tail, _ in edges)
        }
        for number, block in enumerate(found):
            lines = (f"block {number + 1} {block.name}".rstrip(), self._contents(block))
            look = min(self._looks(block), key=_LOOKS.index)
            boxes[_name(number)] = Box(lines, [*lines, *self._worst(block)], look, f"block-{number + 1}")
        named = {(_name(tail), _name(head)): words for (tail, head), words in edges.items()}
        return _canvas(drawing("the blocks of the network", boxes, named))

    def _block(self, number: int, block: Block, home: Mapping[int, int]) -> Html:
        """A block with what it reads of others and what others read of it."""
        inside = frozenset(block.nodes)
        boxes = {_name(node): self._node(node, linked=True) for node in block.nodes}
        edges: dict[tuple[str, str], str] = {}
        for (tail, head), var in self.folded.edges.items():
            ends = [_name(tail), _name(head)]
            if tail not in inside and head in inside:
                ends[0] = f"from{home[tail]}".replace("-", "f")
                boxes[ends[0]] = self._neighbour("from", home[tail])
            elif tail in inside and head not in inside:
                ends[1] = f"to{home[head]}"
                boxes[ends[1]] = self._neighbour("to", home[head])
            elif tail not in inside:
                continue
            edges.setdefault((ends[0], ends[1]), edge_label(var))
        title = f"block {number + 1} {block.name}".rstrip()
        words = "; ".join([self._contents(block), *self._worst(block)])
        return tag(
            "details",
            tag("summary", tag("b", title), f": {words}"),
            _canvas(drawing(title, boxes, edges)),
            id=f"block-{number + 1}",
        )

    def _neighbour(self, word: str, number: int) -> Box:
        if number < 0:
            name = self._graph.feeds[-1 - number]
            return _pill(f"input {name}", name)
        return _pill(f"{word} block {number + 1}", f"{word} block {number + 1}", f"block-{number + 1}")

    def _node(self, number: int, linked: bool) -> Box:
        one = self.folded.folds[number]
        outputs = _outputs(one)
        place = self._place(number)
        title, behind = " ".join([one[0].type, *op_facts(one[0], 0)]), self.folded.follower_names(number)
        more = f" +{len(behind) - _FOLLOWERS}" if len(behind) > _FOLLOWERS else ""
        second = ["+ " + ", ".join(behind[:_FOLLOWERS]) + more] if behind else []
        words = [title, *behind, *outputs[:1], *([place.words] if place else [])]
        if place is None:
            return Box([title, *second], words, "other")
        return Box([title, *second], words, place.look, place.row, f"node-{place.row}" if linked else None)

    def _place(self, number: int) -> Place | None:
        return next(
            (self._places[name] for name in _outputs(self.folded.folds[number]) if name in self._places), None
        )

    def _looks(self, block: Block) -> Iterator[str]:
        for node in block.nodes:
            place = self._place(node)
            yield "other" if place is None else place.look

    def _worst(self, block: Block) -> list[str]:
        """Words about the op whose colour the block has, where that is one that was quantized."""
        found = [place for node in block.nodes if (place := self._place(node)) is not None]
        worst = min(found, key=lambda place: _LOOKS.index(place.look), default=None)
        return [] if worst is None or worst.look == "float" else [f"the worst in {worst.words}"]

    def _contents(self, block: Block) -> str:
        """What a block has most of."""
        counts = Counter(self.folded.folds[node][0].type for node in block.nodes)
        return ", ".join(f"{count} {name}" for name, count in counts.most_common(_FOLLOWERS))


def _canvas(picture: Html) -> Html:
    """A frame in which a picture is zoomed and moved."""
    buttons = (
        tag("button", words, type="button", data_zoom=zoom, title=title)
        for words, zoom, title in ((MINUS, 0.8, "smaller"), ("+", 1.25, "larger"), ("fit", 0, "all of it"))
    )
    return tag(
        "div",
        tag("span", *buttons, class_="zoom"),
        tag("div", picture, class_="canvas", tabindex=0),
        class_="frame",
    )


def _pill(words: str, line: str, link: str | None = None) -> Box:
    return Box([line], [words], "feed", link, pill=True)


def _outputs(ops: Iterable[Op]) -> list[str]:
    return [var.name for op in ops for var in op.all_outputs()]


def _name(number: int) -> str:
    return f"n{number}" if number >= 0 else f"f{-number}"
