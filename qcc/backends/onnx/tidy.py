"""What paddle2onnx writes without its optimizer, tidied: constants, identities, biases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import networkx
import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, numpy_helper

from qcc.backends.onnx.nested import read_by, with_inner


def tidy(graph: GraphProto, names: Collection[str], kept: Collection[str]) -> None:
    """Rewrite a graph in place; `names`: of Paddle's variables, `kept`: of those whose node must stay.

    Constants become initializers, also reshaped ones; Identity nodes go, so that values have Paddle's names
    where they have one; what is added to each channel behind a convolution becomes its bias.
    """
    _constants_to_initializers(graph)
    _fold_reshapes(graph)
    _drop_identities(graph, names, kept)
    _fold_biases(graph, kept)
    drop_unused(graph)


def replace_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Let a graph have these nodes, in this order."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def in_order(graph: GraphProto) -> None:
    """Put each node behind those whose values it reads, as ONNX's rules want it, and else leave the order."""
    nodes = list(graph.node)
    writer = {name: number for number, node in enumerate(nodes) for name in node.output}
    needs = networkx.DiGraph()
    needs.add_nodes_from(range(len(nodes)))
    needs.add_edges_from(
        (writer[name], number)
        for number, node in enumerate(nodes)
        for name in read_by(node)
        if name in writer
    )
    replace_nodes(graph, [nodes[number] for number in networkx.lexicographical_topological_sort(needs)])


def outputs_of(graph: GraphProto) -> set[str]:
    """The names of what a graph returns."""
    return {value.name for value in graph.output}


def _constants_to_initializers(graph: GraphProto) -> None:
    nodes = []
    for node in graph.node:
        values = [attr.t for attr in node.attribute if attr.name == "value"]
        if node.op_type == "Constant" and values:
            tensor = graph.initializer.add()
            tensor.CopyFrom(values[0])
            tensor.name = node.output[0]
        else:
            nodes.append(node)
    replace_nodes(graph, nodes)


def _fold_reshapes(graph: GraphProto) -> None:
    """Reshape constants here and now."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type != "Reshape" or not all(name in constants for name in node.input):
            nodes.append(node)
            continue
        value, shape = (numpy_helper.to_array(constants[name]) for name in node.input)
        # A zero stands for the size that is there.
        sizes = [value.shape[place] if size == 0 else size for place, size in enumerate(shape.tolist())]
        tensor = numpy_helper.from_array(value.reshape(sizes), node.output[0])
        constants[tensor.name] = tensor
        graph.initializer.append(tensor)
    replace_nodes(graph, nodes)


def _drop_identities(graph: GraphProto, names: Collection[str], kept: Collection[str]) -> None:
    """Of two names for one value, keep that of Paddle's variable."""
    outputs = outputs_of(graph)
    fixed = {*outputs, *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    renamed: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.op_type != "Identity" or node.output[0] in kept:
            nodes.append(node)
            continue
        source, result = _final(renamed, node.input[0]), node.output[0]
        if result in names and source not in names and source not in fixed:
            renamed[source] = result
        elif result not in outputs:
            renamed[result] = source
        else:
            nodes.append(node)
    for node in with_inner(nodes):
        for place, name in enumerate(node.input):
            node.input[place] = _final(renamed, name)
        for place, name in enumerate(node.output):
            node.output[place] = _final(renamed, name)
    replace_nodes(graph, nodes)


def _final(renamed: dict[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name


def _fold_biases(graph: GraphProto, kept: Collection[str]) -> None:
    """Conv and an Add of one value for each channel become a Conv with a bias."""
    outputs = outputs_of(graph)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = Counter(name for node in graph.node for name in read_by(node))
    convolutions = {
        node.output[0]: node
        for node in graph.node
        if node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 2
    }
    nodes = []
    for node in graph.node:
        conv = convolutions.get(node.input[0]) if node.op_type == "Add" else None
        bias = constants.get(node.input[1]) if conv is not None else None
        if conv is None or bias is None or readers[conv.output[0]] > 1 or conv.output[0] in outputs:
            nodes.append(node)
            continue
        value = numpy_helper.to_array(bias)
        channels = _channels(conv, constants)
        if channels is None or not _is_per_channel(value, channels):
            nodes.append(node)
            continue
        of_each = np.broadcast_to(value.reshape(-1), (channels,))
        tensor = numpy_helper.from_array(of_each.copy(), f"{bias.name}.of_channels")
        graph.initializer.append(tensor)
        conv.input.append(tensor.name)
        conv.output[0] = node.output[0]
    replace_nodes(graph, nodes)


def _channels(conv: NodeProto, constants: Mapping[str, TensorProto]) -> int | None:
    """How many channels a convolution computes; None where its weight is computed."""
    weight = constants.get(conv.input[1])
    if weight is None:
        return None
    if conv.op_type == "Conv":
        return int(weight.dims[0])
    group = next((attribute.i for attribute in conv.attribute if attribute.name == "group"), 1)
    return int(weight.dims[1] * group)


def _is_per_channel(value: np.ndarray, channels: int) -> bool:
    """Whether there is one value for each channel, or one for all."""
    return value.ndim <= 4 and (
        value.size == 1 or (value.ndim >= 3 and value.size == channels == value.shape[-3])
    )


def drop_unused(graph: GraphProto) -> None:
    """Nodes that nothing needs, and values that no node reads."""
    needed = outputs_of(graph)
    nodes = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            needed.update(read_by(node))
            nodes.append(node)
    replace_nodes(graph, reversed(nodes))
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)


def check(model: onnx.ModelProto) -> None:
    """Raise onnx.checker.ValidationError where a model breaks ONNX's rules."""
    onnx.checker.check_model(model)
