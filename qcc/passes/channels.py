"""Channels between layers: how a layer's weight runs along them, and what stands between two layers, or a
gain and a layer, that a positive factor per channel passes through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qcc._paddle import VarType
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS, MATRIX_OPS, Operands
from qcc.passes.quantizable import operands as quantizable
from qcc.passes.rewrite import is_fetched, is_weight, set_weight

_ARITHMETIC = ("elementwise_add", "elementwise_mul")
_NORMS = ("layer_norm", "batch_norm")
_POOLS = ("avg", "max")
# f(a * x) = a * f(x) for a > 0, value by value.
_PASSED = frozenset({"assign", "leaky_relu", "relu"})
_RESIZED = frozenset({"bilinear_interp", "bilinear_interp_v2", "nearest_interp", "nearest_interp_v2"})
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
        return self.op.type in MATRIX_OPS

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
    if op.type in MATRIX_OPS:
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
class Constant:
    """An `elementwise_add` or `elementwise_mul` with a weight in `slot`: a number for each channel, or one
    for all. `value`: [channels]."""

    op: Op
    slot: str
    value: np.ndarray
    last_axis: bool

    def put(self, graph: Graph, value: np.ndarray) -> None:
        """Let it take another value: [channels]."""
        present = self.op.input(self.slot)
        name = f"{self.op.output('Out').name}.{'bias' if self.op.type == 'elementwise_add' else 'factor'}"
        if int(graph.weights[present.name].size) == value.size:
            set_weight(graph, self.op, self.slot, value.astype(np.float32).reshape(present.shape), name)
            return
        if self.slot == "X":
            # The smaller operand stands in Y, so that an axis can be given.
            data = self.op.input("Y")
            graph.set_input(self.op, "Y", [present])
            graph.set_input(self.op, "X", [data])
        graph.set_attr(self.op, "axis", -1 if self.last_axis else 1)
        set_weight(graph, self.op, "Y", value.astype(np.float32), name)


def constant_in(graph: Graph, op: Op, data: Var, channels: int, *, last_axis: bool) -> Constant | None:
    """The weight that an op adds to the channels of `data`, or multiplies them by; None for an op that does
    something else. The channels stand in dimension 1, or in the last one."""
    if op.type not in _ARITHMETIC or channels <= 1 or data.persistable:
        return None
    slot = "Y" if op.input("X") is data else "X"
    operand = op.input(slot)
    if operand is data or not is_weight(graph, operand):
        return None
    value, rank = graph.weights[operand.name], len(data.shape)
    if value.dtype != np.float32 or value.ndim > rank:
        return None
    if value.size == 1:
        return Constant(op, slot, np.full(channels, value.reshape(())), last_axis)
    axis = op.attr("axis", -1)
    start = axis if axis >= 0 else rank - value.ndim
    channel = start + int(np.argmax(value.shape))
    if slot == "X" or value.size != channels or channel != (rank - 1 if last_axis else 1):
        return None
    return Constant(op, slot, value.reshape(-1), last_axis)


def output_channels(graph: Graph, found: Layer) -> int:
    """How many channels a layer writes."""
    return found.output_ranges(graph.weights[found.operands.weight.name]).size


def operand_in(graph: Graph, op: Op, channels: int, *, last_axis: bool) -> Constant | None:
    """What `constant_in` finds, whichever operand is the weight."""
    for data in (op.input("X"), op.input("Y")):
        found = constant_in(graph, op, data, channels, last_axis=last_axis)
        if found is not None:
            return found
    return None


def bias_of(graph: Graph, found: Layer) -> Constant | None:
    """The bias of a layer, a number for each channel, where an op that alone reads its output adds one."""
    out = found.operands.output
    if len(out.consumers) != 1 or is_fetched(graph, out):
        return None
    add = next(iter(out.consumers))
    if add.type != "elementwise_add" or add.input("X") is not out:
        return None
    bias = constant_in(graph, add, out, output_channels(graph, found), last_axis=found.is_matrix)
    return bias if bias is not None and bias.value.size == int(np.prod(add.input("Y").shape)) else None


@dataclass(frozen=True)
class Gain:
    """An op that is no layer, and multiplies each channel by a weight: a product with one, or a norm.

    `channels` of `output` stand in dimension 1, or in the last one.
    """

    op: Op
    output: Var
    channels: int
    last_axis: bool

    def ranges(self, graph: Graph) -> np.ndarray:
        """The magnitude that each channel is multiplied by: [channels]."""
        product = self._product(graph)
        return np.abs(graph.weights[self.op.input("Scale").name] if product is None else product.value)

    def multiply(self, graph: Graph, factors: np.ndarray) -> None:
        """Let the outputs be multiplied by further factors: [channels]."""
        product = self._product(graph)
        if product is not None:
            product.put(graph, product.value * factors)
            return
        for slot in _norm_slots(self.op):
            value = graph.weights[self.op.input(slot).name] * factors.astype(np.float32)
            set_weight(graph, self.op, slot, value, f"{self.output.name}.{slot.lower()}")

    def _product(self, graph: Graph) -> Constant | None:
        if self.op.type in _NORMS:
            return None
        return operand_in(graph, self.op, self.channels, last_axis=self.last_axis)


def gain(graph: Graph, op: Op) -> Gain | None:
    """An op as a gain; None for others."""
    if op.type == "elementwise_mul":
        return _product(graph, op)
    return _norm(graph, op) if op.type in _NORMS else None


def _product(graph: Graph, op: Op) -> Gain | None:
    out = op.output("Out")
    # Of tokens, channels stand in the last dimension; of maps, in dimension 1.
    last_axis = len(out.shape) != 4
    channels = out.shape[-1 if last_axis else 1] if len(out.shape) > 1 else -1
    if operand_in(graph, op, channels, last_axis=last_axis) is None:
        return None
    return Gain(op, out, channels, last_axis)


def _norm(graph: Graph, op: Op) -> Gain | None:
    out, slots = op.output("Y"), _norm_slots(op)
    if slots[:1] != ("Scale",) or not all(is_weight(graph, op.input(slot)) for slot in slots):
        return None
    shape, rank = op.input("Scale").shape, len(out.shape)
    if op.type == "layer_norm":
        fits = op.attr("begin_norm_axis", 1) == rank - 1 and tuple(out.shape[-1:]) == tuple(shape)
    else:
        fits = rank == 4 and op.attr("data_layout", "NCHW") == "NCHW"
    return Gain(op, out, int(np.prod(shape)), op.type == "layer_norm") if fits else None


def _norm_slots(op: Op) -> tuple[str, ...]:
    """Those of the weights that scale with a norm's output."""
    return tuple(slot for slot in ("Scale", "Bias") if op.inputs.get(slot))


