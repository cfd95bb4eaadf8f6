"""A network in blocks, so that one of hundreds of ops can be looked at piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qcc.draw.folded import Folded

_LEAST, _MOST = 6, 20
_MOST_SCOPES = 60
_ROOT = "/"


@dataclass(frozen=True)
class Block:
    """`nodes`: the numbers of folded nodes, in order; `name`: of the scope that they were built in, empty
    where the network was not built in scopes."""

    name: str
    nodes: tuple[int, ...]


def blocks(folded: Folded) -> tuple[Block, ...]:
    """By the scopes of `paddle.static.name_scope` where a network was built in some; else where few tensors
    flow from one block to the next one, as between the residual blocks of a network that has such."""
    return _of_scopes(folded) or tuple(Block("", nodes) for nodes in _narrow(folded))


def _of_scopes(folded: Folded) -> tuple[Block, ...]:
    """At the greatest depth of scopes that gives no more than `_MOST_SCOPES` blocks; none where there are no
    two scopes."""
    paths = [str(one[0].attr("op_namescope", _ROOT)).strip(_ROOT).split(_ROOT) for one in folded.folds]
    found: tuple[Block, ...] = ()
    for depth in range(1, max(map(len, paths), default=0) + 1):
        nodes: dict[str, list[int]] = {}
        for number, path in enumerate(paths):
            nodes.setdefault(_ROOT.join(path[:depth]), []).append(number)
        if not 2 <= len(nodes) <= _MOST_SCOPES:
            continue
        found = tuple(Block(name or _ROOT, tuple(numbers)) for name, numbers in nodes.items())
    return found


def _narrow(folded: Folded) -> Iterator[tuple[int, ...]]:
    """Cut the order of the nodes, each time where least flows on of the next places."""
    crossing = _crossing(folded)
    start, count = 0, len(folded.folds)
    while start < count:
        places = range(start + _LEAST, min(start + _MOST, count - _LEAST) + 1)
        # The latest of equals: blocks as large as they may be.
        end = min(places, key=lambda place: (crossing[place], -place), default=count)
        yield tuple(range(start, end))
        start = end


def _crossing(folded: Folded) -> Sequence[int]:
    """For each place between two nodes, how many nodes before it are read behind it."""
    last: dict[int, int] = {}
    for tail, head in folded.edges:
        last[tail] = max(last.get(tail, head), head)
    starts = Counter(max(tail, -1) + 1 for tail in last)
    ends = Counter(last.values())
    found, open_ = [], 0
    for place in range(len(folded.folds) + 1):
        open_ += starts[place] - ends[place - 1]
        found.append(open_)
    return found
