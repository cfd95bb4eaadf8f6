"""float-copies: float ops between quantized layers, which ONNX Runtime would quantize by itself, wrongly."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import CONVOLUTIONS, is_weight, only_reader, read_a_copy

# Together with these, a convolution is one op.
_BEHIND = ("batch_norm", "clip", "elementwise_add", "relu", "relu6")
# Through these ONNX Runtime takes a DQ to the op behind them.
_MOVES = (
    *("flatten_contiguous_range", "reshape2", "slice", "split", "squeeze2", "transpose2", "unsqueeze2"),
    *("gather", "pool2d"),
)


@options(frozen=True, config=OPTIONS)
class FloatCopies(EnginePass):
    """Let a float convolution or a softmax that stands between a DQ and a Q read a copy of its input.

    Before, with a weight w of floats:

        c = conv2d(Input=x.dequantized, Filter=w)
        d = relu(X=c)
        d.quantized = quantize_linear(X=d, Scale=d@scale)

    After:

        c.Input.copy = elementwise_max(X=x.dequantized, Y=x.dequantized)
        c = conv2d(Input=c.Input.copy, Filter=w)
        d = relu(X=c)
        d.quantized = quantize_linear(X=d, Scale=d@scale)

    ONNX Runtime 1.23 rounds the weights of such a convolution to 8 bits when it loads a file, with
    one scale for all channels, and computes it in int8 (`WeightBiasQuantization`, in
    onnxruntime/core/optimizer/qdq_transformer): a layer that was left float for its accuracy loses more than
    if it had been quantized. And its softmax of integers (QLinearSoftmax) does not clip: what is larger
    than the largest integer starts again at the smallest.
    """

    name: ClassVar[str] = "float-copies"

    def apply(self, graph: Graph) -> PassResult:
        found = [op for op in graph.ops if op.type in CONVOLUTIONS and _is_taken_for_quantized(graph, op)]
        softmaxes = [op for op in graph.ops if op.type == "softmax" and _is_of_integers(op)]
        for op in found:
            read_a_copy(graph, op, "Input")
        for op in softmaxes:
            read_a_copy(graph, op, "X")
        return PassResult(bool(found or softmaxes))


def _is_taken_for_quantized(graph: Graph, op: Op) -> bool:
    source = op.input("Input").producer
    if source is None or source.type != "dequantize_linear" or not is_weight(graph, op.input("Filter")):
        return False
    reader = only_reader(graph, op.output("Output"))
    while reader is not None and reader.type in _BEHIND:
        reader = only_reader(graph, next(iter(reader.all_outputs())))
    return reader is not None and reader.type == "quantize_linear"


def _is_of_integers(softmax: Op) -> bool:
    source = softmax.input("X").producer
    while source is not None and source.type in _MOVES:
        source = source.input("Input" if source.type == "slice" else "X").producer
    behind_dq = source is not None and source.type == "dequantize_linear"
    return behind_dq and any(op.type == "quantize_linear" for op in softmax.output("Out").consumers)
