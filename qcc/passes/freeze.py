"""freeze: round weights to integers offline, and put the dequantize op behind the quantized op."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import correct_bias, quantize_weight
from qcc.passes.base import OPTIONS, Pass, PassResult, check_free
from qcc.passes.fake_quant import Pair, Quantizer
from qcc.passes.frozen import Integers, broken_op, check_frozen, dequantize_behind, frozen_ops
from qcc.passes.integer_weights import has_integer_weights
from qcc.passes.normalize import Normalize, foreign_ops
from qcc.passes.quantizable import Operands
from qcc.passes.round_trip import half_quantized, round_trips
from qcc.passes.scales import observed, weight_scale
from qcc.passes.transform_outputs import settle_outputs


@options(frozen=True, config=OPTIONS)
class Freeze(Pass):
    """Round weights offline, and dequantize once behind each quantized op.

    Before, a transformed test graph:

        w.quantized, w@scale = fake_channel_wise_quantize_abs_max(X=w)
        w.quantized.dequantized = fake_channel_wise_dequantize_max_abs(X=w.quantized, Scales=[w@scale])
        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        x.quantized.dequantized = fake_dequantize_max_abs(X=x.quantized, Scale=x@scale)
        out = conv2d(Input=x.quantized.dequantized, Filter=w.quantized.dequantized)

    After, `w` holding integers as float32:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        out.accumulator = conv2d(Input=x.quantized, Filter=w)
        out = fake_channel_wise_dequantize_max_abs(X=out.accumulator, Scales=[w@scale, x@scale])

    With a per-tensor weight the last op is `fake_dequantize_max_abs(X=out.accumulator, Scale=x@scale)`
    with max_range = max_int(weight bits) * max_int(activation bits) / max|w|.

    Scales of weights are computed from the weights as they are now. `out` keeps its name and meaning,
    so whoever fetches it gets what he got before. A weight that float ops read as well keeps its
    value; its integers become `w.quantized`.

    Graphs of other tools are brought into this shape first (see the pass `normalize`): one in QDQ form, or
    with fused quantize and dequantize ops, can be frozen as well.

    What `transform-outputs` has inserted goes, and its scales are noted as by `out-thresholds`.

    `weight_type` overrides how weights were trained (None: per tensor, or per channel, as trained).
    `bias_correction` restores each weight's (channel's) mean and standard deviation, for graphs that
    were calibrated and not trained.
    """

    name: ClassVar[str] = "freeze"

    weight_type: Literal["abs_max", "channel_wise_abs_max"] | None = None
    bias_correction: bool = False

    def apply(self, graph: Graph) -> PassResult:
        if not graph.for_test:
            raise PassError("freeze works on the test graph, and this is a training graph.")
        if not foreign_ops(graph):
            return self._freeze(graph)
        # What comes after it may refuse, and would leave the graph half way.
        trial = graph.copy()
        Normalize().apply(trial)
        self._freeze(trial)
        Normalize().apply(graph)
        self._freeze(graph)
        return PassResult(True)

    def _freeze(self, graph: Graph) -> PassResult:
        plan = [step for op in graph.ops if (step := self._plan(graph, op)) is not None]
        if not plan:
            return _nothing_to_do(graph)
        _check_removable(graph, plan)
        frozen = self._integers(graph, plan)
        _check_names(graph, plan, frozen)
        settle_outputs(graph)
        for step in plan:
            _bypass_pairs(graph, step)
        _remove_pairs(graph, plan)
        for weight in frozen.values():
            weight.store(graph)
        for step in plan:
            integers = frozen[step.weight.source].integers(step.weight_quantizer)
            dequantize_behind(graph, step.found, integers, step.data.scale, step.data.quantizer.bits)
        return PassResult(True)

    # ------------------------------------------------------------------ planning

    def _plan(self, graph: Graph, op: Op) -> _Step | None:
        """How to freeze an op; None for one that is not transformed."""
        half = half_quantized(op)
        if half is not None and half.shape == "pair":
            raise PassError(
                f"{op} cannot be frozen: {half.source.name!r} is quantized and dequantized in front of it,"
                " but its other operand is not."
            )
        trips = round_trips(op)
        if trips is None:
            return None
        data, weight = Pair(*trips.data.ops), Pair(*trips.weight.ops)
        _check_observed(graph, op, data)
        for pair in (data, weight):
            _check_scale(pair)
        return _Step(trips.operands, data, weight, self._weight_quantizer(trips.operands, weight))

    def _weight_quantizer(self, found: Operands, weight: Pair) -> Quantizer:
        trained = weight.quantizer
        per_channel = trained.axis is not None
        if self.weight_type is not None:
            per_channel = self.weight_type == "channel_wise_abs_max"
        if not per_channel:
            return Quantizer("abs_max", trained.bits)
        reason = found.why_not_per_channel()
        if reason is not None:
            raise PassError(f"{found.op} cannot have a scale per channel: {reason}.")
        return Quantizer("channel_wise_abs_max", trained.bits, found.channel_axis)

    # ------------------------------------------------------------------ weights

    def _integers(self, graph: Graph, plan: list[_Step]) -> dict[Var, _FrozenWeight]:
        """The integers of each weight, computed before anything is edited."""
        first: dict[Var, _Step] = {}
        for step in plan:
            other = first.setdefault(step.weight.source, step)
            if other.weight_quantizer != step.weight_quantizer:
                raise PassError(
                    f"weight {step.weight.source.name!r} is shared by {other.op} and {step.op}, whose"
                    " channels run along different axes; freeze it with weight_type=abs_max."
                )
        return {source: self._integers_of(graph, step) for source, step in first.items()}

    def _integers_of(self, graph: Graph, step: _Step) -> _FrozenWeight:
        source, quantizer = step.weight.source, step.weight_quantizer
        w = graph.weights[source.name]
        scale = weight_scale(w, quantizer)
        if not np.isfinite(scale).all():
            raise PassError(f"{step.op} reads weight {source.name!r}, whose values are not all finite.")
        q = quantize_weight(w, scale, quantizer.bits, quantizer.axis)
        if self.bias_correction:
            q = correct_bias(w, q, scale, quantizer.bits, quantizer.axis)
        read_as_float = set(source.consumers) != {step.weight.quantize} or source.name in graph.fetches
        return _FrozenWeight(source, q, scale, read_as_float)


@dataclass(frozen=True)
class _FrozenWeight:
    """A weight's integers and scale; `read_as_float` when others than quantized ops read it too."""

    source: Var
    q: np.ndarray
    scale: np.ndarray
    read_as_float: bool

    @property
    def name(self) -> str:
        """The variable that holds the integers."""
        return f"{self.source.name}.quantized" if self.read_as_float else self.source.name

    def integers(self, quantizer: Quantizer) -> Integers:
        """What stands for the weight once it is stored."""
        return Integers(self.name, f"{self.source.name}@scale", self.scale, quantizer.bits, quantizer.axis)

    def store(self, graph: Graph) -> None:
        """Put the integers into the graph."""
        if self.read_as_float:
            graph.add_var(self.name, "float32", self.q.shape, self.q)
        else:
            graph.weights.adopt(self.name, self.q)


