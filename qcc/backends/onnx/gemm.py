"""Products of matrices with a bias as Gemm, in the form that ONNX Runtime computes with integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

from qcc.backends.onnx.nested import read_by
from qcc.backends.onnx.tidy import outputs_of, replace_nodes

_MOST = 2.0**30


def products_to_gemm(graph: GraphProto, ranks: Mapping[str, int]) -> None:
    """Rewrite a graph in place; `ranks`: how many dimensions Paddle's variables have.

    Before, `x` having two dimensions:

        p = MatMul(DequantizeLinear(x), DequantizeLinear(w)); y = Add(p, bias)

    After, with the bias in integers of 32 bits, whose step is the product of both steps:

        y = Gemm(DequantizeLinear(x), DequantizeLinear(w), DequantizeLinear(bias))

    ONNX Runtime makes a Gemm of both where it knows that `x` has two dimensions, and computes it in float
    where the bias is. A bias that 32 bits do not hold stays.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in read_by(node))
    fixed = outputs_of(graph)
    nodes: list[NodeProto] = []
    gone: list[NodeProto] = []
    for node in graph.node:
        product = makers.get(node.input[0]) if node.op_type == "Add" else None
        bias = constants.get(node.input[1]) if product is not None and product.op_type == "MatMul" else None
        if product is None or bias is None or readers[product.output[0]] > 1 or product.output[0] in fixed:
            nodes.append(node)
            continue
        steps = _steps(product, makers, constants, ranks)
        if steps is None or bias.shape != (bias.size,) or bias.size % steps.size or not _fits(bias, steps):
            nodes.append(node)
            continue
        nodes += _gemm(graph, product, node, bias, np.broadcast_to(steps, bias.shape))
        gone.append(product)
    replace_nodes(graph, [node for node in nodes if not any(node is product for product in gone)])


def _steps(
    product: NodeProto,
    makers: Mapping[str, NodeProto],
    constants: Mapping[str, np.ndarray],
    ranks: Mapping[str, int],
) -> np.ndarray | None:
    """The product of both operands' steps, float32 [1] or [channels]; None where not both are rounded."""
    data, weight = (makers.get(name) for name in product.input)
    if data is None or weight is None or {data.op_type, weight.op_type} != {"DequantizeLinear"}:
        return None
    if ranks.get(product.input[0]) != 2 or data.input[0] in constants or weight.input[0] not in constants:
        return None
    axis = [attr.i for attr in weight.attribute if attr.name == "axis"]
    steps = constants[weight.input[1]]
    if constants[weight.input[0]].ndim != 2 or (steps.size > 1 and axis != [1]):
        return None
    return (constants[data.input[1]] * steps).astype(np.float32).reshape(-1)


def _fits(bias: np.ndarray, steps: np.ndarray) -> bool:
    return bool(np.all(np.abs(bias) < steps.astype(np.float64) * _MOST))


def _gemm(
    graph: GraphProto, product: NodeProto, add: NodeProto, bias: np.ndarray, steps: np.ndarray
) -> list[NodeProto]:
    name = f"{add.output[0]}.bias"
    values = {
        "": np.rint(bias.astype(np.float64) / steps).astype(np.int32),
        "@step": np.ascontiguousarray(steps, np.float32),
        "@zero": np.zeros(steps.shape, np.int32),
    }
    for suffix, value in values.items():
        graph.initializer.append(numpy_helper.from_array(value, f"{name}.int32{suffix}"))
    inputs = [f"{name}.int32{suffix}" for suffix in values]
    rounded = helper.make_node("DequantizeLinear", inputs, [f"{name}.dequantized"], axis=0)
    gemm = helper.make_node("Gemm", [*product.input, f"{name}.dequantized"], list(add.output))
    return [rounded, gemm]
