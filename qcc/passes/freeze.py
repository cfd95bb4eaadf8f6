"""freeze: round weights to integers offline, and put the dequantize op behind the quantized op."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.graph import Graph
from qcc.nodes import Op, Var
from qcc.numerics import UNOBSERVED_SCALE, correct_bias, max_int, quantize_weight
from qcc.passes.base import OPTIONS, Pass, PassResult
from qcc.passes.fake_quant import Pair, Quantizer, pair_behind
from qcc.passes.frozen import frozen_ops
from qcc.passes.quantizable import KINDS, Operands, is_marked
from qcc.passes.scales import weight_scale


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
        plan = [self._plan(graph, op) for op in graph.ops if _is_transformed(op)]
        if not plan:
            if any(True for _ in frozen_ops(graph)):
                return PassResult(False, ("everything is frozen already.",))
            raise PassError("the graph has no quantized op: run transform first.")
        weights = self._freeze_weights(graph, plan)
        for step in plan:
            _reorder(graph, step, *weights[step.weight.source])
        _remove_pairs(graph, plan)
        return PassResult(True)

    # ------------------------------------------------------------------ planning

    def _plan(self, graph: Graph, op: Op) -> _Step:
        kind = KINDS.get(op.type)
        if kind is None:
            raise PassError(f"{op} is marked as quantized, but freeze knows no op type {op.type!r}.")
        left, right = pair_behind(op.input(kind.data)), pair_behind(op.input(kind.weight))
        if left is None or right is None:
            raise PassError(
                f"{op} is marked as quantized, but not both of its operands come from a fake quantize"
                " and dequantize pair."
            )
        swapped = left.source.persistable
        data, weight = (right, left) if swapped else (left, right)
        if data.source.persistable or not weight.source.persistable:
            raise PassError(f"{op} must read one weight and one activation to be frozen.")
        _check_observed(graph, op, data)
        found = Operands(op, data.source, weight.source, op.output(kind.output), swapped)
        return _Step(found, data, weight, self._weight_quantizer(found, weight))

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

    def _freeze_weights(self, graph: Graph, plan: list[_Step]) -> dict[Var, tuple[Var, np.ndarray]]:
        """Weight -> the variable that holds its integers, and its scale."""
        frozen: dict[Var, tuple[Var, np.ndarray]] = {}
        quantizers: dict[Var, tuple[Quantizer, Op]] = {}
        for step in plan:
            source = step.weight.source
            known, other = quantizers.setdefault(source, (step.weight_quantizer, step.op))
            if known != step.weight_quantizer:
                raise PassError(
                    f"weight {source.name!r} is shared by {other} and {step.op}, whose channels run along"
                    " different axes; freeze it with weight_type=abs_max."
                )
        _remove_weight_pairs(graph, plan)
        for source, (quantizer, _) in quantizers.items():
            w = graph.weights[source.name]
            scale = weight_scale(w, quantizer)
            q = quantize_weight(w, scale, quantizer.bits, quantizer.axis)
            if self.bias_correction:
                q = correct_bias(w, q, scale, quantizer.bits, quantizer.axis)
            if source.consumers or source.name in graph.fetches:
                holder = graph.add_var(f"{source.name}.quantized", "float32", q.shape, q)
            else:
                graph.weights.adopt(source.name, q)
                holder = source
            frozen[source] = (holder, scale)
        return frozen


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


def _is_transformed(op: Op) -> bool:
    return is_marked(op) and any(pair_behind(var) is not None for var in op.all_inputs())


def _check_observed(graph: Graph, op: Op, data: Pair) -> None:
    """Refuse an activation scale that no training or calibration step has ever set."""
    if data.quantizer.type == "abs_max":
        return
    name = data.quantize.input("InScale").name
    scale = float(graph.weights[name].reshape(-1)[0])
    if scale == float(UNOBSERVED_SCALE) or not np.isfinite(scale) or scale <= 0:
        raise PassError(
            f"{op} reads {data.source.name!r}, whose scale {name!r} was never observed (it holds"
            f" {scale:.6g}): train or calibrate the transformed graph first, or use"
            " activation_type=abs_max."
        )


def _remove_weight_pairs(graph: Graph, plan: list[_Step]) -> None:
    """Take the pairs off the weights, so that a weight's readers that are left are float ops."""
    for step in plan:
        kind = KINDS[step.op.type]
        slot = kind.data if step.found.swapped else kind.weight
        graph.set_input(step.op, slot, [step.weight.source])
    for pair in dict.fromkeys(step.weight for step in plan):
        _remove_ops(graph, pair.dequantize, pair.quantize)
    for step in plan:
        kind = KINDS[step.op.type]
        graph.set_input(step.op, kind.data if step.found.swapped else kind.weight, [])


def _reorder(graph: Graph, step: _Step, weight: Var, scale: np.ndarray) -> None:
    kind = KINDS[step.op.type]
    data_slot, weight_slot = (kind.weight, kind.data) if step.found.swapped else (kind.data, kind.weight)
    graph.set_input(step.op, data_slot, [step.data.quantized])
    graph.set_input(step.op, weight_slot, [weight])
    out = step.found.output
    accumulator = graph.add_var_like(f"{out.name}.accumulator", out)
    graph.set_output(step.op, kind.output, [accumulator])
    inputs: dict[str, Any] = {"X": accumulator}
    bits = (step.weight_quantizer.bits, step.data.quantizer.bits)
    if step.weight_quantizer.axis is None:
        # In float64, as Paddle computes it; the attribute itself is a float32.
        max_range = max_int(bits[0]) * max_int(bits[1]) / float(scale[0])
        inputs["Scale"] = step.data.scale
        graph.add_op(
            "fake_dequantize_max_abs",
            inputs,
            {"Out": out},
            {"max_range": max_range, "op_role": 0},
            after=step.op,
        )
        return
    channel_scale = _channel_scale(graph, step, scale)
    inputs["Scales"] = [channel_scale, step.data.scale]
    attrs = {
        "quant_bits": list(bits),
        "quant_axis": kind.axis,
        "x_num_col_dims": step.found.output_channel_dim,
        "op_role": 0,
    }
    graph.add_op("fake_channel_wise_dequantize_max_abs", inputs, {"Out": out}, attrs, after=step.op)


def _channel_scale(graph: Graph, step: _Step, scale: np.ndarray) -> Var:
    name = f"{step.weight.source.name}@scale"
    value = step.found.output_scales(scale)
    if name in graph:
        return graph.var(name)
    return graph.add_var(name, "float32", value.shape, value)


def _remove_pairs(graph: Graph, plan: list[_Step]) -> None:
    """Remove the activations' dequantize ops that nothing reads any more."""
    for pair in dict.fromkeys(step.data for step in plan):
        if not pair.dequantized.consumers and pair.dequantized.name not in graph.fetches:
            _remove_ops(graph, pair.dequantize)


def _remove_ops(graph: Graph, *ops: Op) -> None:
    """Remove ops, and their variables that nobody uses."""
    for op in ops:
        touched = dict.fromkeys((*op.all_outputs(), *op.all_inputs()))
        graph.remove_op(op)
        for var in touched:
            unused = var.producer is None and not var.consumers
            if unused and (not var.persistable or "@" in var.name) and var.name not in graph.feeds:
                graph.remove_var(var)
