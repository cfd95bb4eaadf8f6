"""quantize-outputs: Q and DQ where an engine wants them besides the inputs of quantized ops."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.deploy.points import Where, inherited_scales, pair_of, points
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import free_prefix
from qcc.passes.round_trip import linear_attrs
from qcc.passes.static_scales import parse_scale

BITS = 8


@options(frozen=True, config=OPTIONS)
class QuantizeOutputs(EnginePass):
    """Quantize what convolutions and residual additions write, and what the latter read.

    Before, in QDQ form, `x.dequantized` and `w.dequantized` being dequantized:

        c = conv2d(Input=x.dequantized, Filter=w.dequantized)
        d = elementwise_add(X=c, Y=bias)
        y = hard_swish(X=d)

    After, with where=outputs and scales=["d=2.5"]:

        c = conv2d(Input=x.dequantized, Filter=w.dequantized)
        d = elementwise_add(X=c, Y=bias)
        d.quantized = quantize_linear(X=d, Scale=d@scale)
        d.quantized.dequantized = dequantize_linear(X=d.quantized, Scale=d@scale)
        y = hard_swish(X=d.quantized.dequantized)

    With where=outputs, a pair stands behind each quantized convolution and each residual addition (behind
    its relu, where it has one), and in front of the addition. With where=shortcuts, only the operand of a
    residual addition that is not the convolution in front of it has one.

    A variable that is quantized already keeps its scale, and all that read it, read it quantized. Where what
    reads it only moves values and quantizes them then, the scale is that one. For the others `scales` has an
    entry `variable=scale`; those without one stay float, which the pass notes.
    """

    name: ClassVar[str] = "quantize-outputs"

    where: Where = "outputs"
    scales: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        given = dict(parse_scale(entry) for entry in self.scales)
        inherited = inherited_scales(graph)
        wanted = points(graph, self.where)
        scales = {var: inherited.get(var, given.get(var.name)) for var in wanted if pair_of(var) is None}
        missing = [var.name for var, scale in scales.items() if scale is None]
        modified = False
        for var in wanted:
            scale = scales.get(var)
            pair = pair_of(var)
            if pair is not None:
                modified |= _share(graph, var, pair)
            elif scale is not None:
                _insert(graph, var, scale)
                modified = True
        return PassResult(modified, _notes(missing, len(wanted)))


def _notes(missing: list[str], count: int) -> tuple[str, ...]:
    if not missing:
        return ()
    return (
        f"{len(missing)} of {count} places where this engine wants integers have no scale, and the ops there"
        " compute in float, slower than in a float model; `qcc export --calibrate DATA` measures the scales"
        f" of {missing[0]!r}" + (f" and {len(missing) - 1} more." if len(missing) > 1 else "."),
    )


def _producer(var: Var) -> Op:
    assert var.producer is not None
    return var.producer


_ENDINGS = ("@scale", "@zero_point", ".quantized", ".quantized.dequantized")


def _share(graph: Graph, var: Var, pair: tuple[Op, Op]) -> bool:
    """Let all readers of a quantized variable read what its integers stand for."""
    _, dequantize = pair
    floats = [op for op in var.consumers if op.type != "quantize_linear"]
    for op in floats:
        graph.replace_input(op, var, dequantize.output("Y"))
    return bool(floats)


def _insert(graph: Graph, var: Var, value: float) -> None:
    readers = list(var.consumers)
    attrs = linear_attrs(BITS, axis=-1)
    # Where an op has been put between a variable and its quantize op, that still has the names.
    prefix = free_prefix(graph, var.name, _ENDINGS)
    scale, zero, quantized, dequantized = (f"{prefix}{ending}" for ending in _ENDINGS)
    slots = {
        "Scale": graph.add_var(scale, "float32", (1,), np.array([value], np.float32)),
        "ZeroPoint": graph.add_var(zero, "int32", (1,), np.zeros(1, np.int32)),
    }
    integers = graph.add_var_like(quantized, var)
    rounded = graph.add_var_like(dequantized, var)
    quantize = graph.add_op(
        "quantize_linear", {"X": var, **slots}, {"Y": integers}, attrs, after=_producer(var)
    )
    graph.add_op("dequantize_linear", {"X": integers, **slots}, {"Y": rounded}, attrs, after=quantize)
    for op in readers:
        graph.replace_input(op, var, rounded)
