"""What of a model can be compared element by element.

Behind a non-maximum suppression it cannot: one score that moves in its last bits adds, drops or reorders
rows. Behind a softmax it can, but much is lost there: a class's logits may be wrong and its probability
still 1. So what goes into either is compared, too; and so is what a concat joins of very different sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import numpy as np

from qcc._paddle import VarType
from qcc.backends.agreement import range_of
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.model import Model, Runner
from qcc.passes.neutral import handed_on, is_bias
from qcc.passes.quantizable import KINDS

SUPPRESSIONS = frozenset(
    {
        "locality_aware_nms",
        "matrix_nms",
        "multiclass_nms",
        "multiclass_nms2",
        "multiclass_nms3",
        "nms",
        "generate_proposals",
        "generate_proposals_v2",
    }
)
# Which of two values that are nearly equal they choose, last bits decide, and whether floats are equal, as
# peaks of a heat map are to the largest values around.
_SELECTIONS = frozenset(
    {"arg_max", "arg_min", "argsort", "equal", "kthvalue", "mode", "not_equal", "top_k", "top_k_v2"}
)
# The boxes of a yolo_box whose scores are below its threshold are zeros: one score on the threshold moves a
# box by its whole size, so that the feature maps in front of it are compared.
DECODERS = frozenset({"yolo_box"})
_MOVES = frozenset({"assign", "flatten_contiguous_range", "reshape2", "squeeze2", "unsqueeze2"})
_IDENTITIES = _MOVES | {"scale"}
MOST_DIMENSIONS = 6
"""Of values where Paddle's oneDNN kernels compute. No larger ones can be fetched there; what stands in front
of a reshape is the same."""
# Of the range of an output: what is a tenth as large is compared ten times as roughly.
_SMALL = 0.1
# A sigmoid is steepest where it gives a half, and no longer exponential.
_SAYS_MUCH = 0.5
# The standard deviation of zeros with a one in each 400, or of ones with a zero.
_VARIES_MUCH = 0.05
# `ValueClip` in Paddle's kernel of log_softmax.
_LEAST = -64.0


def heads(graph: Graph) -> tuple[str, ...]:
    """Variables, in order, by which two runs of a graph are compared: its fetches, without those behind an
    NMS or a decoder of boxes, what goes into these, and what goes into a softmax that makes a fetch."""
    found: dict[str, None] = {}
    for name in graph.fetches:
        var = graph.var(name)
        behind = suppressions(var)
        if behind:
            # One that reads feeds alone is fed the same in both runs.
            compared = [read for op in behind for read in _in_front_of(op)] or [var]
        else:
            logits = _behind(var, "softmax", _IDENTITIES)
            compared = _decoded(var) if _only_decoded(var) else [var, *([logits] if logits else [])]
        compared = [one if one is var else _computed(graph, one) for one in compared]
        found.update((one.name, None) for one in compared if graph.var(one.name) is one)
    return tuple(found)


def _computed(graph: Graph, var: Var) -> Var:
    """The variable in which a value first stands: ops that only hand it on are left out in files for engines,
    as those are that X2Paddle puts behind every layer. Of a layer and its bias these have the sum alone."""
    op = var.producer
    while op is not None:
        source = handed_on(graph, op)
        if source is None or source.producer is None or graph.var(source.name) is not source:
            break
        if is_bias(op, source):
            break
        var, op = source, source.producer
    return var


def is_chosen(var: Var) -> bool:
    """Whether a variable depends on what an op chooses among values: one that moves in its last bits may make
    it any other."""
    return any(op.type in SUPPRESSIONS or _chooses(op) for op in _ancestors(var))


def _chooses(op: Op) -> bool:
    return op.type in _SELECTIONS and op.input("X").dtype == VarType.FP32


def chosen_from(graph: Graph) -> tuple[str, ...]:
    """The variables among whose values ops choose that have no choice in front of them, where a fetch depends
    on a choice."""
    behind: set[Var] = set()
    found: list[Var] = []
    for op in graph.ops:
        if op.type in SUPPRESSIONS or not behind.isdisjoint(op.all_inputs()):
            behind.update(op.all_outputs())
        elif _chooses(op):
            behind.update(op.all_outputs())
            found += op.all_inputs()
    if not any(graph.var(name) in behind for name in graph.fetches):
        return ()
    read = (_computed(graph, var) for var in found)
    floats = (var for var in read if var.producer is not None and var.dtype == VarType.FP32)
    return tuple(dict.fromkeys(var.name for var in floats if graph.var(var.name) is var))


def parts(graph: Graph, name: str) -> tuple[str, ...]:
    """What layers compute of a variable that a concat joins, by way of ops that change no order of sizes."""
    return tuple(_parts(graph, name, {}))


_Parts = dict[str, float]
"""By name, what a part is multiplied by on its way into the whole, without the sign."""


def _parts(graph: Graph, name: str, known: dict[str, _Parts]) -> _Parts:
    """The same; `known` has those of concats that have been asked for, which several others may join."""
    if name not in known:
        known[name] = _joined(graph, name, known)
    return known[name]


def _joined(graph: Graph, name: str, known: dict[str, _Parts]) -> _Parts:
    op, factor = graph.var(name).producer, 1.0
    while op is not None and op.type in _IDENTITIES | {"transpose2"}:
        factor *= abs(op.attr("scale", 1.0)) if op.type == "scale" else 1.0
        op = op.input("X").producer
    found: _Parts = {}
    if op is None or op.type != "concat":
        return found
    for read in op.inputs["X"]:
        var = _computed(graph, read)
        if var.producer is not None and var.dtype == VarType.FP32 and graph.var(var.name) is var:
            for one, inner in (_parts(graph, var.name, known) or {var.name: 1.0}).items():
                # Of one that stands in several places, where it is smallest.
                found[one] = min(found.get(one, np.inf), factor * inner)
    return found


def small_parts(graph: Graph, values: Mapping[str, np.ndarray]) -> set[str]:
    """The parts of variables, of all that have values, whose range is a small one of the whole's, by what is
    finite of both.

    Relative to that they could be anything: a detector's scores of 0 to 1 beside boxes in pixels.
    """
    return {
        part
        for name in values
        for part, factor in _parts(graph, name, {}).items()
        if factor * _range_of_finite(values[part]) < _SMALL * _range_of_finite(values[name])
    }


def _range_of_finite(values: np.ndarray) -> float:
    return range_of(values[np.isfinite(values)])


ValuesOf = Callable[[Sequence[str]], Sequence[np.ndarray]]
"""Gives the values of variables, by their names, on some inputs."""


def values_on(model: Model, read: Callable[[], Mapping[str, np.ndarray]]) -> ValuesOf:
    """Of a model, on what `read` gives, which is read, and the model prepared, when values are asked for."""

    def values(names: Sequence[str]) -> Sequence[np.ndarray]:
        given = read()
        return Runner(model).run({name: given[name] for name in model.feeds}, tuple(names))

    return values


def heads_and_parts(graph: Graph, run: ValuesOf) -> tuple[str, ...]:
    """`heads`, and behind them the small ones of their parts, by what `run` gives for names."""
    return with_small_parts(graph, heads(graph), run)


def with_small_parts(graph: Graph, names: Sequence[str], run: ValuesOf) -> tuple[str, ...]:
    """Some variables, and behind them the small ones of their parts; `run` is asked where there are parts."""
    joined = dict.fromkeys(part for name in names for part in parts(graph, name) if part not in names)
    if not joined:
        return tuple(names)
    asked = (*names, *joined)
    small = small_parts(graph, dict(zip(asked, run(asked), strict=True)))
    return (*names, *(part for part in joined if part in small))


def saturated(graph: Graph, names: Sequence[str], outputs: Sequence[np.ndarray]) -> dict[str, str]:
    """Of the variables that a sigmoid or a log_softmax computes, those whose values say little: head -> what
    goes into that op.

    Where a sigmoid gives nearly 0 everywhere, or nearly 1, it is exponential: relative to the range of the
    outputs, a step of an integer in front of it is any number. A detector's map of an image that shows
    nothing, or next to nothing, is one: whether the one faint spot in it reaches a half is up to such a step.
    A log_softmax says nothing below the least that Paddle's kernel gives, where engines go on.
    """
    found: dict[str, str] = {}
    for name, output in zip(names, outputs, strict=True):
        for kind, says_little in _SAYING_LITTLE.items():
            read = _behind(graph.var(name), kind, _MOVES)
            # What has been written over since cannot be had.
            if read is not None and graph.var(read.name) is read and output.size and says_little(output):
                found[name] = _computed(graph, read).name
    return found


def _nearly_constant(output: np.ndarray) -> bool:
    return bool(np.ptp(output) < _SAYS_MUCH or np.std(output) < _VARIES_MUCH)


def _reaches_the_least(output: np.ndarray) -> bool:
    return bool(output.min() <= _LEAST)


_SAYING_LITTLE: Mapping[str, Callable[[np.ndarray], bool]] = {
    "log_softmax": _reaches_the_least,
    "sigmoid": _nearly_constant,
}


def suppressions(var: Var) -> list[Op]:
    """The non-maximum suppressions that a variable depends on."""
    return [op for op in _ancestors(var) if op.type in SUPPRESSIONS]


def last_suppressions(var: Var) -> list[Op]:
    """Of these, those that no other one stands behind: of a detector of two stages, that of the second."""
    found = suppressions(var)
    earlier = {one for op in found for read in op.all_inputs() for one in suppressions(read)}
    return [op for op in found if op not in earlier]


def scores_classes(graph: Graph, name: str) -> bool:
    """Whether an output is scores of classes along its last axis: [batch, classes], or what a softmax along
    that axis reads or computes, such as [batch, places, classes]."""
    shape = graph.var(name).shape
    return len(shape) > 1 and shape[-1] > 1 and (len(shape) == 2 or _softmax_along_last(graph, name))


def may_be_no_scores(graph: Graph, name: str) -> bool:
    """Whether an output is taken for scores of classes by its shape alone, as the logits of many a classifier
    have to be: coordinates and embeddings are [batch, numbers], too."""
    return scores_classes(graph, name) and not _softmax_along_last(graph, name)


def _softmax_along_last(graph: Graph, name: str) -> bool:
    var = graph.var(name)
    softmax = [op for op in (var.producer, *var.consumers) if op is not None and op.type == "softmax"]
    return any(op.attr("axis", -1) in (-1, len(var.shape) - 1) for op in softmax)


def _in_front_of(nms: Op) -> Iterator[Var]:
    for var in nms.all_inputs():
        decoded = _decoded(var)
        if decoded:
            yield from decoded
        elif var.producer is not None and not var.persistable and var.dtype == VarType.FP32:
            yield var


def _decoded(var: Var) -> list[Var]:
    """What goes into the decoders of boxes that a variable depends on."""
    return [op.input("X") for op in _ancestors(var) if op.type in DECODERS]


def _only_decoded(var: Var) -> bool:
    """Whether all that layers compute of a variable has gone through decoders."""
    seen: set[Op] = set()
    waiting, decoders = [var.producer], False
    while waiting:
        op = waiting.pop()
        if op is None or op in seen:
            continue
        seen.add(op)
        if op.type in DECODERS:
            decoders = True
        elif op.type in KINDS:
            return False
        else:
            waiting += [read.producer for read in op.all_inputs()]
    return decoders


def _behind(var: Var, kind: str, through: Set[str]) -> Var | None:
    """What the softmax, or whatever op of one input, reads that gives a variable, by way of some others; None
    where there is none."""
    op = var.producer
    while op is not None and op.type in through:
        op = op.input("X").producer
    if op is None or op.type != kind:
        return None
    read = op.input("X")
    while len(read.shape) > MOST_DIMENSIONS and read.producer is not None and read.producer.type in _MOVES:
        read = read.producer.input("X")
    return read if read.producer is not None else None


def _ancestors(var: Var) -> list[Op]:
    """The ops that a variable depends on."""
    found: dict[Op, None] = {}
    waiting = [var.producer]
    while waiting:
        op = waiting.pop()
        if op is not None and op not in found:
            found[op] = None
            waiting += [read.producer for read in op.all_inputs()]
    return list(found)
