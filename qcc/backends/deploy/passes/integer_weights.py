"""integer-weights: weights of a float graph as INT8, with a dequantize op in front of what reads them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import abs_max, max_int, quantize_weight
from qcc.passes.base import OPTIONS, PassResult, check_free, check_test_graph
from qcc.passes.integer_weights import drop_marks, integer_weight
from qcc.passes.quantizable import KINDS, operands
from qcc.passes.rewrite import drop_if_unused
from qcc.passes.round_trip import linear_attrs

_BITS = 8


@options(frozen=True, config=OPTIONS)
class IntegerWeights(EnginePass):
    """Round weights to INT8, with a scale per output channel; activations stay float.

    Before:

        y = conv2d(Input=x, Filter=w)

    After:

        y.weight = dequantize_linear(X=w.int8, Scale=w.int8@scale, ZeroPoint=w.int8@zero_point)
        y = conv2d(Input=x, Filter=y.weight)

    Weights that are integers already, by the attributes that Paddle's `WeightQuantization` writes, keep them.
    Quantized ops stay as they are.
    """

    name: ClassVar[str] = "integer-weights"

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        found = [step for op in graph.ops if (step := _plan(graph, op)) is not None]
        rows = {step.weight for step in found if step.axis == 0}
        names = {(step.weight, step.axis): _stored_names(step, rows) for step in found}
        for step in found:
            check_free(graph, step.op, [f"{step.output.name}.weight", *names[step.weight, step.axis]])
        stored: dict[tuple[Var, int | None], tuple[Var, Var, Var]] = {}
        for step in found:
            _store(graph, step, names[step.weight, step.axis], stored)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Step:
    """An op, the slot of its weight, and the integers; `scale` is float32 [channels] along `axis`, or [1]."""

    op: Op
    slot: str
    integers: np.ndarray
    scale: np.ndarray
    axis: int | None

    @property
    def weight(self) -> Var:
        return self.op.input(self.slot)

    @property
    def output(self) -> Var:
        return self.op.output(KINDS[self.op.type].output)


def _plan(graph: Graph, op: Op) -> _Step | None:
    marked = integer_weight(op)
    if marked is not None:
        if marked.weight.dtype != VarType.INT8:
            raise PassError(f"{op} has a weight of {marked.bits} bits, and engines for ONNX read 8.")
        scale = marked.steps * np.float32(max_int(_BITS))
        integers = graph.weights[marked.weight.name]
        return _Step(op, KINDS[op.type].weight, integers, scale, marked.axis)
    found = operands(op)
    if found is None or found.weight.name not in graph.weights:
        return None
    axis = found.channel_axis if found.why_not_per_channel() is None else None
    value = graph.weights[found.weight.name]
    if not np.isfinite(value).all():
        raise PassError(f"{op} reads weight {found.weight.name!r}, whose values are not all finite.")
    scale = abs_max(value, axis)
    return _Step(
        op, found.weight_slot, quantize_weight(value, scale, _BITS, axis).astype(np.int8), scale, axis
    )


def _stored_names(step: _Step, rows: Set[Var]) -> list[str]:
    """Names of the integers, of their scale and of their zero point. `rows`: weights that some op wants with
    a scale per row, which another one may want with one scale."""
    name = f"{step.weight.name}.int8"
    if step.axis is None and step.weight in rows:
        name += ".whole"
    elif step.axis:
        name += f".{step.axis}"
    return [name, f"{name}@scale", f"{name}@zero_point"]


def _store(
    graph: Graph,
    step: _Step,
    names: Sequence[str],
    stored: dict[tuple[Var, int | None], tuple[Var, Var, Var]],
) -> None:
    op, weight = step.op, step.weight
    key = weight, step.axis
    if key not in stored:
        name, scale_name, zero_name = names
        zeros = np.zeros(step.scale.shape, np.int32)
        stored[key] = (
            graph.add_var(name, "int8", step.integers.shape, step.integers),
            graph.add_var(scale_name, "float32", step.scale.shape, step.scale),
            graph.add_var(zero_name, "int32", zeros.shape, zeros),
        )
    integers, scale, zero = stored[key]
    dequantized = graph.add_var(f"{step.output.name}.weight", "float32", step.integers.shape)
    attrs = linear_attrs(_BITS, -1 if step.axis is None else step.axis)
    slots = {"X": integers, "Scale": scale, "ZeroPoint": zero}
    graph.add_op("dequantize_linear", slots, {"Y": dequantized}, attrs, before=op)
    drop_marks(graph, op)
    graph.set_input(op, step.slot, [dequantized])
    drop_if_unused(graph, weight)
