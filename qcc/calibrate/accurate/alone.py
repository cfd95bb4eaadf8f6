"""What each layer costs when it alone is quantized."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from qcc.backends.deploy.points import end_of
from qcc.backends.rounded import as_rounded
from qcc.calibrate.accurate.judge import Judge
from qcc.calibrate.accurate.steps import SILENT, Attempt, Listener
from qcc.calibrate.choose import Chosen
from qcc.calibrate.memo import NO_MEMO, Memo
from qcc.calibrate.parts import Parts, Values, part
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.model import Model, Runner
from qcc.numerics import dequantize_weight, fake_quantize
from qcc.passes.frozen import FrozenOp, frozen_ops
from qcc.passes.quantizable import operands

_FIRST = 2
"""Batches on which all layers are measured."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Single:
    """The quantized ops of a layer: they read what the float network computes, and write `output`, which the
    target rounds to so many `bits` with a `scale`, where it has one."""

    ops: tuple[Op, ...]
    output: str
    scale: float | None = None
    bits: int = 8

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """The output as the target rounds it."""
        if self.scale is None:
            return values
        scale = np.array(self.scale, np.float32)
        return dequantize_weight(fake_quantize(values, scale, self.bits), scale, self.bits)


class Alone:
    """The float network, in which one layer at a time is quantized as an attempt has it.

    Only what depends on the layer is run again. A layer whose output cannot be exchanged there, or whose
    weight others share, is quantized in a model of its own, which is run as a whole.
    """

    def __init__(
        self,
        attempt: Attempt,
        weights: Sequence[str],
        judge: Judge,
        memo: Memo = NO_MEMO,
        listener: Listener = SILENT,
    ) -> None:
        self._attempt, self._weights, self._judge = attempt, weights, judge
        self._memo, self._listener = memo, listener
        self._identity = attempt.identity()
        folded, self._frozen = attempt.chosen.plan.folded.graph, attempt.freeze().model.graph
        singles = {name: one for name, one in _singles(attempt, folded, self._frozen) if name in weights}
        self._heads = tuple(name for name in judge.heads if name in folded)
        reads = [var.name for one in singles.values() for op in one.ops for var in op.all_inputs()]
        seen = [name for name in (*reads, *self._heads) if name in folded]
        self._parts = Parts(folded, [one.output for one in singles.values()], self._heads, seen)
        self._singles = {name: one for name, one in singles.items() if one.output in self._parts.cuts}
        self._runners: dict[str, tuple[tuple[str, ...], Runner]] = {}
        self._done = self._total = 0

    def ranked(self) -> list[tuple[str, float]]:
        """The layers, by their weights, with the error of the outputs, as `Judge.error` measures it: those
        first that cost most.

        All layers are measured on the first batches, and the half that costs more on as many again, and so
        forth until all batches are used (sequential halving; Karnin et al., Almost Optimal Exploration in
        Multi-Armed Bandits, ICML 2013). Errors are compared on the same batches, so that a layer that is not
        measured on more stands behind those that are.
        """
        order = _nested(range(len(self._judge.batches)))
        rounds = list(_rounds(order))
        self._done, self._total = 0, _measurements(len(self._weights), rounds)
        whole = {name: self._whole(name) for name in self._weights if name not in self._singles}
        off: dict[str, list[np.ndarray]] = {name: [] for name in self._weights}
        left, found = list(self._weights), list[tuple[str, float]]()
        for places in rounds:
            for place in places:
                self._measure(place, [name for name in left if name not in whole], off)
            costs = {name: whole[name] if name in whole else self._judge.error_of(off[name]) for name in left}
            left.sort(key=lambda name: -costs[name])
            kept = 0 if places is rounds[-1] else _half(len(left))
            found = [(name, costs[name]) for name in left[kept:]] + found
            left = left[:kept]
        return found

    def _measure(self, place: int, names: Sequence[str], off: dict[str, list[np.ndarray]]) -> None:
        """Measure layers on the batch at a place."""
        batch = self._judge.batches[place]
        key = ["alone", self._identity, self._judge.names, batch.name, *names]
        known = self._memo.load(key)
        if known is None:
            values = self._parts.run(self._judge.inputs(batch))
            found = []
            for done, name in enumerate(names):
                self._listener.progress(self._done + done, self._total)
                heads = self._parts.heads_with(values, self._output(name, values))
                found.append(self._judge.off(place, dict(zip(self._heads, heads, strict=True))))
            self._memo.save(key, {"off": np.array(found)}, {})
        else:
            found = list(known[0]["off"])
        self._done += len(names)
        for name, one in zip(names, found, strict=True):
            off[name].append(one)

    def _output(self, name: str, values: Values) -> Values:
        """What a layer writes when it is quantized."""
        single = self._singles[name]
        if name not in self._runners:
            graph = part(self._frozen, single.ops, (single.output,))
            self._runners[name] = graph.feeds, Runner(Model(graph))
        feeds, runner = self._runners[name]
        (output,) = runner.run({feed: values[feed] for feed in feeds})
        return {single.output: single.rounded(np.asarray(output))}

    def _whole(self, name: str) -> float:
        alone = self._attempt.leaving([other for other in self._weights if other != name])
        key = ["error", self._judge.names, alone.identity()]
        known = self._memo.load(key)
        if known is not None:
            return known[1]["value"]
        value = self._judge.error(as_rounded(alone.freeze().model, alone.chosen.plan.table))
        self._memo.save(key, {}, {"value": value})
        return value


