"""A network in parts that are run one by one, so that a change costs what depends on it, and no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qcc._paddle import one_op_at_a_time
from qcc.errors import DataError, PaddleError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.model import Model, Runner
from qcc.passes.prune import Prune
from qcc.passes.quantizable import Operands

_GIVEN = "@given"

Values = Mapping[str, np.ndarray]
"""Arrays by the names of variables."""


def part(graph: Graph, ops: Sequence[Op], fetches: Sequence[str]) -> Graph:
    """A graph of some ops of another one, given in their order, as far as `fetches` need them, fed with what
    the rest computes."""
    found = graph.part(ops)
    found.fetches = tuple(fetches)
    Prune().apply(found)
    found.feeds = tuple(
        dict.fromkeys(var.name for var in found.vars if var.consumers and _is_given(var) and var.is_declared)
    )
    return found


def _is_given(var: Var) -> bool:
    return var.producer is None and not var.persistable


class SingleOp:
    """One op with a weight, which is run on activations and weights that are given."""

    def __init__(self, graph: Graph, found: Operands) -> None:
        self._data, self._weight = found.data.name, found.weight.name + _GIVEN
        single = part(graph, (found.op,), (found.output.name,))
        (op,) = single.ops
        given = single.add_var_like(self._weight, single.var(found.weight.name))
        single.replace_input(op, single.var(found.weight.name), given)
        single.feeds = (*single.feeds, self._weight)
        Prune().apply(single)
        self._runner = Runner(Model(single))

    def run(self, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Its output."""
        (output,) = self._runner.run({self._data: data, self._weight: weight})
        return np.asarray(output)


@dataclass
class _Part:
    """The ops up to the next place where values may be exchanged; what they read, and what later ones do."""

    ops: list[Op]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    feeds: tuple[str, ...] = ()
    runner: Runner | None = None


class Parts:
    """A network cut behind some of its variables.

    `cuts`: those of the wanted ones at which it can be cut: all that crosses the place are dense tensors.
    `heads`: the variables that are compared, `seen`: all whose values are looked at.
    """

    def __init__(
        self, graph: Graph, wanted: Iterable[str], heads: Sequence[str], seen: Iterable[str]
    ) -> None:
        self._graph, self._heads = graph, tuple(heads)
        self._parts, self.cuts = _cut(graph, frozenset(wanted), frozenset(seen))

    def run(self, inputs: Values) -> dict[str, np.ndarray]:
        """What is looked at and what crosses a cut, for inputs of the network.  Raises DataError."""
        values = {name: inputs[name] for name in self._graph.feeds}
        for one in self._parts:
            values.update(self._run(one, values))
        return values

    def heads_with(self, values: Values, changed: Values) -> list[np.ndarray]:
        """The heads when some of the variables at cuts are others; `values`: as `run` gave them.

        Only the parts are run that depend on what changed.  Raises DataError.
        """
        now = dict(changed)
        for one in self._parts:
            if any(name in now for name in one.reads):
                found = self._run(one, {**values, **now})
                for name, array in found.items():
                    if name not in changed and not np.array_equal(array, values[name]):
                        now[name] = array
        return [now.get(name, values[name]) for name in self._heads]

    def apart(self, given: Values) -> dict[str, np.ndarray]:
        """All that `run` gives when each part reads these values in place of what others have computed.

        Raises DataError.
        """
        found: dict[str, np.ndarray] = {}
        for one in self._parts:
            found.update(self._run(one, {**found, **given}))
        return found

    def _run(self, one: _Part, values: Values) -> dict[str, np.ndarray]:
        if not one.writes:
            return {}
        if one.runner is None:
            graph = part(self._graph, one.ops, one.writes)
            one.feeds, one.runner = graph.feeds, Runner(Model(graph))
        try:
            # Several threads would keep what is computed inside a part until it is run again.
            with one_op_at_a_time():
                found = one.runner.run({name: values[name] for name in one.feeds})
        except PaddleError as error:
            raise DataError(f"the model does not run on the data: {error}") from error
        return dict(zip(one.writes, map(np.asarray, found), strict=True))


def _cut(graph: Graph, wanted: Collection[str], seen: Collection[str]) -> tuple[list[_Part], frozenset[str]]:
    place = {op: number for number, op in enumerate(graph.ops)}
    last = {var: max((place[op] for op in var.consumers), default=-1) for var in graph.vars}
    read_last: dict[int, list[Var]] = {}
    groups: list[list[Op]] = [[]]
    cuts: set[str] = set()
    # Of those that are read later on.
    cannot_cross: set[Var] = set()
    for number, op in enumerate(graph.ops):
        groups[-1].append(op)
        for var in op.all_outputs():
            if last[var] > number and not _can_cross(graph, var):
                cannot_cross.add(var)
                read_last.setdefault(last[var], []).append(var)
        cannot_cross.difference_update(read_last.pop(number, ()))
        ends = [var.name for var in op.all_outputs() if var.name in wanted]
        if ends and not cannot_cross:
            cuts.update(ends)
            groups.append([])
    found = []
    for group in groups:
        inside = frozenset(group)
        written = [var for op in group for var in op.all_outputs()]
        writes = [
            var.name
            for var in written
            if (var.name in seen and graph.var(var.name) is var)
            or any(reader not in inside for reader in var.consumers)
        ]
        read = [var.name for op in group for var in op.all_inputs() if not var.persistable]
        own = {var.name for var in written}
        reads = dict.fromkeys(name for name in read if name not in own)
        found.append(_Part(group, tuple(reads), tuple(dict.fromkeys(writes))))
    return found, frozenset(cuts)


def _can_cross(graph: Graph, var: Var) -> bool:
    """Whether a variable can be fetched in one part and fed in another one.

    A scale that a quantize op of a test graph hands on as it was given is read from the weights in each part;
    one that is measured at every run stays with its readers, and so does what a branch may leave unwritten.
    """
    versions = graph.versions(var.name)
    if var.persistable:
        return len(versions) > 1
    branches = var.producer is not None and var.producer.has_block
    return var.is_tensor and len(versions) == 1 and not branches