@dataclass(frozen=True)
class _Step:
    """One op to freeze."""

    found: Operands
    data: Pair
    weight: Pair
    weight_quantizer: Quantizer

    @property
    def op(self) -> Op:
        return self.found.op


def _nothing_to_do(graph: Graph) -> PassResult:
    """What to say of a graph without an op to freeze.  Raises PassError unless it is frozen."""
    broken = broken_op(graph)
    if broken is not None:
        raise broken
    frozen = list(frozen_ops(graph))
    for found in frozen:
        check_frozen(graph, found)
    if not frozen and has_integer_weights(graph):
        raise PassError(
            "weights alone are quantized in this graph, and its activations are float: turn the weights back"
            " with unpack, and start from the float model with transform."
        )
    if not frozen:
        raise PassError("the graph has no quantized op: run transform first.")
    return PassResult(False, ("everything is frozen already.",))


def _check_scale(pair: Pair) -> None:
    slot = "Scale" if "Scale" in pair.dequantize.inputs else "Scales"
    scale = pair.dequantize.inputs[slot][0]
    if scale.name != pair.scale.name:
        raise PassError(
            f"{pair.dequantize} multiplies by the scale {scale.name!r}, but {pair.quantize} quantizes by"
            f" {pair.scale.name!r}: the model is not what was trained; save it again."
        )


