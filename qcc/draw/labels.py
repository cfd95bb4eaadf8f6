"""Short labels: what an op does with which attributes, and how large its data are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qcc.draw.picture import Role
from qcc.draw.roles import op_role
from qcc.ir.dtypes import dtype_name
from qcc.ir.nodes import Op, Var
from qcc.numerics import UNOBSERVED_SCALE
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.passes.quantizable import KINDS

_BY = "\N{MULTIPLICATION SIGN}"

_COMPUTED = "?"

# Attributes worth a line, by op type.
_KEY_ATTRS = {
    "clip": ("min", "max"),
    "concat": ("axis",),
    "dropout": ("dropout_prob",),
    "dequantize_linear": ("only_observer",),
    "leaky_relu": ("alpha",),
    "quantize_linear": ("only_observer",),
    "reshape2": ("shape",),
    "scale": ("scale", "bias"),
    "slice": ("axes", "starts", "ends"),
    "softmax": ("axis",),
    "transpose2": ("axis",),
}


def shape_text(var: Var) -> str:
    """All sizes: N for the batch, ? for another one that is known only at run time."""
    if not var.is_tensor:
        return ""
    sizes = ["?" if size < 0 else str(size) for size in var.shape]
    if sizes and sizes[0] == "?":
        sizes[0] = "N"
    return _BY.join(sizes) or "scalar"


def edge_label(var: Var) -> str:
    """The shape, and the dtype where it is not float32."""
    shape = shape_text(var)
    dtype = dtype_name(var.dtype) if shape else ""
    return shape if dtype in ("", "float32") else f"{shape} {dtype}"


def op_title(op: Op) -> str:
    """The op's type, or for ops that quantize a word that says as much."""
    role = op_role(op)
    if role is Role.QUANTIZE:
        return "quantize"
    if role is Role.DEQUANTIZE:
        return "dequantize"
    return "quantize + dequantize" if role is Role.ROUND_TRIP else op.type


def op_facts(op: Op, folded: int) -> tuple[str, ...]:
    """Lines below the title; `folded` counts the weights that have no node of their own."""
    lines = [*_quantizer_facts(op)] if op_title(op) != op.type else [*_compute_facts(op)]
    if folded:
        lines.append(f"{folded} weight{'s' if folded > 1 else ''}")
    return tuple(line for line in lines if line)


def _quantizer_facts(op: Op) -> Sequence[str]:
    bits = op.attr("bit_length") or op.attr("quant_bits", [None])[0]
    lines = [f"{bits} bits" if bits else ""]
    kind = QUANTIZE_OPS.get(op.type, "")
    if op.type.endswith("_linear"):
        axis = op.attr("quant_axis", -1)
        kind = "per tensor" if axis < 0 else f"per channel, axis {axis}"
    elif op.type.startswith("fake_channel_wise_dequantize"):
        kind = f"per channel, axis {op.attr('quant_axis', 0)}"
    elif op.type == "fake_dequantize_max_abs":
        kind = "per tensor"
    if kind == "channel_wise_abs_max":
        kind += f", axis {op.attr('quant_axis', 0)}"
    return [*lines, kind]


def _compute_facts(op: Op) -> Sequence[str]:
    if op.type in ("conv2d", "depthwise_conv2d", "conv2d_transpose"):
        return [_convolution_fact(op)]
    if op.type == "pool2d":
        return [_pool_fact(op)]
    if op.type in KINDS:
        kind = KINDS[op.type]
        return [shape_text(op.input(kind.weight))]
    shown = [(name, _known(op, name)) for name in _KEY_ATTRS.get(op.type, ())]
    lines = [f"{name} {_value(value)}" for name, value in shown if value is not None]
    block = op.attr("sub_block")
    return [*lines, f"block {block}"] if isinstance(block, int) else lines


def _known(op: Op, name: str) -> object:
    """An attribute's value, or that it is known only at run time."""
    return _COMPUTED if name in op.pointed else op.attr(name)


def _pool_fact(op: Op) -> str:
    kind, adaptive = op.attr("pooling_type", ""), op.attr("adaptive", False)
    size = _COMPUTED if "ksize" in op.pointed else _by(op.attr("ksize", []))
    if op.attr("global_pooling", False) or (adaptive and size == _by([1, 1])):
        return f"{kind}, whole image"
    return f"{kind} to {size}" if adaptive else f"{kind} {size}{_stride(op)}"


def _convolution_fact(op: Op) -> str:
    kernel = _by(op.input("Filter").shape[2:])
    groups = op.attr("groups", 1)
    grouped = f", {groups} groups" if groups > 1 and op.type != "depthwise_conv2d" else ""
    return f"{kernel}{_stride(op)}{grouped}"


def _stride(op: Op) -> str:
    strides = op.attr("strides", [1, 1])
    if set(strides) == {1}:
        return ""
    return f", stride {strides[0] if len(set(strides)) == 1 else _by(strides)}"


def _by(sizes: Sequence[int]) -> str:
    return _BY.join(map(str, sizes))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def weight_facts(var: Var, integers: bool) -> tuple[str, ...]:
    """Shape and how the elements are stored."""
    dtype = dtype_name(var.dtype)
    stored = f"integers stored as {dtype}" if integers and dtype.startswith("float") else dtype
    return (shape_text(var), stored)


def scale_facts(var: Var, value: np.ndarray | None, dynamic: bool) -> tuple[str, ...]:
    """The scale itself, or the range of several."""
    if dynamic:
        return ("measured at every run",)
    if value is None or value.size == 0:
        return (shape_text(var),)
    low, high = float(value.min()), float(value.max())
    if value.size > 1:
        return (f"{value.size} scales, {low:.4g} … {high:.4g}",)
    return (f"{low:.4g}", "not observed yet") if low == float(UNOBSERVED_SCALE) else (f"{low:.4g}",)
