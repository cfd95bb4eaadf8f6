"""weight-only: store the weights of a float graph as integers."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.exact import integer_weight_attrs
from qcc.backends.lite.passes.int8_op import step_of
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import abs_max, quantize_weight
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import is_weight, set_attrs, set_weight

# Op type -> slot of the weight, axis of its output channels; the runtime knows no others.
_WEIGHTS = {"conv2d": ("Filter", 0), "depthwise_conv2d": ("Filter", 0), "fc": ("W", 1), "mul": ("Y", 1)}


@options(frozen=True, config=OPTIONS)
class WeightOnly(LitePass):
    """Store weights as INT8 or INT16, per channel; they become floats when the file is loaded.

    Before:

        y = conv2d(Input=x, Filter=w)

    After, `w` being INT8:

        y = conv2d(Input=x, Filter=w)  {quantize_weight_bits = 8, w_quant_scale = [...], ...}

    The file shrinks to a quarter (a half with 16 bits), and the model runs as fast as before. Weights of
    other ops than conv2d, depthwise_conv2d, fc and mul stay as they are.
    """

    name: ClassVar[str] = "weight-only"

    bits: Literal[8, 16] = 8

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type in _WEIGHTS and op.attr("quantize_weight_bits") is None:
                slot, axis = _WEIGHTS[op.type]
                weight = op.input(slot)
                if _can_be_integers(graph, op, weight):
                    self._store(graph, op, slot, axis)
                    modified = True
        return PassResult(modified)

    def _store(self, graph: Graph, op: Op, slot: str, axis: int) -> None:
        value = graph.weights[op.input(slot).name]
        scale = abs_max(value, axis)
        integers = quantize_weight(value, scale, self.bits, axis).astype(f"int{self.bits}")
        # The runtime replaces integers by floats op by op, so that no two ops may read the same ones.
        weight = set_weight(graph, op, slot, integers, f"{next(op.all_outputs()).name}.weight")
        set_attrs(graph, op, integer_weight_attrs(weight.name, integers.dtype, step_of(scale, self.bits)))


def _can_be_integers(graph: Graph, op: Op, weight: Var) -> bool:
    floats = is_weight(graph, weight) and graph.weights[weight.name].dtype == np.float32
    plain = op.type != "mul" or op.attr("y_num_col_dims", 1) == 1
    return floats and plain and not op.attr("enable_int8")