@dataclass(frozen=True)
class Link:
    """`first`, what stands between (`steps`), and the layers that alone read what comes out (`var`)."""

    first: Layer | Gain
    steps: tuple[Op, ...]
    last: tuple[Layer, ...]

    @property
    def var(self) -> Var:
        """What the last ones read."""
        return self.last[0].operands.data

    @property
    def last_axis(self) -> bool:
        """Whether channels stand in the last dimension of what `first` writes, and not in dimension 1."""
        return self.first.is_matrix if isinstance(self.first, Layer) else self.first.last_axis

    def bias(self, graph: Graph) -> Constant | None:
        """The bias of the first layer."""
        return bias_of(graph, self.first) if isinstance(self.first, Layer) else None

    def ranges(self, graph: Graph) -> np.ndarray:
        """The largest magnitude that each channel of the first one is multiplied by: [channels]."""
        if isinstance(self.first, Gain):
            return self.first.ranges(graph)
        return self.first.output_ranges(graph.weights[self.first.operands.weight.name])


def links(graph: Graph, *, from_gains: bool = False) -> Iterator[Link]:
    """All pairs of layers between which a positive factor per channel passes, in order; `from_gains`: those
    between gains and layers, too, which factors of no layer come to."""
    reached: set[Var] = set()
    for op in graph.ops:
        first: Layer | Gain | None = layer(graph, op) if op.type in KINDS else None
        if first is None and from_gains:
            first = gain(graph, op)
        found = None if first is None else _link(graph, first)
        if found is not None and found.var not in reached:
            reached.add(found.var)
            yield found


