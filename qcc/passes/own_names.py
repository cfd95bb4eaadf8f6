"""own-names: each value of a variable that is overwritten has a name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.fake_quant import FUSED_OPS, QUANTIZE_OPS
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import free_name, is_fetched, slot_of

_READERS = frozenset({*KINDS, *QUANTIZE_OPS, *FUSED_OPS, "quantize_linear"})


@options(frozen=True, config=OPTIONS)
class OwnNames(Pass):
    """Let each value of a variable that the program overwrites have a name of its own.

    Before:

        c = conv2d(Input=x, Filter=w)
        y = conv2d(Input=c, Filter=v)
        c#1 = scale(X=c) {scale=1000.0}

    After:

        c.before = conv2d(Input=x, Filter=w)
        y = conv2d(Input=c.before, Filter=v)
        c = scale(X=c.before) {scale=1000.0}

    What is measured, fetched or quantized by name means the last value; so each other one can be, too. A feed
    keeps its name, and what overwrites it gets one (`x.after`), unless that is fetched. Further blocks, such
    as the body of a loop, know variables by their names: of these, ops that can be quantized read a copy
    (`c.before = assign(X=c)`) where another value comes later. Left are weights and what is no tensor, and
    what an op changes where it lies, such as a cache (`CacheKV`, `CacheKVOut`).
    """

    name: ClassVar[str] = "own-names"

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        return PassResult(bool(_name(graph)))


def own_names(graph: Graph) -> Mapping[str, str]:
    """The names that the pass would give to values of a graph, which stays, with those that they have."""
    return _name(graph.copy()) if any(map(_can_be_named, _all_versions(graph))) else {}


def _name(graph: Graph) -> dict[str, str]:
    inner = graph.shell.names_in_blocks()
    overwritten = [versions for versions in _all_versions(graph) if _can_be_named(versions)]
    renamed = [
        var
        for versions in overwritten
        if versions[0].name not in inner
        for var in _without_name(graph, versions)
    ]
    order = {op: place for place, op in enumerate(graph.ops)}
    copied = [
        (var, readers)
        for versions in overwritten
        if versions[0].name in inner
        for var in versions[:-1]
        if (readers := sorted((op for op in var.consumers if op.type in _READERS), key=order.__getitem__))
    ]
    names = {_rename(graph, var): var.name for var in renamed}
    return names | {_copy(graph, var, readers): var.name for var, readers in copied}


def _all_versions(graph: Graph) -> Iterator[tuple[Var, ...]]:
    """The values of each variable."""
    for name in dict.fromkeys(var.name for var in graph.vars):
        yield graph.versions(name)


def _can_be_named(versions: tuple[Var, ...]) -> bool:
    if len(versions) == 1 or not all(var.is_tensor and not var.persistable for var in versions):
        return False
    return not any(_keeps_state(op, var) for var in versions for op in var.consumers)


def _keeps_state(op: Op, var: Var) -> bool:
    """Whether an op writes onto a variable that it reads, and has to: by Paddle's custom, slots tell."""
    written = {slot.lower() for slot in op.outputs}
    return any(
        not written.isdisjoint((f"{slot.lower()}out", f"{slot.lower()}_out"))
        for slot, read in op.inputs.items()
        if var in read
    )


def _without_name(graph: Graph, versions: tuple[Var, ...]) -> tuple[Var, ...]:
    """Those of a variable's values that are to get another name."""
    first, *_, last = versions
    if first.name not in graph.feeds:
        return versions[:-1] if first.producer is not None else ()
    return versions[1:-1] if is_fetched(graph, last) else versions[1:]


def _rename(graph: Graph, var: Var) -> str:
    """Give a value a name of its own, which is returned."""
    op = var.producer
    assert op is not None
    ending = ".after" if var.name in graph.feeds else ".before"
    named = graph.add_var_like(free_name(graph, var.name, ending), var)
    slot = slot_of(op, var)
    graph.replace_uses(var, named)
    graph.set_output(op, slot, [named if one is var else one for one in op.outputs[slot]])
    graph.remove_var(var)
    return named.name


def _copy(graph: Graph, var: Var, readers: Sequence[Op]) -> str:
    """Let some ops, given in their order, read a copy, whose name is returned."""
    copy = graph.add_var_like(free_name(graph, var.name, ".before"), var)
    graph.add_op("assign", {"X": var}, {"Out": copy}, {"op_role": 0}, before=readers[0])
    for op in readers:
        graph.replace_input(op, var, copy)
    return copy.name
