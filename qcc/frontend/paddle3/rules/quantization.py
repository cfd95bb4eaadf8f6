"""Quantization as `paddle.quantization` writes it."""

from __future__ import annotations

from qcc.frontend.paddle3.by_table import convert_by_table
from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.rules.registry import rule
from qcc.frontend.paddle3.tables import find, rows


@rule("quantize_linear", "dequantize_linear")
def linear(call: Call) -> None:
    """Paddle 3 counts in qmin and qmax and ignores `bit_length`; 2.6 knows `bit_length` alone.

    quantize_linear(qmin=-8, qmax=7)  ->  quantize_linear(bit_length=4)
    """
    bits = call.integer("bit_length")
    if "qmin" in call.op.attrs:
        bits = _bits(call.integer("qmin"), call.integer("qmax"))
    call.ignore("is_test")
    inputs = {"X": call["x"], "Scale": call["scale"], "ZeroPoint": call.optional("zero_point")}
    for result, operand in (("out_state", "in_state"), ("out_accum", "in_accum"), ("out_scale", "scale")):
        if operand in call:
            call.bind(result, call[operand])
    attrs = {name: call.attr(name) for name in ("quant_axis", "round_type", "only_observer")}
    call.emit(call.short, inputs, {"Y": call.out("y")}, bit_length=bits, is_test=True, **attrs)


def _bits(low: int, high: int) -> int:
    bits = int(high + 1).bit_length()
    if (low, high) != (-(1 << (bits - 1)), (1 << (bits - 1)) - 1):
        raise Unsupported(
            f"it quantizes to {low} ... {high}, and Paddle 2.6 to signed integers of a number of bits"
        )
    return bits


@rule(
    "fake_quantize_dequantize_moving_average_abs_max",
    "fake_quantize_moving_average_abs_max",
    "fake_quantize_range_abs_max",
)
def observing(call: Call) -> None:
    """What is observed is changed in place: outputs of the same names as the inputs."""
    for result, operand in (("out_scale", "in_scale"), ("out_state", "in_state"), ("out_accum", "in_accum")):
        if operand in call.operand_names and operand in call:
            call.bind(result, call[operand])
    convert_by_table(call, find(rows(), call.op.name))