def _check_observed(graph: Graph, op: Op, data: Pair) -> None:
    """Refuse an activation scale that no training or calibration step has ever set."""
    if not observed(graph, data.quantize):
        name = data.quantize.input("InScale").name
        raise PassError(
            f"{op} reads {data.source.name!r}, whose scale {name!r} was never observed (it holds"
            f" {float(graph.weights[name].reshape(-1)[0]):.6g}): train the transformed graph first, measure"
            " its scales with `qcc freeze --calibrate`, or use activation_type=abs_max."
        )


def _check_removable(graph: Graph, plan: list[_Step]) -> None:
    """Refuse to take away a weight's pair when others than the ops of the plan need it."""
    ops = {step.op for step in plan}
    for step in plan:
        pair = step.weight
        served = {pair.quantized: {pair.dequantize}, pair.scale: {pair.dequantize}, pair.dequantized: ops}
        for var, readers in served.items():
            others = [op for op in var.consumers if op not in readers]
            if others or var.name in graph.fetches:
                needed = f"{others[0]} reads it" if others else "it is fetched"
                raise PassError(f"{step.op} cannot be frozen: {var.name!r} would be removed, but {needed}.")


def _check_names(graph: Graph, plan: list[_Step], frozen: Mapping[Var, _FrozenWeight]) -> None:
    """Refuse to freeze when a variable that is about to be made is there already."""
    for step in plan:
        weight, pair = frozen[step.weight.source], step.weight
        wanted = {f"{step.found.output.name}.accumulator"}
        if weight.read_as_float:
            wanted.add(weight.name)
        if step.weight_quantizer.axis is not None:
            wanted.add(weight.integers(step.weight_quantizer).channel_scale_name(step.found))
        freed = {pair.quantized.name, pair.dequantized.name, pair.scale.name}
        check_free(graph, step.op, sorted(wanted - freed))


def _bypass_pairs(graph: Graph, step: _Step) -> None:
    """Let the op read the activation's integers and, for now, the float weight."""
    graph.set_input(step.op, step.found.data_slot, [step.data.quantized])
    graph.set_input(step.op, step.found.weight_slot, [step.weight.source])


def _remove_pairs(graph: Graph, plan: list[_Step]) -> None:
    """Remove the weights' pairs, and the activations' dequantize ops that nothing reads any more."""
    for pair in dict.fromkeys(step.weight for step in plan):
        _remove_op(graph, pair.dequantize)
        _remove_op(graph, pair.quantize)
    for pair in dict.fromkeys(step.data for step in plan):
        if not pair.dequantized.consumers and pair.dequantized.name not in graph.fetches:
            _remove_op(graph, pair.dequantize)


def _remove_op(graph: Graph, op: Op) -> None:
    """Remove an op with what it wrote, and the quantizer state that it alone read."""
    touched = dict.fromkeys((*op.all_outputs(), *op.all_inputs()))
    graph.remove_op(op)
    public = (*graph.feeds, *graph.fetches)
    for var in touched:
        if var.producer is None and not var.consumers and var.name not in public:
            graph.remove_var(var)
