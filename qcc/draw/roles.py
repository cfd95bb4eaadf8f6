"""Which role each op and variable of a graph plays in its quantization."""

from __future__ import annotations

from qcc._paddle import VarType
from qcc.draw.picture import Role
from qcc.ir.nodes import Op, Var
from qcc.ir.verify import SCALE_SLOTS
from qcc.passes.fake_quant import DEQUANTIZE_OPS, FUSED_OPS, QUANTIZE_OPS
from qcc.passes.quantizable import KINDS
from qcc.passes.round_trip import is_observer
from qcc.passes.static_scales import measures_scale

QUANTIZE_TYPES = frozenset({*QUANTIZE_OPS, "quantize_linear", "quantize"})
DEQUANTIZE_TYPES = frozenset({*DEQUANTIZE_OPS, "dequantize_linear", "dequantize"})
_SCALE_OUTPUT = "OutScale"
# Bits of the attribute op_role.
_BACKWARD_OR_OPTIMIZE = 0b11


def op_role(op: Op) -> Role:
    """What an op does."""
    if is_observer(op):
        return Role.FLOAT_OP
    if op.type in QUANTIZE_TYPES:
        return Role.QUANTIZE
    if op.type in DEQUANTIZE_TYPES:
        return Role.DEQUANTIZE
    if op.type in FUSED_OPS:
        return Role.ROUND_TRIP
    if int(op.attr("op_role", 0)) & _BACKWARD_OR_OPTIMIZE:
        return Role.TRAINING_OP
    if op.type in KINDS and any(_from_quantization(var) for var in op.all_inputs()):
        return Role.QUANTIZED_OP
    return Role.FLOAT_OP


def is_quantizer(op: Op) -> bool:
    """True for ops that have a scale."""
    known = op.type in QUANTIZE_TYPES | DEQUANTIZE_TYPES or op.type in FUSED_OPS
    return known and not is_observer(op)


def scale_inputs(op: Op) -> list[Var]:
    """The scales that an op reads."""
    return list(op.inputs.get(SCALE_SLOTS.get(op.type, ""), ()))


def scale_outputs(op: Op) -> list[Var]:
    """The scales that an op computes: at rest, an observed scale only passes through."""
    if op.attr("is_test", False) and scale_inputs(op):
        return []
    if op.attr("is_test", False) and op.type == "fake_channel_wise_quantize_abs_max":
        return []
    return list(op.outputs.get(_SCALE_OUTPUT, ())) if is_quantizer(op) else []


def is_dynamic(scale: Var) -> bool:
    """True for a scale that is measured at every run, so that its stored value means nothing."""
    op = scale.producer
    return op is not None and measures_scale(op)


def is_weight_data(var: Var) -> bool:
    """True for a weight, and for what quantize and dequantize ops make of one."""
    while not var.persistable:
        producer = var.producer
        if producer is None or not is_quantizer(producer):
            return False
        var = producer.input("X")
    return True


def holds_integers(var: Var) -> bool:
    """True for quantized data, in whatever type it is stored: activations, sums of products, weights."""
    if var.is_tensor and var.dtype == VarType.INT8:
        return True
    producer = var.producer
    if producer is not None:
        if producer.type in QUANTIZE_TYPES and not is_observer(producer):
            return var in producer.outputs.get("Out", ()) or var in producer.outputs.get("Y", ())
        return _reads_integers(producer)
    return var.persistable and any(
        _reads_integers(reader) or (reader.type in DEQUANTIZE_TYPES and var in reader.inputs.get("X", ()))
        for reader in var.consumers
    )


def _reads_integers(op: Op) -> bool:
    """True for a quantized op behind a quantize op: what it multiplies and sums are integers."""
    kind = KINDS.get(op.type)
    if kind is None:
        return False
    operands = (*op.inputs.get(kind.data, ()), *op.inputs.get(kind.weight, ()))
    return any(var.producer is not None and var.producer.type in QUANTIZE_TYPES for var in operands)


def _from_quantization(var: Var) -> bool:
    producer = var.producer
    return producer is not None and is_quantizer(producer)