def _singles(attempt: Attempt, folded: Graph, frozen: Graph) -> Iterator[tuple[str, Single]]:
    """The layers that are one op in both networks, by their weights."""
    quantized = {one.dequantize.output("Out").name: one for one in frozen_ops(frozen)}
    found = [
        pair for op in folded.ops if (pair := operands(op)) is not None and pair.output.name in quantized
    ]
    uses = Counter(pair.weight.name for pair in found)
    biases = attempt.biases()
    for pair in found:
        name = pair.weight.name
        if uses[name] == 1:
            single = _single(quantized[pair.output.name], biases.get(name, set()))
            if single is not None:
                single = _with_end(single, frozen, attempt.chosen)
                if single.output in folded:
                    yield name, single


def _single(found: FrozenOp, biases: set[str]) -> Single | None:
    """The ops of a layer, with the one behind that adds a bias that is not the float one; None where that op
    is not there."""
    ops, output = (found.quantize, found.op, found.dequantize), found.dequantize.output("Out")
    if not biases:
        return Single(ops, output.name)
    (adding, *others) = output.consumers or (None,)
    if adding is None or others or biases != {var.name for var in adding.all_inputs() if var is not output}:
        return None
    return Single((*ops, adding), _only(adding).name)


def _with_end(single: Single, frozen: Graph, chosen: Chosen) -> Single:
    """The layer with what its target rounds behind it: behind its bias and rectifier, for ONNX Runtime."""
    var = frozen.var(single.output)
    end = end_of(frozen, var)
    scale = chosen.thresholds.get(end.name)
    if scale is None:
        return single
    ops = list(single.ops)
    while var is not end:
        (op,) = var.consumers
        ops.append(op)
        var = _only(op)
    return Single(tuple(ops), end.name, scale, chosen.plan.between[end.name])


def _only(op: Op) -> Var:
    (var,) = op.all_outputs()
    return var


def _half(count: int) -> int:
    return -(-count // 2)


def _measurements(layers: int, rounds: Sequence[Sequence[int]]) -> int:
    """How often a layer is measured in all."""
    total = 0
    for places in rounds:
        total += layers * len(places)
        layers = _half(layers)
    return total


def _nested(items: Sequence[Item]) -> list[Item]:
    """The items in an order of which each beginning is spread over all of them."""
    if len(items) <= _FIRST:
        return list(items)
    return [*_nested(items[::2]), *items[1::2]]


def _rounds(order: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The first of them, and as many again each time."""
    start, end = 0, _FIRST
    while start < len(order):
        yield order[start:end]
        start, end = end, 2 * end