@dataclass(frozen=True)
class Unlinked:
    """A variable that an op computes, layers alone read, and no link comes to. Its `channels` stand in
    dimension 1, or in the last one."""

    var: Var
    op: Op
    channels: int
    last_axis: bool


def unlinked(graph: Graph) -> Iterator[Unlinked]:
    """All of them, in order."""
    passed = {link.var for link in links(graph, from_gains=True)}
    for one in layers(graph):
        var, op = one.operands.data, one.operands.data.producer
        if var in passed or op is None or not _is_plain(graph, var):
            continue
        passed.add(var)
        last_axis = one.is_matrix
        channels = int(var.shape[-1 if last_axis else 1])
        last = [layer(graph, reader) for reader in var.consumers]
        # Of matrices [n, channels, 1, 1] no product would stand where `gain` looks for it.
        fits = channels > 1 and len(var.shape) > 1 and last_axis == (len(var.shape) != 4)
        if fits and all(two and _reads_channels(graph, two, var, channels, last_axis) for two in last):
            yield Unlinked(var, op, channels, last_axis)


def _is_plain(graph: Graph, var: Var) -> bool:
    single = len(graph.versions(var.name)) == 1 and not is_fetched(graph, var)
    return single and var.dtype == VarType.FP32 and not var.persistable


def _link(graph: Graph, first: Layer | Gain) -> Link | None:
    if isinstance(first, Layer):
        channels, var, last_axis = output_channels(graph, first), first.operands.output, first.is_matrix
    else:
        channels, var, last_axis = first.channels, first.output, first.last_axis
    steps: list[Op] = []
    while var.consumers and not is_fetched(graph, var) and len(graph.versions(var.name)) == 1:
        readers = list(var.consumers)
        last = [found for op in readers if (found := layer(graph, op)) is not None]
        if len(last) == len(readers):
            fits = all(_reads_channels(graph, found, var, channels, last_axis) for found in last)
            return Link(first, tuple(steps), tuple(last)) if fits else None
        op = readers[0]
        if len(readers) > 1 or not _passes(graph, op, var, channels, last_axis):
            return None
        steps.append(op)
        var = _result(op)
    return None


def _result(op: Op) -> Var:
    return op.output("Out")


def _reads_channels(graph: Graph, found: Layer, var: Var, channels: int, last_axis: bool) -> bool:
    """Whether the layer's input channels are these, each of them one place along its weight, and not another
    dimension that is as long."""
    if found.operands.data is not var:
        return False
    weight = graph.weights[found.operands.weight.name]
    if found.input_ranges(weight).size != channels:
        return False
    if not found.is_matrix:
        return len(var.shape) == 4 and not last_axis
    if last_axis or len(var.shape) == 2:
        return var.shape[-1] == channels
    # `mul` takes [n, channels, 1, 1] as [n, channels].
    return tuple(var.shape[1:]) == (channels, 1, 1)


def _passes(graph: Graph, op: Op, var: Var, channels: int, last_axis: bool) -> bool:
    if op.type in _ARITHMETIC:
        return constant_in(graph, op, var, channels, last_axis=last_axis) is not None
    if op.type == "prelu":
        return op.input("X") is var  # whatever its slopes are
    if [read for read in op.all_inputs() if read is not var]:
        return False
    # These go over the places of a map, which are not its channels.
    if op.type == "pool2d":
        known = op.attr("pooling_type", "max") in _POOLS and op.attr("data_format", "NCHW") == "NCHW"
        return known and not last_axis
    if op.type in _RESIZED:
        return op.attr("data_layout", "NCHW") == "NCHW" and not last_axis
    if op.type in _RESHAPES:
        return tuple(var.shape[1:]) == (channels, 1, 1) and tuple(_result(op).shape[1:]) == (channels,)
    return op.type in _PASSED
