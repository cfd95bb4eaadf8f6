"""A graph, float or in QDQ form, as an ONNX model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from qcc.backends.onnx.boxes import TakenOut, take_out_boxes
from qcc.backends.onnx.converter import float_onnx
from qcc.backends.onnx.gemm import products_to_gemm
from qcc.backends.onnx.rounded import Rounded, RoundedActivation, RoundedWeight, take_out
from qcc.backends.onnx.tidy import drop_unused, replace_nodes, tidy
from qcc.ir.graph import Graph
from qcc.passes.zero_points import UNSIGNED

Signed = Literal["uint8", "int8"]
"""How activations of 8 bits are stored that may be negative: with zero point 128, or 0."""

_IR_VERSION = 8


def to_onnx(graph: Graph, signed: Signed, *, gemm: bool = False) -> onnx.ModelProto:
    """Translate a graph; where it rounds, there stand QuantizeLinear and DequantizeLinear with its integers
    and scales.

    Activations of 8 bits become uint8 with zero point 128, or int8 with zero point 0, as all become by which
    a product of matrices multiplies; those of 9 bits, whose half below zero is not used (see the pass
    `unsigned-activations`), uint8 with zero point 0. Weights are INT8 with a DequantizeLinear only.

    With `gemm`, products of matrices with a bias become what `products_to_gemm` makes.

    Raises PassError for what cannot be given to ONNX, TargetError for ops that paddle2onnx does not
    translate, MissingDependencyError without it.
    """
    floats, rounded = take_out(graph)
    boxes = take_out_boxes(floats)
    model = float_onnx(floats)
    tidy(model.graph, {var.name for var in graph.vars}, rounded)
    _round(model.graph, rounded, signed)
    if gemm:
        products_to_gemm(model.graph, {var.name: len(var.shape) for var in graph.vars})
    boxes.append(model.graph)
    if any(op.by_image for op in boxes.ops):
        fix_batch(model.graph)
    _set_outputs(model.graph, graph.fetches, boxes)
    drop_unused(model.graph)
    del model.graph.value_info[:]
    model.ir_version = _IR_VERSION
    model.producer_name = "qcc"
    model.producer_version = ""
    onnx.checker.check_model(model)
    return model


def reads_sizes(graph: GraphProto) -> bool:
    """Whether a graph computes with the sizes that its values have in a run."""
    return any(node.op_type == "Shape" for node in graph.node)


def fix_batch(graph: GraphProto) -> None:
    """Say that a batch is one sample, where that is open: of a detection's boxes the best are chosen image by
    image."""
    for value in graph.input:
        for first in value.type.tensor_type.shape.dim[:1]:
            if not first.HasField("dim_value"):
                first.dim_value = 1


def one_at_a_time(onnx_graph: GraphProto, graph: Graph) -> set[str]:
    """The inputs whose batch is one sample in a file, and open in its model."""
    return {
        value.name
        for value in onnx_graph.input
        for first in value.type.tensor_type.shape.dim[:1]
        if first.dim_value == 1 and graph.versions(value.name)[0].shape[0] < 0
    }


def _set_outputs(graph: GraphProto, fetches: Sequence[str], boxes: TakenOut) -> None:
    """Let a graph return what Paddle's fetches."""
    known = {value.name: value for value in graph.output}
    known |= {name: op.output_info(name) for op in boxes.ops for name in op.outputs}
    del graph.output[:]
    graph.output.extend(known[name] for name in fetches)


def _round(graph: GraphProto, rounded: Mapping[str, Rounded], signed: Signed) -> None:
    """Put the quantization back where it was taken out."""
    weights = {name: one for name, one in rounded.items() if isinstance(one, RoundedWeight)}
    floats = [tensor for tensor in graph.initializer if tensor.name not in weights]
    present = {tensor.name for tensor in graph.initializer}
    del graph.initializer[:]
    graph.initializer.extend(floats)
    nodes: list[NodeProto] = []
    stored: dict[str, list[str]] = {}
    for name, weight in weights.items():
        if name in present:
            nodes.append(_dequantized_weight(graph, name, weight, stored))
    quantized: set[str] = set()
    for node in graph.node:
        found = rounded.get(node.output[0]) if node.op_type == "Identity" else None
        if isinstance(found, RoundedActivation):
            nodes += _round_trip(graph, node, found, signed, quantized)
        else:
            nodes.append(node)
    replace_nodes(graph, nodes)


def _dequantized_weight(
    graph: GraphProto, name: str, weight: RoundedWeight, stored: dict[str, list[str]]
) -> NodeProto:
    """`stored`: the integers of weights that are there, since several ops may read one."""
    if weight.name not in stored:
        zeros = np.zeros(weight.steps.shape, np.int8)
        values = {"": weight.integers, "@step": weight.steps, "@zero": zeros}
        stored[weight.name] = [
            _constant(graph, f"{weight.name}{suffix}", value) for suffix, value in values.items()
        ]
    node: NodeProto = helper.make_node("DequantizeLinear", stored[weight.name], [name])
    if weight.axis is not None:
        node.attribute.append(helper.make_attribute("axis", weight.axis))
    return node


def _round_trip(
    graph: GraphProto, node: NodeProto, found: RoundedActivation, signed: Signed, quantized: set[str]
) -> Iterator[NodeProto]:
    """QuantizeLinear, unless it is there for another reader, and DequantizeLinear in place of an Identity."""
    step, zero = f"{found.integers}@step", f"{found.integers}@zero"
    if found.integers not in quantized:
        quantized.add(found.integers)
        _constant(graph, step, found.step)
        _constant(graph, zero, _zero_point(found, signed))
        yield helper.make_node("QuantizeLinear", [node.input[0], step, zero], [found.integers])
    yield helper.make_node("DequantizeLinear", [found.integers, step, zero], [node.output[0]])


def _zero_point(found: RoundedActivation, signed: Signed) -> np.ndarray:
    # Scalars: ONNX Runtime refuses to fuse additions whose scales have a dimension.
    if found.bits == UNSIGNED:
        return np.array(0, np.uint8)
    # A product of bytes has a signed one on the right.
    return np.array(128, np.uint8) if signed == "uint8" and not found.is_right else np.array(0, np.int8)


def _constant(graph: GraphProto, name: str, value: np.ndarray) -> str:
    tensor: TensorProto = numpy_helper.from_array(value, name)
    graph.initializer.append(tensor)
    return name
