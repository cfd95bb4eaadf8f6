"""What a graph becomes where an engine runs only some of its quantized ops in int8."""

from __future__ import annotations

from collections.abc import Collection

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import max_int
from qcc.passes.fake_quant import QUANTIZE_OPS, read_quantizer
from qcc.passes.frozen import frozen_op
from qcc.quantization import quantized_ops


def unrounded(graph: Graph, int8_ops: Collection[str]) -> Graph:
    """A copy in which quantized ops of other types than `int8_ops` read activations that are not rounded.

    oneDNN's int8 engine takes all quantize ops out, and puts its own in front of what it runs in int8.

    Before, frozen:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        out = mul(X=x.quantized, Y=w)

    After:

        x.unrounded = scale(X=x, scale=127 / x@scale)
        out = mul(X=x.unrounded, Y=w)
    """
    found = graph.copy()
    for quantized in list(quantized_ops(found)):
        if quantized.op.type in int8_ops:
            continue
        if quantized.form == "qdq":
            _skip_pair(found, quantized.op)
        elif quantized.form == "frozen":
            _only_scale(found, quantized.op)
    return found


def _skip_pair(graph: Graph, op: Op) -> None:
    for var in list(op.all_inputs()):
        pair = var.producer
        if pair is None or pair.type != "dequantize_linear":
            continue
        quantize = pair.input("X").producer
        if quantize is not None and quantize.type == "quantize_linear":
            graph.replace_input(op, var, quantize.input("X"))


def _only_scale(graph: Graph, op: Op) -> None:
    found = frozen_op(op)
    assert found is not None
    quantize = found.quantize
    if quantize.type not in QUANTIZE_OPS or "InScale" not in quantize.inputs:
        return
    old = quantize.output("Out")
    graph.replace_input(op, old, _scaled(graph, quantize, old))


def _scaled(graph: Graph, quantize: Op, old: Var) -> Var:
    name = f"{old.name}.unrounded"
    if name in graph:
        return graph.var(name)
    step = float(graph.weights[quantize.input("InScale").name][0]) / max_int(read_quantizer(quantize).bits)
    out = graph.add_var_like(name, old)
    attrs = {"scale": 1 / step, "bias": 0.0, "bias_after_scale": True}
    graph.add_op("scale", {"X": quantize.input("X")}, {"Out": out}, attrs, before=quantize)
    return out
