"""What a graph becomes where oneDNN's int8 engine runs it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import max_int
from qcc.passes.fake_quant import QUANTIZE_OPS, read_quantizer
from qcc.passes.frozen import frozen_op
from qcc.passes.quantizable import channel_axis
from qcc.passes.rewrite import RECTIFIERS
from qcc.passes.round_trip import round_trips
from qcc.quantization import quantized_ops

_UINT8 = 255
# Ops that oneDNN fuses into the convolution in front, up to the activation.
_FUSED = ("batch_norm", "elementwise_add")
_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")


def as_onednn_rounds(graph: Graph, int8_ops: Collection[str]) -> Graph:
    """A copy that rounds activations where, and as finely as, oneDNN's int8 engine does.

    It takes all quantize ops out, and puts its own in front of what it runs in int8, `int8_ops`. Those of
    unsigned activations have 255 steps, where the graph has 127.

    Before, frozen, where x is what a relu gives:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        out = conv2d(Input=x.quantized, Filter=w)
        y = mul(X=x.quantized, Y=v)

    After:

        x.steps = round(clip(scale(X=x, scale=255 / x@scale), 0, 255))
        x.unsigned = scale(X=x.steps, scale=127 / 255)
        out = conv2d(Input=x.unsigned, Filter=w)
        x.unrounded = scale(X=x, scale=127 / x@scale)
        y = mul(X=x.unrounded, Y=v)
    """
    found = graph.copy()
    for quantized in list(quantized_ops(found)):
        rounded = quantized.op.type in int8_ops
        if quantized.form == "qdq":
            _replace_pair(found, quantized.op, rounded)
        elif quantized.form == "frozen":
            _replace_quantize(found, quantized.op, rounded)
    return found


def rounded_again(graph: Graph, int8_ops: Collection[str], vnni: bool) -> list[str]:
    """The weights, of a frozen or QDQ form, whose integers oneDNN's int8 engine rounds once more.

    Without VNNI it adds products in 16 bits: so that the sums fit, it halves weights that meet activations of
    both signs, which lose their last bit. On any processor `compute_propagate_scales_mkldnn_pass` of Paddle
    lets the largest integer of each output channel be 127, as that of a weight with one scale is not.
    """
    return [
        one.weight
        for one in quantized_ops(graph)
        if one.op.type in int8_ops
        and ((not vnni and _reads_signed(one.op)) or not _largest_is_127(one.op, graph.weights[one.weight]))
    ]


def _reads_signed(op: Op) -> bool:
    frozen, trips = frozen_op(op), round_trips(op)
    source = frozen.quantize.input("X") if frozen else trips.data.source if trips else None
    return source is None or not is_unsigned(source)


def _largest_is_127(op: Op, weight: np.ndarray) -> bool:
    channels = np.moveaxis(weight.astype(np.float32), channel_axis(op), 0)
    largest = np.abs(channels).reshape(len(channels), -1).max(axis=1)
    return bool(np.all((largest == max_int(8)) | (largest == 0)))


def is_unsigned(var: Var) -> bool:
    """Whether oneDNN's passes take an activation for unsigned: relu's, and relu6's behind a convolution."""
    op = var.producer
    while op is not None and op.type == "dropout":
        op = op.input("X").producer
    if op is None or op.type not in RECTIFIERS:
        return False
    return op.type == "relu" or ends_a_convolution(op.input("X").producer)


def ends_a_convolution(op: Op | None) -> bool:
    """Whether an op is a convolution, or one of those behind that oneDNN computes together with it."""
    while op is not None and op.type in _FUSED:
        op = op.input("X").producer
    return op is not None and op.type in _CONVOLUTIONS


def _replace_pair(graph: Graph, op: Op, rounded: bool) -> None:
    for var in list(op.all_inputs()):
        pair = var.producer
        if pair is None or pair.type != "dequantize_linear":
            continue
        quantize = pair.input("X").producer
        if quantize is None or quantize.type != "quantize_linear":
            continue
        source = quantize.input("X")
        if not rounded:
            graph.replace_input(op, var, source)
        elif is_unsigned(source):
            scale = scale_of(graph, quantize, "Scale")
            graph.replace_input(op, var, _unsigned(graph, quantize, var, scale, scale / _UINT8))


def _replace_quantize(graph: Graph, op: Op, rounded: bool) -> None:
    found = frozen_op(op)
    assert found is not None
    quantize = found.quantize
    if quantize.type not in QUANTIZE_OPS or "InScale" not in quantize.inputs:
        return
    old, scale = quantize.output("Out"), scale_of(graph, quantize, "InScale")
    integers = max_int(read_quantizer(quantize).bits)
    if not rounded:
        new = _computed(graph, quantize, f"{old.name}.unrounded", quantize.input("X"), scale=integers / scale)
        graph.replace_input(op, old, new)
    elif is_unsigned(quantize.input("X")):
        graph.replace_input(op, old, _unsigned(graph, quantize, old, scale, integers / _UINT8))


def _unsigned(graph: Graph, quantize: Op, old: Var, scale: float, step: float) -> Var:
    """`old`, what the convolution reads, with 255 steps up to `scale`, of the size `step`."""
    name = f"{old.name}.unsigned"
    steps = _computed(graph, quantize, f"{name}.scaled", quantize.input("X"), scale=_UINT8 / scale)
    steps = _computed(graph, quantize, f"{name}.clipped", steps, "clip", min=0.0, max=float(_UINT8))
    steps = _computed(graph, quantize, f"{name}.steps", steps, "round")
    return _computed(graph, quantize, name, steps, scale=step)


def _computed(graph: Graph, before: Op, name: str, source: Var, kind: str = "scale", **attrs: float) -> Var:
    if name in graph:
        return graph.var(name)
    out = graph.add_var_like(name, source)
    more = {"bias": 0.0, "bias_after_scale": True} if kind == "scale" else {}
    graph.add_op(kind, {"X": source}, {"Out": out}, {**attrs, **more}, before=before)
    return out


def scale_of(graph: Graph, quantize: Op, slot: str) -> float:
    """The one scale of a quantize op."""
    return float(graph.weights[quantize.input(slot).name].reshape(-1)[0])
