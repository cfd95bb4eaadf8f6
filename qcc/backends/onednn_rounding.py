"""What a graph becomes where oneDNN's int8 engine runs it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import max_int, usable_scale
from qcc.passes.fake_quant import QUANTIZE_OPS, read_quantizer
from qcc.passes.frozen import frozen_op
from qcc.passes.quantizable import channel_axis
from qcc.passes.rewrite import RECTIFIERS, free_name, free_prefix, is_fetched, only_reader, slot_of
from qcc.passes.round_trip import quantize_in_front, round_trips
from qcc.quantization import quantized_ops

_UINT8 = 255
# Ops that oneDNN fuses into the convolution in front, up to the activation.
FUSED = ("batch_norm", "elementwise_add")
CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
# Quantize ops, and the slot of their scale.
_SCALES = {"quantize_linear": "Scale", **dict.fromkeys(QUANTIZE_OPS, "InScale")}
# And the one behind: `GetSupportedActivations` of Paddle's `mkldnn_helper`.
ACTIVATIONS = (
    *("abs", "clip", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "mish"),
    *("relu", "relu6", "sigmoid", "sqrt", "swish", "tanh"),
)


def as_onednn_rounds(graph: Graph, int8_ops: Collection[str]) -> Graph:
    """A copy that rounds activations where, and as finely as, oneDNN's int8 engine does.

    It takes all quantize ops out, also those of ops without a weight, and puts its own in front of what it
    runs in int8, `int8_ops`. Those of unsigned activations have 255 steps, where the graph has 127.

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

    A convolution gives steps where another one reads them. So that is what everybody reads and fetches of x,
    where x comes from one:

        x.exact = relu(X=c)
        x.steps = round(clip(scale(X=x.exact, scale=255 / x@scale), 0, 255))
        x = scale(X=x.steps, scale=x@scale / 255)
    """
    found = graph.copy()
    _leave_out_others(found)
    _give_steps(found, int8_ops)
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
    quantize = _quantize_of(op)
    return quantize is None or not is_unsigned(quantize.input("X"))


def _quantize_of(op: Op) -> Op | None:
    """What quantizes the activation that a frozen op, or one between pairs, reads."""
    frozen, trips = frozen_op(op), round_trips(op)
    return frozen.quantize if frozen else trips.data.ops[0] if trips else None


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
    while op is not None and op.type in FUSED:
        op = op.input("X").producer
    return op is not None and op.type in CONVOLUTIONS


def _give_steps(graph: Graph, int8_ops: Collection[str]) -> None:
    """Round what convolutions in int8 give where others than the next ones in int8 read it as well."""
    in_int8 = dict.fromkeys(one.op for one in quantized_ops(graph) if one.op.type in int8_ops)
    for var in dict.fromkeys(quantize.input("X") for op in in_int8 if (quantize := _static(op))):
        quantizers = [op for op in var.consumers if op.type in _SCALES]
        if (len(quantizers) < len(var.consumers) or is_fetched(graph, var)) and _comes_from(
            graph, var, in_int8
        ):
            _give_rounded(graph, var, quantizers)


def _static(op: Op) -> Op | None:
    """What quantizes the activation that an op reads, by a scale that is fixed."""
    found = _quantize_of(op)
    return found if found is not None and found.inputs.get(_SCALES.get(found.type, "")) else None


def _comes_from(graph: Graph, var: Var, convolutions: Collection[Op]) -> bool:
    """Whether a variable is what one of the convolutions gives, with what is computed together with it."""
    op = var.producer
    if op is not None and op.type in ACTIVATIONS:
        op = _own_writer(graph, op, "X")
    while op is not None and op.type in FUSED:
        writers = (_own_writer(graph, op, slot) for slot in ("X", "Y") if op.inputs.get(slot))
        op = next((writer for writer in writers if writer is not None), None)
    return op is not None and op.type in CONVOLUTIONS and op in convolutions


def _own_writer(graph: Graph, op: Op, slot: str) -> Op | None:
    """The op that writes what this one alone reads."""
    return op.input(slot).producer if only_reader(graph, op.input(slot)) is op else None


def _give_rounded(graph: Graph, var: Var, quantizers: list[Op]) -> None:
    """Let all but the quantize ops read the steps of an activation, which keeps its name."""
    writer, scale = var.producer, scale_of(graph, quantizers[0], _SCALES[quantizers[0].type])
    assert writer is not None
    exact = graph.add_var_like(free_name(graph, var.name, ".exact"), var)
    graph.set_output(writer, slot_of(writer, var), [exact])
    for quantize in quantizers:
        graph.set_input(quantize, "X", [exact])
    integers = _UINT8 if is_unsigned(exact) else max_int(8)
    steps = _steps(graph, writer, exact, scale, integers, lowest=0 if integers == _UINT8 else -integers)
    graph.add_op("scale", {"X": steps}, {"Out": var}, _factor(scale / integers), after=writer)


def _replace_pair(graph: Graph, op: Op, rounded: bool) -> None:
    for var in list(op.all_inputs()):
        quantize = quantize_in_front(var.producer)
        if quantize is None:
            continue
        source = quantize.input("X")
        if not rounded:
            graph.replace_input(op, var, source)
        elif is_unsigned(source):
            scale = scale_of(graph, quantize, "Scale")
            graph.replace_input(op, var, _unsigned(graph, quantize, var, scale, scale / _UINT8))


def _leave_out_others(graph: Graph) -> None:
    """Let ops without a weight read what stands in front of their pairs, as other tools put there."""
    layers = {one.op for one in quantized_ops(graph)}
    for op in graph.ops:
        quantize = quantize_in_front(op)
        if quantize is None:
            continue
        for reader in [reader for reader in op.output("Y").consumers if reader not in layers]:
            graph.replace_input(reader, op.output("Y"), quantize.input("X"))
        for idle in (op, quantize):
            if not idle.output("Y").consumers and not is_fetched(graph, idle.output("Y")):
                graph.remove_op(idle)  # its scale stays, since all weights are read from one file


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
    name, exact = f"{old.name}.unsigned", quantize.input("X")
    if name in graph:
        return graph.var(name)
    return _computed(
        graph, quantize, name, _steps(graph, quantize, exact, scale, _UINT8, lowest=0), scale=step
    )


def _steps(graph: Graph, beside: Op, exact: Var, scale: float, integers: int, lowest: int) -> Var:
    """How many steps, `integers` of them up to `scale`, a value is."""
    prefix = free_prefix(graph, exact.name, [".scaled", ".clipped", ".steps"])
    scaled = _computed(graph, beside, f"{prefix}.scaled", exact, scale=integers / scale)
    limits = {"min": float(lowest), "max": float(integers)}
    clipped = _computed(graph, beside, f"{prefix}.clipped", scaled, "clip", **limits)
    return _computed(graph, beside, f"{prefix}.steps", clipped, "round")


def _computed(graph: Graph, beside: Op, name: str, source: Var, kind: str = "scale", **attrs: float) -> Var:
    if name in graph:
        return graph.var(name)
    out = graph.add_var_like(name, source)
    given = _factor(**attrs) if kind == "scale" else attrs
    graph.add_op(kind, {"X": source}, {"Out": out}, given, before=beside)
    return out


def _factor(scale: float) -> dict[str, Any]:
    return {"scale": scale, "bias": 0.0, "bias_after_scale": True}


def static_scale(graph: Graph, op: Op) -> float | None:
    """The scale by which an op quantizes; None where it does not, or measures the scale at every run."""
    slot = _SCALES.get(op.type, "")
    return scale_of(graph, op, slot) if op.inputs.get(slot) else None


def scale_of(graph: Graph, quantize: Op, slot: str) -> float:
    """The one scale of a quantize op; of a dead activation, where other tools write 0, a usable one."""
    return float(usable_scale(graph.weights[quantize.input(slot).name].reshape(-1)[0]))
