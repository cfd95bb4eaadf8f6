"""The one order in which a graph's ops run."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from operator import attrgetter

from qcc.errors import GraphError
from qcc.ir.nodes import EMPTY_NAME, Op, Var


def topological(ops: Iterable[Op], versions: Mapping[str, list[Var]]) -> list[Op]:
    """The topological order that always takes the op of the lowest rank: O(n log n)."""
    replaced = {
        later: earlier
        for name, chain in versions.items()
        if len(chain) > 1 and name != EMPTY_NAME
        for earlier, later in pairwise(chain)
    }
    by_rank = sorted(ops, key=attrgetter("rank"))
    return by_rank if _is_topological(by_rank, replaced) else _kahn(by_rank, replaced)


def _is_topological(order: Iterable[Op], replaced: Mapping[Var, Var]) -> bool:
    done: set[Op | None] = {None}
    for op in order:
        for variables in chain(op.inputs.values(), op.pointed.values()):
            for var in variables:
                if var.producer not in done:
                    return False
        if replaced and not done.issuperset(_replaced_users(op, replaced)):
            return False
        done.add(op)
    return True


def _kahn(ops: Iterable[Op], replaced: Mapping[Var, Var]) -> list[Op]:
    waits: dict[Op, int] = {}
    followers: dict[Op, list[Op]] = {}
    for op in ops:
        before = set(_waits_for(op, replaced))
        waits[op] = len(before)
        for earlier in before:
            followers.setdefault(earlier, []).append(op)
    ready = [(op.rank, op) for op, count in waits.items() if count == 0]
    heapq.heapify(ready)
    order: list[Op] = []
    while ready:
        op = heapq.heappop(ready)[1]
        order.append(op)
        for later in followers.get(op, ()):
            waits[later] -= 1
            if waits[later] == 0:
                heapq.heappush(ready, (later.rank, later))
    if len(order) < len(waits):
        stuck = next(op for op, count in waits.items() if count)
        raise GraphError(f"the graph has a cycle through {stuck}.")
    return order


def _waits_for(op: Op, replaced: Mapping[Var, Var]) -> Iterator[Op]:
    """The ops that come before an op: producers of its inputs, and all that touch what it overwrites."""
    for var in op.all_inputs():
        if var.producer is not None:
            yield var.producer
    yield from _replaced_users(op, replaced)


def _replaced_users(op: Op, replaced: Mapping[Var, Var]) -> Iterator[Op]:
    for var in op.all_outputs():
        if var in replaced:
            old = replaced[var]
            if old.producer is not None:
                yield old.producer
            for reader in old.consumers:
                if reader is not op:
                    yield reader
