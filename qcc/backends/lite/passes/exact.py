"""lite-exact: ops that are to run in int8, computed exactly by float kernels."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.int8_op import Calibs, Int8Op, disable_int8, int8_op
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.passes.round import can_calib
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import set_attrs, set_weight

# Ops whose integer weights the runtime turns into floats when it loads a file.
_DEQUANTIZED_AT_LOAD = ("conv2d", "depthwise_conv2d", "fc", "mul")

_MOST_EXACT_WEIGHT = 64
_X86_ACTIVATIONS = ("relu", "relu6", "leaky_relu")


@options(frozen=True, config=OPTIONS)
class LiteExact(LitePass):
    """Compute with float kernels what a device's int8 kernels compute wrongly, from the same integers.

    Before:

        y = conv2d(Input=x, Filter=w)  {enable_int8 = true, Input0_scale = [s], Filter0_scale = [...]}

    After, `w` being INT8 in the file and float once it is loaded:

        x.int8 = calib(Input=x)  {scale = s}
        x.int8.float32 = calib(Input=x.int8)  {scale = s}
        y = conv2d(Input=x.int8.float32, Filter=w)  {quantize_weight_bits = 8, w_quant_scale = [...], ...}

    keep="none" rewrites all ops. keep="arm" leaves those alone that ARM kernels compute exactly: all but
    grouped transposed convolutions, and products whose weight is no plain matrix on the right. keep="x86"
    leaves convolutions alone whose weights do not exceed 64 (beyond, the kernel's sums of two products
    overflow), and whose input can be quantized there (see `lite-round`).

    Weights of other ops than conv2d, depthwise_conv2d, fc and mul are stored as float32.
    """

    name: ClassVar[str] = "lite-exact"

    keep: Literal["none", "arm", "x86"] = "none"

    def apply(self, graph: Graph) -> PassResult:
        calibs = Calibs(graph)
        claimed: set[str] = set()
        reasons: Counter[str] = Counter()
        for op in graph.ops:
            found = int8_op(op)
            reason = None if found is None else self._why(graph, found)
            if found is not None and reason is not None:
                _rewrite(graph, found, calibs, claimed)
                reasons[f"{found.op.type} by a float kernel, since {reason}"] += 1
        notes = tuple(f"computes {count} {reason}." for reason, count in reasons.items())
        return PassResult(bool(reasons), notes)

    def _why(self, graph: Graph, found: Int8Op) -> str | None:
        """Why an op is not left to an int8 kernel; None when it is."""
        value = graph.weights[found.weight.name]
        if value.dtype != np.int8:
            return "its weight has more than 8 bits"
        if self.keep == "none":
            return "that of x86 is not exact"
        return _why_not_on_arm(found) if self.keep == "arm" else _why_not_on_x86(found, value)


def _why_not_on_arm(found: Int8Op) -> str | None:
    op = found.op
    if op.type == "conv2d_transpose" and found.is_grouped:
        return "the int8 kernel for groups is wrong"
    if op.type in ("mul", "matmul", "matmul_v2"):
        transposed = any(
            op.attr(name, False) for name in ("transpose_X", "transpose_Y", "trans_x", "trans_y")
        )
        plain = len(found.weight.shape) == 2 and op.attr("y_num_col_dims", 1) == 1
        if found.swapped or not plain or transposed or op.attr("alpha", 1.0) != 1.0:
            return "it is not the plain product of an activation and a matrix"
    return None


def _why_not_on_x86(found: Int8Op, value: np.ndarray) -> str | None:
    op = found.op
    if op.type not in ("conv2d", "depthwise_conv2d"):
        return "the int8 kernel is wrong or missing"
    largest = int(np.max(np.abs(value.astype(np.int16)), initial=0))
    if largest > _MOST_EXACT_WEIGHT:
        return f"its weights exceed {_MOST_EXACT_WEIGHT}, beyond which the int8 kernel's sums overflow"
    if op.attr("with_act") and op.attr("act_type") not in _X86_ACTIVATIONS:
        return "its activation is not known to be exact in int8"
    if not can_calib(found.data, found.lowest):
        return "its input cannot be quantized by the calib kernel"
    return None


def _rewrite(graph: Graph, found: Int8Op, calibs: Calibs, claimed: set[str]) -> None:
    op, step = found.op, found.data_step
    integers = calibs.quantized(found.data, step, found.lowest, op)
    graph.set_input(op, found.data_slot, [calibs.dequantized(integers, step, op)])
    steps = found.weight_steps
    value = graph.weights[found.weight.name]
    if op.type in _DEQUANTIZED_AT_LOAD and not found.swapped:
        _store_integers(graph, found, claimed)
    else:
        set_weight(
            graph, op, found.weight_slot, _as_floats(found, value, steps), f"{found.output.name}.weight"
        )
    disable_int8(graph, op)


def _store_integers(graph: Graph, found: Int8Op, claimed: set[str]) -> None:
    """Say by attributes what the integers stand for.

    The runtime replaces the integers where they are, op by op: a weight that two ops read needs a copy.
    """
    name = found.weight.name
    if name in claimed:
        value = graph.weights[name]
        name = f"{found.output.name}.weight"
        graph.set_input(
            found.op, found.weight_slot, [graph.add_var(name, str(value.dtype), value.shape, value)]
        )
    claimed.add(name)
    set_attrs(graph, found.op, integer_weight_attrs(name, graph.weights[name].dtype, found.weight_steps))


def integer_weight_attrs(name: str, dtype: np.dtype, steps: np.ndarray) -> dict[str, Any]:
    """The attributes by which the runtime knows a weight for integers: steps per output channel."""
    return {
        "quantization_type": "post_weight_channel_wise_abs_max",
        "quantize_weight_bits": 8 * dtype.itemsize,
        f"{name}_quant_scale": steps.tolist(),
    }


def _as_floats(found: Int8Op, value: np.ndarray, steps: np.ndarray) -> np.ndarray:
    floats = value.astype(np.float32)
    if steps.size == 1:
        return floats * steps
    return floats * _along_channels(found.op, value, steps)


def _along_channels(op: Op, value: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Steps per output channel in a shape that broadcasts over the weight."""
    if op.type == "conv2d_transpose":
        groups = op.attr("groups", 1)
        per_input = np.repeat(steps.reshape(groups, 1, -1), value.shape[0] // groups, axis=1)
        return per_input.reshape(value.shape[0], -1, 1, 1)
    transposed = op.attr("trans_y", False) or op.attr("transpose_Y", False)
    return steps.reshape(-1, 1) if transposed else steps.reshape(1, -1)
