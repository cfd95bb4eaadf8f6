"""The ops of a model one by one, each on inputs that are given: which of them an engine gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qcc.backends.agreement import FEW, MANY, MOST, MULTIPLE, Distance, distances, furthest, range_of
from qcc.backends.cuts import Cut, culprit, cut_apart, cut_between, part
from qcc.backends.heads import is_chosen
from qcc.backends.predictor import PaddleExecutor
from qcc.backends.reference import Reference, write_opened
from qcc.backends.samples import nearer_to_zero
from qcc.backends.steps import step_of
from qcc.ir.nodes import Op
from qcc.numerics import max_int
from qcc.quantization import op_name

_CUT, _OP = ".cut", ".op"

ONE_OP = 1e-4
"""How far one op may be off on equal inputs. An 8-bit integer is 1/254 of the range of what it is rounded
from, so that with this only a value within a fortieth of a step from a tie can become another integer."""

_OTHER_ROUNDING = 2.0
"""How much further an int8 engine may be off than what is computed as roughly as it may: that loses the last
bit of all weights and rounds no activation of the ops left float, where the engine loses it in some sums
only, and rounds others."""

_LAST_BIT = Distance(norms=1 / max_int(8))
"""Where two roundings of the same weights lose the last bit, one may round up what the other rounds down. The
differences are those of `_OTHER_ROUNDING`; the sizes of all weights may differ by one step at most."""

_MEET = 4.0
"""Ties are not spread evenly: all pixels of one brightness may be on one, and meet in a sum."""


_TOGETHER = 2**24
"""Bytes of what ops give that are run apart together: of a detector on a large image, all activations take
hundreds of megabytes, and whoever compares them holds them several times."""


@dataclass(frozen=True)
class Wrong:
    """An op that is off on equal inputs: how far, and how many times as far as it may be (`excess`). `apart`:
    with what others it was run; `end`: the variable at the cut that was off."""

    op: Op
    distance: Distance
    excess: float
    apart: Apart
    end: str

    def __str__(self) -> str:
        verb = "is" if self.distance.sound else "gives"
        return f"on equal inputs the {self.op.type} of {op_name(self.op)!r} {verb} {self.distance}"


@dataclass(frozen=True)
class Apart:
    """Some ops of a reference, each on inputs that are given, and what they are to give.

    `program`, with the weights `params`, is to be run on `inputs`, and to give `wanted`. `other_side`: by its
    place, of what is rounded behind an op, what may come out as well: see `beyond_ties`.
    """

    cut: Cut
    program: Path
    params: Path | None
    inputs: Mapping[str, np.ndarray]
    wanted: Sequence[np.ndarray]
    other_side: Mapping[int, np.ndarray] = field(default_factory=dict)

    def distances(self, outputs: Sequence[np.ndarray]) -> list[Distance]:
        return distances(outputs, self.wanted)

    def moved_by_ties(self) -> list[Distance]:
        """How far each op moves when a few of the integers that it reads are off by one.

        That is what an engine does that divides by the scale in another order: values that are on a tie, but
        for their last bits, it rounds to the other side.
        """
        graph = self.cut.graph
        inputs = {name: _moved(values, step_of(graph, name, values)) for name, values in self.inputs.items()}
        found = PaddleExecutor(self.program, self.params).run(inputs)
        return [one.times(_MEET) for one in self.distances(found)]

    def wrong(
        self,
        outputs: Sequence[np.ndarray],
        rough: Callable[[], Sequence[Distance]] = tuple,
        wanted: Sequence[np.ndarray] | None = None,
    ) -> Wrong | None:
        """The op that is furthest off, if neither roughness nor ties excuse it; these are measured only where
        it takes them."""
        if self.worst(outputs, wanted=wanted) is None:
            return None
        known = rough()
        if known and self.worst(outputs, (), known, wanted) is None:
            return None
        return self.worst(outputs, self.moved_by_ties(), known, wanted)

    def worst(
        self,
        outputs: Sequence[np.ndarray],
        ties: Sequence[Distance] = (),
        rough: Sequence[Distance] = (),
        wanted: Sequence[np.ndarray] | None = None,
    ) -> Wrong | None:
        """The op that is furthest off, if one is further off than it may be.

        `ties`: how far each may be off on their account; `rough`: see `wider`; `wanted`: what an engine is to
        give that rounds to other steps than the reference.
        """
        if wanted is None:
            wanted = self.wanted
            outputs = [self._on_its_side(*found) for found in enumerate(outputs)]
        least = Distance(ONE_OP, ONE_OP, ONE_OP)
        allowed = [furthest(least, one) for one in ties] if ties else [least] * len(wanted)
        limits = wider(allowed, rough, wanted)
        wrong = [
            (distance.largest / limit.largest, end, distance)
            for end, distance, limit in zip(self.cut.ends, distances(outputs, wanted), limits, strict=True)
            if not distance.within(limit)
            # What is chosen of values that are computed together with the choice, these decide.
            and not (distance.sound and is_chosen(self.cut.graph.var(end)))
        ]
        if not wrong:
            return None
        excess, end, distance = max(wrong, key=lambda one: one[0])
        op = culprit(self.cut.graph.var(end))
        assert op is not None
        return Wrong(op, distance, excess, self, end)

    def _on_its_side(self, place: int, output: np.ndarray) -> np.ndarray:
        """What came out, as if those on a tie had been rounded as they are wanted."""
        wanted, other = self.wanted[place], self.other_side.get(place)
        if other is None or output.shape != wanted.shape:
            return output
        return np.where(np.abs(output - other) < np.abs(output - wanted), output - other + wanted, output)


def beyond_ties(values: np.ndarray, rounded: np.ndarray, step: float) -> np.ndarray:
    """What values that were rounded to multiples of a step may be as well: those nearer to a tie than an op
    may be off are rounded to its other side."""
    off = values - rounded
    beyond = step / 2 - np.abs(off) < ONE_OP * range_of(values)
    clipped = np.abs(off) > step
    return np.where(beyond & ~clipped, rounded + np.copysign(step, off), rounded).astype(rounded.dtype)


def worst_of(found: Iterable[Wrong | None]) -> Wrong | None:
    """The op that is furthest off: nothing is passed on from one op to the next, so that it is to blame."""
    return max(filter(None, found), key=lambda wrong: wrong.excess, default=None)


def blamed(
    reference: Reference,
    apart: Iterable[Apart],
    wrong_in: Callable[[Apart], Wrong | None],
    cut_at: Callable[[str], str] = str,
) -> Wrong | None:
    """The op that is furthest off; of those that are computed together between two cuts the one that is wrong
    alone, if one is. `cut_at`: the reference's variable for an end."""
    wrong = worst_of(map(wrong_in, apart))
    if wrong is None:
        return None
    return worst_of(map(wrong_in, one_by_one(reference, cut_at(wrong.end)))) or wrong


