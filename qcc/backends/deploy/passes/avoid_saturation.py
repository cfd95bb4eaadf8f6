"""avoid-saturation: activation scales with which no pair of products exceeds 16 bits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.onednn_rounding import is_unsigned
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult

_INT16, _UINT8 = 32767, 255
_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")


@options(frozen=True, config=OPTIONS)
class AvoidSaturation(EnginePass):
    """Widen the scales of activations whose products an x86 processor without VNNI would clip.

    Before, in QDQ form, with x@scale = 6.0:

        x.quantized = quantize_linear(X=x, Scale=x@scale)
        x.dequantized = dequantize_linear(X=x.quantized, Scale=x@scale)
        out = conv2d(Input=x.dequantized, Filter=w.dequantized)

    After, with x@scale = 6.0 * 255 / 129 where two neighbouring weights are 127 each.

    Without VNNI, oneDNN multiplies unsigned activations a, up to 255, by signed weights w with `vpmaddubsw`:
    a[2k] w[2k] + a[2k+1] w[2k+1], of two neighbouring input channels, is clipped to 16 bits. (The weights are
    not those of the file: Paddle's `compute_propagate_scales_mkldnn_pass` lets the largest of each output
    channel be 127 again.) Be U the largest sum, of one sign, of such a pair of weights in an op. Nothing is
    clipped while a <= floor(32767 / U); so the scale grows by 255 / floor(32767 / U), at most 1.98. Its step
    stays finer than the one that was trained, since that is a 127th of the scale, and this a 255th.

    Signed activations, and depthwise convolutions, whose products are not added in pairs, are exact as they
    are. An activation beyond the scale is clipped no more at what was trained, but at the wider scale.
    """

    name: ClassVar[str] = "avoid-saturation"

    def apply(self, graph: Graph) -> PassResult:
        largest: dict[Var, int] = {}
        readers: dict[Var, Op] = {}
        for op in graph.ops:
            quantize = _quantize_of(op)
            if quantize is None or not is_unsigned(quantize.input("X")):
                continue
            scale = quantize.input("Scale")
            pair = largest_pair(engine_integers(_integers(graph, op)), int(op.attr("groups", 1)))
            if pair > largest.get(scale, 0):
                largest[scale], readers[scale] = pair, op
        factors = {
            scale: _UINT8 / (_INT16 // pair) for scale, pair in largest.items() if pair * _UINT8 > _INT16
        }
        for scale, factor in factors.items():
            graph.weights[scale.name] = graph.weights[scale.name] * np.float32(factor)
        if not factors:
            return PassResult(False)
        told = ", ".join(f"{_output(readers[scale])} ({factor:.2f})" for scale, factor in factors.items())
        note = f"so that no sum is clipped without VNNI, scales in front of these ops grew (times): {told}."
        return PassResult(True, (note,))


def _output(op: Op) -> str:
    return op.output("Output").name


def _quantize_of(op: Op) -> Op | None:
    """The quantize_linear op in front of a convolution in QDQ form."""
    if op.type not in _CONVOLUTIONS:
        return None
    dequantize = op.input("Input").producer
    weight = op.input("Filter").producer
    for found in (dequantize, weight):
        if found is None or found.type != "dequantize_linear":
            return None
    assert dequantize is not None
    quantize = dequantize.input("X").producer
    return quantize if quantize is not None and quantize.type == "quantize_linear" else None


def _integers(graph: Graph, op: Op) -> np.ndarray:
    dequantize = op.input("Filter").producer
    assert dequantize is not None
    return graph.weights[dequantize.input("X").name]


def engine_integers(weight: np.ndarray) -> np.ndarray:
    """The integers, int32, that the engine makes of those in the file: 127 for the largest of each channel.

    `weight`: integers [out, in / groups, h, w].
    """
    wide = weight.astype(np.float64)
    largest = np.abs(wide).max(axis=(1, 2, 3), initial=1, keepdims=True)
    return np.rint(wide * (127 / largest)).astype(np.int32)


def largest_pair(weight: np.ndarray, groups: int) -> int:
    """The largest sum, of one sign, of the weights of two neighbouring input channels.

    `weight`: int32 [out, in / groups, h, w]. 0 for a depthwise convolution, which adds no pairs.
    """
    if groups > 1 and weight.shape[1] == 1:
        return 0
    padded = np.pad(weight, ((0, 0), (0, weight.shape[1] % 2), (0, 0), (0, 0)))
    sums = [np.maximum(signed, 0) for signed in (padded, -padded)]
    return max(int((part[:, 0::2] + part[:, 1::2]).max(initial=0)) for part in sums)
