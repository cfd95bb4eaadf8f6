"""What of a traced layer is drawn at random."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto

from qcc.ir.nodes import EMPTY_NAME
from qcc.ir.program import BlockProto, OpProto, pointed_names

_DRAWING = frozenset(
    {
        "bernoulli",
        "exponential",
        "gaussian_random",
        "gaussian_random_batch_size_like",
        "multinomial",
        "poisson",
        "randint",
        "randperm",
        "truncated_gaussian_random",
        "uniform_random",
        "uniform_random_batch_size_like",
    }
)
# They look at sizes alone.
_SIZES = frozenset({"fill_any_like", "fill_constant_batch_size_like", "fill_zeros_like", "shape", "size"})
_SCALING = frozenset(
    {"assign", "cast", "elementwise_add", "elementwise_div", "elementwise_mul", "elementwise_sub", "scale"}
)


class _Kind(Enum):
    """What a variable depends on: sizes alone; what is drawn; weights and what is fed."""

    FIXED = auto()
    DRAWN = auto()
    DATA = auto()


class Trace:
    """The main block of a traced program.

    `lasting`: what is there before an op writes it. `shaken`: by the number of an op that changes one
    variable by what is drawn, such as a dropout, the name of this variable.
    """

    def __init__(self, block: BlockProto, feeds: Iterable[str]) -> None:
        self.ops = block.ops
        self.lasting = {*feeds, EMPTY_NAME, *(var.name for var in block.vars if var.persistable)}
        self.shaken: dict[int, str] = {}
        self._kinds: dict[str, _Kind] = {}
        for number, op in enumerate(self.ops):
            # Arrays that a loop fills are empty at first: no op writes them.
            self.lasting.update(name for name in read_by(op) if name not in self._kinds)
            kind = self._kind_of(op)
            data = self.data(op)
            draws = op.type == "dropout" or any(self._is(_Kind.DRAWN, name) for name in read_by(op))
            if kind is _Kind.DATA and draws and len(data) == 1:
                self.shaken[number] = data[0]
            self._kinds.update(dict.fromkeys(written_by(op), kind))

    def _kind_of(self, op: OpProto) -> _Kind:
        if op.type in _DRAWING:
            return _Kind.DRAWN
        if op.type in _SIZES:
            return _Kind.FIXED
        kinds = {self._kinds.get(name, _Kind.DATA) for name in read_by(op)}
        return next((kind for kind in (_Kind.DATA, _Kind.DRAWN) if kind in kinds), _Kind.FIXED)

    def _is(self, kind: _Kind, name: str) -> bool:
        return self._kinds.get(name, _Kind.DATA) is kind

    def data(self, op: OpProto) -> list[str]:
        """What an op reads of weights and of what is fed."""
        return [name for name in dict.fromkeys(read_by(op)) if self._is(_Kind.DATA, name)]

    def is_fixed(self, op: OpProto) -> bool:
        """Whether an op computes the same for all data of a size."""
        return all(self._is(_Kind.FIXED, name) for name in written_by(op))

    def way(self, outputs: Sequence[str]) -> list[int]:
        """The numbers of the ops that outputs depend on, in their order, without those that draw."""
        needed, numbers = set(outputs), []
        for number in range(len(self.ops) - 1, -1, -1):
            op = self.ops[number]
            if not needed.isdisjoint(written_by(op)):
                needed.update([self.shaken[number]] if number in self.shaken else read_by(op))
                numbers.append(number)
        return numbers[::-1]

    def scaled(self, way: Sequence[int]) -> dict[int, str]:
        """The ops on a way that scale what is shaken, in front of that or behind, as in x / kept * drawn:
        their numbers, each with the name of what it scales."""
        scaling, readers = dict[int, str](), defaultdict[str, list[int]](list)
        for number in way:
            op = self.ops[number]
            data = self.data(op)
            if op.type in _SCALING and number not in self.shaken and len(data) == 1:
                scaling[number] = data[0]
            for name in read_by(op):
                readers[name].append(number)
        front, behind = set(self.shaken), set[str]()
        for number in reversed(scaling):
            reading = [reader for name in written_by(self.ops[number]) for reader in readers[name]]
            if reading and front.issuperset(reading):
                front.add(number)
        for number in way:
            if number in self.shaken or scaling.get(number) in behind:
                behind.update(written_by(self.ops[number]))
        return {number: source for number, source in scaling.items() if number in front or source in behind}


def read_by(op: OpProto) -> Iterator[str]:
    """The names of what an op reads, by its slots and by its attributes."""
    for slot in op.inputs:
        yield from slot.arguments
    for _, names in pointed_names(op.attrs):
        yield from names


def written_by(op: OpProto) -> Iterator[str]:
    """The names of what an op writes."""
    for slot in op.outputs:
        yield from slot.arguments
