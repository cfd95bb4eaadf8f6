"""Fake quantization that a gradient goes through, and that learns its scales."""

from __future__ import annotations

from typing import Any

import numpy as np

from qcc.ir.graph import Graph, Slots
from qcc.ir.nodes import Op, Var
from qcc.passes.fake_quant import FUSED_OPS, QUANTIZE_OPS, Pair, pair_behind

_FUSED = {kind: op for op, kind in FUSED_OPS.items()}
_ONE = "@one"


def scales_of(graph: Graph) -> dict[str, tuple[str, np.ndarray]]:
    """Activation -> the weight that holds its scale, and the scale, float32 [1], of a transformed graph."""
    found = {}
    for op in graph.ops:
        if op.type in QUANTIZE_OPS and not op.input("X").persistable:
            name = op.input("InScale").name
            found[op.input("X").name] = (name, graph.weights[name])
    return found


def learnable(graph: Graph) -> Graph:
    """A copy of a transformed graph with fixed scales, whose quantization has gradients.

    Before:

        w.quantized, w@scale = fake_channel_wise_quantize_abs_max(X=w)
        w.quantized.dequantized = fake_channel_wise_dequantize_max_abs(X=w.quantized, Scales=[w@scale])
        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        x.quantized.dequantized = fake_dequantize_max_abs(X=x.quantized, Scale=x@scale)

    After, `@one` holding 1:

        w.quantized.dequantized, w@scale = fake_channel_wise_quantize_dequantize_abs_max(X=w)
        x.relative = elementwise_div(X=x, Y=x@scale)
        x.clipped = clip(X=x.relative) {max=1.0, min=-1.0}
        x.rounded = fake_quantize_dequantize_moving_average_abs_max(X=x.clipped, InScale=@one)
        x.quantized.dequantized = elementwise_mul(X=x.rounded, Y=x@scale)

    Paddle's fused ops hand gradients straight through, so that those of `x` are zero where it is clipped, and
    `x@scale` gets those of learned step size quantization.
    """
    copy = graph.copy()
    one = copy.add_var(_ONE, "float32", (1,), np.ones(1, np.float32))
    pairs = [pair_behind(var) for op in copy.ops for var in op.all_outputs()]
    for pair in dict.fromkeys(pair for pair in pairs if pair is not None):
        if pair.source.persistable:
            _fuse_weight(copy, pair)
        else:
            _learn_scale(copy, pair, one)
    return copy


def _fuse_weight(graph: Graph, pair: Pair) -> None:
    quantizer, source, result, scale = pair.quantizer, pair.source, pair.dequantized, pair.scale
    # Gradient ops of Paddle 3 do without no attribute, and have those that are written here.
    attrs = {"bit_length": quantizer.bits, "round_type": quantizer.rounding, "op_role": 0}
    if quantizer.axis is not None:
        attrs["quant_axis"] = quantizer.axis
    fused = graph.add_op(_FUSED[quantizer.type], {"X": source}, {}, attrs, before=pair.quantize)
    _remove(graph, pair)
    graph.set_output(fused, "Out", [result])
    graph.set_output(fused, "OutScale", [scale])


def _learn_scale(graph: Graph, pair: Pair, one: Var) -> None:
    source, result, before = pair.source, pair.dequantized, pair.quantize
    scale = before.input("InScale")
    relative, clipped, rounded = (
        graph.add_var_like(f"{source.name}.{suffix}", source) for suffix in ("relative", "clipped", "rounded")
    )
    unused = graph.add_var(f"{source.name}.unused", "float32", (1,))

    def add(kind: str, inputs: Slots, outputs: Slots, **attrs: Any) -> Op:
        return graph.add_op(kind, inputs, outputs, {**attrs, "op_role": 0}, before=before)

    add("elementwise_div", {"X": source, "Y": scale}, {"Out": relative}, axis=-1)
    add("clip", {"X": relative}, {"Out": clipped}, min=-1.0, max=1.0)
    add(
        _FUSED["moving_average_abs_max"],
        {"X": clipped, "InScale": one},
        {"Out": rounded, "OutScale": unused},
        bit_length=pair.quantizer.bits,
        round_type=pair.quantizer.rounding,
        is_test=True,
        moving_rate=0.9,
    )
    product = add("elementwise_mul", {"X": rounded, "Y": scale}, {}, axis=-1)
    _remove(graph, pair)
    graph.set_output(product, "Out", [result])


def _remove(graph: Graph, pair: Pair) -> None:
    """Take the two ops away; what is read of theirs stays, without a producer."""
    integers = pair.quantized
    graph.remove_op(pair.dequantize)
    graph.remove_op(pair.quantize)
    graph.remove_var(integers)