def take_apart(reference: Reference) -> Iterator[Apart]:
    """Cut a reference's graph where it quantizes, and compute what stands at the cuts; as many ops at a time
    as have outputs of `_TOGETHER` bytes."""
    return _parts(reference, cut_apart(reference.graph, reference.names), _CUT)


def one_by_one(reference: Reference, end: str) -> Iterator[Apart]:
    """All ops that compute what stands at a cut, each on inputs that are given: in a float model, and between
    quantized ops, these are many."""
    return _parts(reference, cut_between(reference.graph, end), _OP)


def _parts(reference: Reference, whole: Cut, suffix: str) -> Iterator[Apart]:
    sizes = dict(zip(whole.ends, reference.bytes_of(whole.ends), strict=True))
    for number, ends in enumerate(_groups(sizes)):
        cut = part(whole, ends)
        # Those of all groups at once take as much as all activations.
        names = list(dict.fromkeys([*cut.given.values(), *ends]))
        values = dict(zip(names, reference.values(names), strict=True))
        program = reference.beside(f"{suffix}{number}")
        write_opened(cut.graph, cut.ends, program)
        sample = {name: array for name, array in reference.sample.inputs.items() if name in cut.graph.feeds}
        given = {feed: values[name] for feed, name in cut.given.items()}
        yield Apart(cut, program, reference.params, {**sample, **given}, [values[end] for end in ends])


def _groups(sizes: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """Neighbours, as many as fit into `_TOGETHER`, and at least one."""
    group: list[str] = []
    held = 0
    for name, size in sizes.items():
        if group and held + size > _TOGETHER:
            yield tuple(group)
            group, held = [], 0
        group.append(name)
        held += size
    yield tuple(group)


def wider(
    allowed: Sequence[Distance], rough: Sequence[Distance], outputs: Sequence[np.ndarray]
) -> list[Distance]:
    """Limits for what computes about as roughly as something whose distances from `outputs` are `rough`."""
    if not rough:
        return list(allowed)
    return [
        furthest(limit, _wider(one, output.size))
        for limit, one, output in zip(allowed, rough, outputs, strict=True)
    ]


def _wider(rough: Distance, size: int) -> Distance:
    if size <= FEW:
        return rough.times(MULTIPLE)
    limit = furthest(rough.times(_OTHER_ROUNDING), _LAST_BIT if rough.largest else Distance())
    # What is right but rough is off by that much itself.
    return furthest(limit, Distance(np.inf)) if size >= MANY and rough.largest >= MOST else limit


def _moved(values: np.ndarray, step: float) -> np.ndarray:
    """A copy with a few elements a step nearer to zero, so that none is clipped."""
    if not step:
        return values
    return nearer_to_zero(values, step)
