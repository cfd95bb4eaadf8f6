"""A quantized graph cut apart where it quantizes, so that every op can be run on inputs that are given."""

from __future__ import annotations

from dataclasses import dataclass

from qcc._paddle import VarType
from qcc.backends.heads import SUPPRESSIONS
from qcc.backends.onednn_rounding import is_unsigned
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.passes.prune import remove_dead_ops
from qcc.passes.quantizable import KINDS

_GIVEN = "@given"
_COMPUTES = frozenset({*KINDS, "fc"})
# Which of equal scores is chosen differs from engine to engine.
_CHOOSES = SUPPRESSIONS | {"argsort", "top_k", "top_k_v2"}
QUANTIZES = frozenset({*QUANTIZE_OPS, "quantize_linear"})
"""The ops that quantize an activation, if their input is no weight."""


@dataclass(frozen=True)
class Cut:
    """`graph` computes each of `ends` from what `given` feeds: name of a feed -> the variable whose value it
    is to have. An end is what the original graph quantizes next, or one of its heads."""

    graph: Graph
    given: dict[str, str]
    ends: tuple[str, ...]


def culprit(var: Var) -> Op | None:
    """The op that computes a variable: the last one of those that are quantized, where there are such."""
    waiting, seen = [var.producer], set[Op]()
    while waiting:
        op = waiting.pop(0)
        if op is None or op in seen:
            continue
        if op.type in _COMPUTES:
            return op
        seen.add(op)
        waiting += [read.producer for read in op.all_inputs()]
    return var.producer


def cut_apart(graph: Graph, heads: tuple[str, ...]) -> Cut:
    """Before: `x = conv2d(...); q = quantize(x); y = conv2d(q)`, after: `x = conv2d(...)` and
    `q = quantize(x@given); y = conv2d(q)`, with the feed `x@given` and the fetches `x` and `y`.

    What a relu gives goes through a relu once more, which changes no value: `q = quantize(relu(x@given))`.
    Otherwise oneDNN takes it for signed, and runs other kernels than in the whole network. What is behind an
    op that chooses rows, such as the second stage of a detector behind a non-maximum suppression, reads those
    of the original.
    """
    cut = graph.copy()
    given: dict[str, str] = {}
    read: dict[str, Var] = {}
    ends: dict[str, None] = {}
    for op in list(cut.ops):
        if op.type in _CHOOSES:
            ends.update((var.name, None) for var in op.all_inputs() if _is_computed(cut, var))
            given.update(_give_rows(cut, op))
            continue
        source = _quantized(op)
        if source is None or source.producer is None or cut.var(source.name) is not source:
            continue
        name = source.name + _GIVEN
        if name not in given:
            given[name] = source.name
            ends[source.name] = None
            read[name] = _rectified(cut, cut.add_var_like(name, source), op, is_unsigned(source))
        cut.replace_input(op, source, read[name])
    ends.update((name, None) for name in heads if cut.var(name).producer is not None)
    cut.feeds = (*cut.feeds, *given)
    cut.fetches = tuple(ends)
    return Cut(cut, given, cut.fetches)


def cut_between(graph: Graph, end: str) -> Cut:
    """All ops that compute a variable behind what is quantized, or behind the feeds, each on inputs that are
    given.

    Before: `x = dequantize(quantize(v)); y = conv2d(x); z = softmax(y)`, after:
    `x = dequantize(quantize(v@given)); y = conv2d(x); z = softmax(y@given)`, with the fetches `y` and `z`.
    """
    cut = graph.copy()
    given: dict[str, str] = {}
    ends = {end: None}
    waiting, seen = [cut.var(end).producer], set[Op]()
    while waiting:
        op = waiting.pop()
        if op is None or op in seen:
            continue
        seen.add(op)
        for var in list(op.all_inputs()):
            made_by = var.producer
            if made_by is None or cut.var(var.name) is not var:
                continue
            rounded = made_by.type in (*QUANTIZES, "dequantize_linear")
            if op.type not in QUANTIZES:
                waiting.append(made_by)
            if rounded:
                continue
            name = var.name + _GIVEN
            if name not in given:
                given[name] = var.name
                cut.add_var_like(name, var)
            cut.replace_input(op, var, cut.var(name))
            if op.type not in QUANTIZES:
                ends[var.name] = None
    cut.feeds = (*cut.feeds, *given)
    cut.fetches = tuple(ends)
    return part(Cut(cut, given, ()), cut.fetches)


def part(cut: Cut, ends: tuple[str, ...]) -> Cut:
    """What computes some of the ends of a cut, and no more; a cut of all of them stays as it is."""
    if ends == cut.ends:
        return cut
    graph = cut.graph.copy()
    graph.fetches = ends
    remove_dead_ops(graph)
    # All weights stay declared: Paddle reads no part of a file.
    graph.feeds = tuple(name for name in graph.feeds if graph.var(name).consumers)
    return Cut(graph, {feed: name for feed, name in cut.given.items() if feed in graph.feeds}, ends)


def _is_computed(graph: Graph, var: Var) -> bool:
    return var.producer is not None and var.dtype == VarType.FP32 and graph.var(var.name) is var


def _give_rows(graph: Graph, op: Op) -> dict[str, str]:
    """Let ops read what an op gives from feeds; it goes. The feeds, and what they are fed with."""
    given: dict[str, str] = {}
    for var in op.all_outputs():
        if var.consumers and graph.var(var.name) is var:
            name = var.name + _GIVEN
            given[name] = var.name
            graph.replace_uses(var, graph.add_var_like(name, var))
    graph.remove_op(op)
    return given


def _rectified(graph: Graph, var: Var, before: Op, unsigned: bool) -> Var:
    if not unsigned:
        return var
    out = graph.add_var_like(f"{var.name}.rectified", var)
    graph.add_op("relu", {"X": var}, {"Out": out}, {}, before=before)
    return out


def _quantized(op: Op) -> Var | None:
    """The activation that an op quantizes; None for other ops."""
    if op.type not in QUANTIZES or op.input("X").persistable:
        return None
    return op.input("X")
