"""The fake quantize and dequantize ops: how a pair looks, is inserted and is found again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import UNOBSERVED_SCALE, abs_max, max_int

AWAY_FROM_ZERO = 1
STEP_COUNTER = "@STEP_COUNTER@"
BETWEEN = "between_ops"
"""The attribute of quantize ops whose scale an engine wants besides those of the inputs of quantized ops."""

QUANTIZE_OPS = {
    "fake_quantize_abs_max": "abs_max",
    "fake_quantize_range_abs_max": "range_abs_max",
    "fake_quantize_moving_average_abs_max": "moving_average_abs_max",
    "fake_channel_wise_quantize_abs_max": "channel_wise_abs_max",
}
"""Quantize op -> quantization type."""

FUSED_OPS = {
    "fake_quantize_dequantize_abs_max": "abs_max",
    "fake_quantize_dequantize_moving_average_abs_max": "moving_average_abs_max",
    "fake_channel_wise_quantize_dequantize_abs_max": "channel_wise_abs_max",
}
"""Op that quantizes and dequantizes at once, as dynamic graphs hold it -> quantization type."""

DEQUANTIZE_OPS = ("fake_dequantize_max_abs", "fake_channel_wise_dequantize_max_abs")
LINEAR_OPS = ("quantize_linear", "dequantize_linear")


@dataclass(frozen=True)
class Quantizer:
    """How one variable is quantized: type, bits, and the axis of its channels if it has scales of them.

    `rounding` is the ops' attribute round_type: 1 rounds ties away from zero and clips to -127 .. 127; 0, as
    quantize_linear does, rounds them to even and clips to -128 .. 127.
    """

    type: str
    bits: int
    axis: int | None = None
    window_size: int = 10000
    moving_rate: float = 0.9
    rounding: int = AWAY_FROM_ZERO


@dataclass(frozen=True)
class Pair:
    """The quantize op and the dequantize op of one variable."""

    quantize: Op
    dequantize: Op

    @property
    def source(self) -> Var:
        """The float variable."""
        return self.quantize.input("X")

    @property
    def quantized(self) -> Var:
        """Its integers."""
        return self.quantize.output("Out")

    @property
    def dequantized(self) -> Var:
        """What the integers stand for."""
        return self.dequantize.output("Out")

    @property
    def scale(self) -> Var:
        """The scale as the quantize op leaves it."""
        return self.quantize.output("OutScale")

    @property
    def quantizer(self) -> Quantizer:
        """How the pair quantizes, read back from its op."""
        return read_quantizer(self.quantize)


def read_quantizer(quantize: Op) -> Quantizer:
    """How a quantize op, or a fused one, quantizes."""
    kind = {**QUANTIZE_OPS, **FUSED_OPS}[quantize.type]
    per_channel = kind == "channel_wise_abs_max"
    return Quantizer(
        kind,
        int(quantize.attr("bit_length", 8)),
        int(quantize.attr("quant_axis", 0)) if per_channel else None,
        int(quantize.attr("window_size", 10000)),
        # Held as float32: print 0.9, not 0.8999999761581421.
        float(np.format_float_positional(np.float32(quantize.attr("moving_rate", 0.9)))),
        int(quantize.attr("round_type", AWAY_FROM_ZERO)),
    )


def pair_behind(var: Var) -> Pair | None:
    """The pair that made this dequantized variable; None for a variable of another origin."""
    dequantize = var.producer
    if dequantize is None or dequantize.type not in DEQUANTIZE_OPS:
        return None
    quantize = dequantize.input("X").producer
    if quantize is None or quantize.type not in QUANTIZE_OPS:
        return None
    return Pair(quantize, dequantize)


def pair_names(var: Var, quantizer: Quantizer, *, for_test: bool) -> list[str]:
    """The variables that `insert_pair` makes."""
    names = [f"{var.name}.quantized", f"{var.name}.quantized.dequantized", f"{var.name}@scale"]
    if quantizer.type == "range_abs_max" and not for_test:
        names.append(f"{var.name}@scales")
    if quantizer.type == "moving_average_abs_max" and not for_test:
        names += [f"{var.name}@state", f"{var.name}@accum"]
    return names


def insert_pair(graph: Graph, var: Var, quantizer: Quantizer, before: Op) -> Pair:
    """Insert the pair of a variable before an op, which is not rewired yet.

    The variables are `<var>.quantized` and `<var>.quantized.dequantized`, the state of the quantizer
    `<var>@scale`, `@state`, `@accum` and `@scales`: names that derive from the variable, so that
    training and test program, and tomorrow's program, agree.
    """
    role = {"op_role": before.attr("op_role", 0)}
    quantize = _insert_quantize(graph, var, quantizer, before, role)
    scale = quantize.output("OutScale")
    quantized = quantize.output("Out")
    dequantized = graph.add_var_like(f"{quantized.name}.dequantized", var)
    if quantizer.axis is None:
        dequantize = graph.add_op(
            "fake_dequantize_max_abs",
            {"X": quantized, "Scale": scale},
            {"Out": dequantized},
            {"max_range": float(max_int(quantizer.bits)), **role},
            before=before,
        )
    else:
        dequantize = graph.add_op(
            "fake_channel_wise_dequantize_max_abs",
            {"X": quantized, "Scales": scale},
            {"Out": dequantized},
            {"quant_bits": [quantizer.bits], "quant_axis": quantizer.axis, **role},
            before=before,
        )
    return Pair(quantize, dequantize)


def _insert_quantize(graph: Graph, var: Var, quantizer: Quantizer, before: Op, role: Mapping[str, Any]) -> Op:
    quantized = graph.add_var_like(f"{var.name}.quantized", var)
    inputs: dict[str, Var] = {"X": var}
    outputs: dict[str, Var] = {"Out": quantized}
    attrs: dict[str, Any] = {"bit_length": quantizer.bits, **role}
    name = f"{var.name}@scale"
    if quantizer.type == "abs_max":
        scale = graph.weights[var.name] if var.persistable else np.zeros(1, np.float32)
        outputs["OutScale"] = _add_state(graph, name, abs_max(scale))
        return graph.add_op("fake_quantize_abs_max", inputs, outputs, attrs, before=before)
    attrs["is_test"] = graph.for_test
    if quantizer.type == "channel_wise_abs_max":
        outputs["OutScale"] = _add_state(graph, name, abs_max(graph.weights[var.name], quantizer.axis))
        attrs["quant_axis"] = quantizer.axis
        return graph.add_op("fake_channel_wise_quantize_abs_max", inputs, outputs, attrs, before=before)
    start = abs_max(graph.weights[var.name]) if var.persistable else np.full(1, UNOBSERVED_SCALE)
    inputs["InScale"] = _add_state(graph, name, start)
    outputs["OutScale"] = graph.add_version(inputs["InScale"])
    if quantizer.type == "range_abs_max":
        attrs["window_size"] = quantizer.window_size
        if not graph.for_test:
            inputs["Iter"] = _step_counter(graph)
            window = np.zeros(quantizer.window_size, np.float32)
            outputs["OutScales"] = _add_state(graph, f"{var.name}@scales", window)
        return graph.add_op("fake_quantize_range_abs_max", inputs, outputs, attrs, before=before)
    attrs["moving_rate"] = quantizer.moving_rate
    if not graph.for_test:
        for slot, suffix in (("State", "state"), ("Accum", "accum")):
            state = _add_state(graph, f"{var.name}@{suffix}", np.ones(1, np.float32))
            inputs[f"In{slot}"] = state
            outputs[f"Out{slot}"] = graph.add_version(state)
    return graph.add_op("fake_quantize_moving_average_abs_max", inputs, outputs, attrs, before=before)


def _add_state(graph: Graph, name: str, value: np.ndarray) -> Var:
    return graph.add_var(name, "float32", value.shape, value)


def _step_counter(graph: Graph) -> Var:
    """The number of the training step, one counter shared by all range_abs_max quantizers."""
    if STEP_COUNTER in graph:
        return graph.var(STEP_COUNTER)
    start = graph.add_var(STEP_COUNTER, "int64", (1,), np.zeros(1, np.int64))
    counted = graph.add_version(start)
    first = graph.ops[0] if graph.ops else None
    graph.add_op("increment", {"X": start}, {"Out": counted}, {"step": 1.0, "op_role": 0}, before=first)
    return counted
