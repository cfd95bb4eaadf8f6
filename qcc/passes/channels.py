"""Channels between layers: how a layer's weight runs along them, and what stands between two layers that a
positive factor per channel passes through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS, Operands
from qcc.passes.quantizable import operands as quantizable
from qcc.passes.rewrite import is_fetched, is_weight, set_weight

_MATRIX_OPS = ("mul", "matmul", "matmul_v2")
_POOLS = ("avg", "max")
# f(a * x) = a * f(x) for a > 0, value by value or place by place.
_PASSED = frozenset(
    {
        "relu",
        "leaky_relu",
        "pool2d",
        "nearest_interp",
        "nearest_interp_v2",
        "bilinear_interp",
        "bilinear_interp_v2",
        "assign",
    }
)
_RESHAPES = frozenset({"reshape2", "flatten_contiguous_range", "flatten2", "squeeze2"})


@dataclass(frozen=True)
class Layer:
    """A convolution or a product whose weight is its own: no other op reads it."""

    operands: Operands

    @property
    def op(self) -> Op:
        return self.operands.op

    @property
    def is_matrix(self) -> bool:
        """Whether it is a product of matrices; otherwise it is a convolution."""
        return self.op.type in _MATRIX_OPS

    @property
    def groups(self) -> int:
        return 1 if self.is_matrix else int(self.op.attr("groups", 1))

    def grouped(self, weight: np.ndarray) -> np.ndarray:
        """A view of the weight as [groups, outputs, inputs, places]: of each group, and its kernel."""
        if self.is_matrix:
            return (weight if self.operands.channel_axis == 0 else weight.T)[np.newaxis, :, :, np.newaxis]
        places = int(np.prod(weight.shape[2:]))
        if self.op.type == "conv2d_transpose":
            # [in, out / groups, h, w]
            parted = weight.reshape(self.groups, -1, weight.shape[1], places)
            return parted.swapaxes(1, 2)
        return weight.reshape(self.groups, -1, weight.shape[1], places)

    def scaled(self, weight: np.ndarray, outputs: np.ndarray | None, inputs: np.ndarray | None) -> np.ndarray:
        """The weight, times a factor for each output channel and one for each input channel."""
        result = weight.copy()
        grouped = self.grouped(result)
        if outputs is not None:
            grouped *= outputs.astype(np.float32).reshape(self.groups, -1, 1, 1)
        if inputs is not None:
            grouped *= inputs.astype(np.float32).reshape(self.groups, 1, -1, 1)
        return result

    def output_ranges(self, weight: np.ndarray) -> np.ndarray:
        """The largest magnitude of the weights of each output channel: [channels]."""
        return np.abs(self.grouped(weight)).max((2, 3)).reshape(-1)

    def input_ranges(self, weight: np.ndarray) -> np.ndarray:
        """The largest magnitude of the weights that each input channel meets: [channels]."""
        return np.abs(self.grouped(weight)).max((1, 3)).reshape(-1)

    @property
    def is_depthwise(self) -> bool:
        """Each output channel reads one input channel."""
        shape = self.operands.weight.shape
        return not self.is_matrix and self.op.type != "conv2d_transpose" and shape[1] == 1 and self.groups > 1

    @property
    def pads(self) -> bool:
        """Whether the op reads zeros around its input, or, as a transposed convolution does, between."""
        if self.is_matrix:
            return False
        algorithm = self.op.attr("padding_algorithm", "EXPLICIT")
        padded = algorithm == "SAME" or (algorithm != "VALID" and any(self.op.attr("paddings", [0, 0])))
        return padded or self.op.type == "conv2d_transpose"


def layer(graph: Graph, op: Op) -> Layer | None:
    """An op as a layer; None for ops without a weight of their own, and for layouts other than NCHW."""
    found = quantizable(op)
    if found is None or found.swapped or not is_weight(graph, found.weight):
        return None
    if len(found.weight.consumers) != 1 or found.weight.name in graph.fetches:
        return None
    if op.type in _MATRIX_OPS:
        turned = op.attr("trans_x", False) or op.attr("transpose_X", False)
        usual = len(found.weight.shape) == 2 and op.attr("y_num_col_dims", 1) == 1
        return Layer(found) if usual and not turned else None
    return Layer(found) if op.attr("data_format", "NCHW") in ("NCHW", "AnyLayout") else None


def layers(graph: Graph) -> Iterator[Layer]:
    """All of them, in order."""
    for op in graph.ops:
        found = layer(graph, op) if op.type in KINDS else None
        if found is not None:
            yield found


@dataclass(frozen=True)
class Bias:
    """An `elementwise_add` that adds a weight per channel behind a layer."""

    add: Op
    value: np.ndarray

    def put(self, graph: Graph, value: np.ndarray) -> None:
        """Let it add another value: [channels]."""
        shape = self.add.input("Y").shape
        new = value.astype(np.float32).reshape(shape)
        set_weight(graph, self.add, "Y", new, f"{self.add.output('Out').name}.bias")


def bias_in(graph: Graph, add: Op, found: Layer, channels: int) -> Bias | None:
    """The bias that an op adds to the output of a layer; None for an op that does something else."""
    if add.type != "elementwise_add" or not is_weight(graph, add.input("Y")):
        return None
    operand = add.input("Y")
    value, rank = graph.weights[operand.name], len(add.input("X").shape)
    axis = add.attr("axis", -1)
    start = axis if axis >= 0 else rank - value.ndim
    channel = start + int(np.argmax(value.shape)) if value.ndim else -1
    wanted = rank - 1 if found.is_matrix else 1
    if value.dtype != np.float32 or value.size != channels or channels == 1 or channel != wanted:
        return None
    return Bias(add, value.reshape(-1))


def bias_of(graph: Graph, found: Layer) -> Bias | None:
    """The bias of a layer, where an op that alone reads its output adds one."""
    out = found.operands.output
    if len(out.consumers) != 1 or is_fetched(graph, out):
        return None
    add = next(iter(out.consumers))
    if add.type != "elementwise_add" or add.input("X") is not out:
        return None
    return bias_in(graph, add, found, _channels(graph, found))


def _channels(graph: Graph, found: Layer) -> int:
    return found.output_ranges(graph.weights[found.operands.weight.name]).size


@dataclass(frozen=True)
class Link:
    """`first`, what stands between (`steps`), and the layers that alone read what comes out (`var`)."""

    first: Layer
    steps: tuple[Op, ...]
    last: tuple[Layer, ...]

    @property
    def var(self) -> Var:
        """What the last ones read."""
        return self.last[0].operands.data

    def bias(self, graph: Graph) -> Bias | None:
        """The bias of the first layer."""
        return bias_of(graph, self.first)


def links(graph: Graph) -> Iterator[Link]:
    """All pairs of layers between which a positive factor per channel passes, in order."""
    for first in layers(graph):
        found = _link(graph, first)
        if found is not None:
            yield found


def _link(graph: Graph, first: Layer) -> Link | None:
    channels, var = _channels(graph, first), first.operands.output
    steps: list[Op] = []
    while var.consumers and not is_fetched(graph, var) and len(graph.versions(var.name)) == 1:
        readers = list(var.consumers)
        last = [found for op in readers if (found := layer(graph, op)) is not None]
        if len(last) == len(readers):
            fits = all(_reads_channels(graph, found, var, channels) for found in last)
            return Link(first, tuple(steps), tuple(last)) if fits else None
        op = readers[0]
        if len(readers) > 1 or not _passes(graph, op, var, first, channels):
            return None
        steps.append(op)
        var = _result(op)
    return None


def _result(op: Op) -> Var:
    return op.output("Out")


def _reads_channels(graph: Graph, found: Layer, var: Var, channels: int) -> bool:
    """Whether the layer's input channels are these, each of them one place along its weight."""
    if found.operands.data is not var:
        return False
    weight = graph.weights[found.operands.weight.name]
    if found.input_ranges(weight).size != channels:
        return False
    if not found.is_matrix:
        return len(var.shape) == 4
    # `mul` takes [n, channels, 1, 1] as [n, channels].
    return len(var.shape) == 2 or var.shape[-1] == channels or tuple(var.shape[1:]) == (channels, 1, 1)


def _passes(graph: Graph, op: Op, var: Var, first: Layer, channels: int) -> bool:
    if op.type == "elementwise_add":
        return op.input("X") is var and bias_in(graph, op, first, channels) is not None
    if [read for read in op.all_inputs() if read is not var]:
        return False
    if op.type == "pool2d":
        return op.attr("pooling_type", "max") in _POOLS and op.attr("data_format", "NCHW") == "NCHW"
    if op.type in _RESHAPES:
        return tuple(var.shape[1:]) == (channels, 1, 1) and tuple(_result(op).shape[1:]) == (channels,)
    return op.type in _PASSED
