"""An inference graph made ready for a backward pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qcc._paddle import OpProtoHolder, VarType, core, paddle
from qcc.backends.heads import heads, parts, scores_classes
from qcc.errors import ModelFormatError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.numerics import abs_max
from qcc.passes.quantizable import Operands, operands
from qcc.passes.rewrite import is_weight
from qcc.train.programs.scope import Arrays

_FLOATS = (VarType.FP32, VarType.FP64, VarType.FP16, VarType.BF16)
# They tell sizes, which no weight moves.
_SIZES = frozenset({"shape", "size"})


def as_training_graph(graph: Graph) -> Graph:
    """A copy of an inference graph whose ops have what their gradient ops read, and compute the same.

    Batch norms use their moving statistics, and a dropout becomes the factor that it is in inference:

        y, mask = dropout(X=x) {dropout_prob=0.1, is_test=1}  ->  y = scale(X=x) {scale=0.9}

    Raises ModelFormatError for ops that hold ops of their own, such as a loop.
    """
    copy = graph.copy()
    for op in copy.ops:
        if op.has_block:
            raise ModelFormatError(f"{op} holds ops of its own, through which a weight cannot be trained.")
        if op.type == "dropout":
            _become_factor(copy, op)
        else:
            _leave_test_mode(copy, op)
    return copy


def _become_factor(graph: Graph, dropout: Op) -> None:
    kept = 1.0
    if dropout.attr("dropout_implementation", "downgrade_in_infer") == "downgrade_in_infer":
        kept -= float(dropout.attr("dropout_prob", 0.5))
    source, result = dropout.input("X"), dropout.output("Out")
    attrs = {"scale": kept, "bias": 0.0, "bias_after_scale": True, "op_role": 0}
    factor = graph.add_op("scale", {"X": source}, {}, attrs, before=dropout)
    graph.remove_op(dropout)
    graph.set_output(factor, "Out", [result])


def _leave_test_mode(graph: Graph, op: Op) -> None:
    if op.type == "batch_norm":
        graph.set_flag(op, "use_global_stats", True)
    if op.attr("is_test", False):
        graph.set_flag(op, "is_test", False)
        if op.attr("dropout_prob", 0.0):  # of recurrent layers, between one and the next
            graph.set_attr(op, "dropout_prob", 0.0)
    for slot in OpProtoHolder.instance().get_op_proto(op.type).outputs:
        # Of some ops Paddle 3 calls them extra, as it does what may be left out anyway.
        for_gradient = slot.intermediate or (slot.extra and not slot.dispensable)
        if for_gradient and not op.outputs.get(slot.name):
            like = next(op.all_outputs())
            made = graph.add_var(f"{like.name}.{slot.name}", "float32", (-1,))
            graph.set_output(op, slot.name, [made])


# ---------------------------------------------------------------------- what is trained


def weights_and_units(graph: Graph, scales: Mapping[str, float]) -> Arrays:
    """What is trained, by name, each with the unit of its steps: an array that broadcasts to it.

    These are the weights of the ops that can be quantized, and the biases behind them. The unit of a weight
    is its largest magnitude, in each output channel; that of a bias, what such a weight makes of the largest
    input, which `scales` has by the activation's name.
    """
    units: Arrays = {}
    for op in graph.ops:
        found = operands(op)
        if found is None or not is_weight(graph, found.weight):
            continue
        axis = None if found.why_not_per_channel() else found.channel_axis
        largest = abs_max(graph.weights[found.weight.name], axis)
        units.setdefault(found.weight.name, _along(largest, axis, len(found.weight.shape)))
        bias = _bias_behind(graph, found)
        if bias is not None:
            value = graph.weights[bias.name]
            reach = found.output_scales(largest) * np.float32(scales.get(found.data.name, 1.0))
            units.setdefault(bias.name, reach.reshape(value.shape))
    return units


def _along(values: np.ndarray, axis: int | None, rank: int) -> np.ndarray:
    """One value, or those along an axis, in the shape that broadcasts to an array of this rank."""
    shape = [1] * rank
    if axis is not None:
        shape[axis] = -1
    return values.reshape(shape)


def _bias_behind(graph: Graph, found: Operands) -> Var | None:
    """The weight with a value for each output channel that is added to what an op computes."""
    if found.why_not_per_channel():
        return None
    channels = found.weight.shape[found.channel_axis]
    if found.op.type == "conv2d_transpose":
        channels *= found.op.attr("groups", 1)
    for reader in found.output.consumers:
        if reader.type == "elementwise_add":
            others = [var for var in reader.all_inputs() if var is not found.output]
            if len(others) == 1 and is_weight(graph, others[0]) and math.prod(others[0].shape) == channels:
                return others[0]
    return None


# ---------------------------------------------------------------------- where gradients reach


@dataclass(frozen=True)
class Reach:
    """How far the influence of what is trained can be followed back.

    `ends`: the last variables, by name, that have a gradient with regard to it: those that the model's
    `heads` are, and those that ops `without` a gradient read. `parts`: what is joined to these, as far as it
    has a gradient. `inner`: outputs of ops with a weight, in order.
    """

    ends: tuple[str, ...]
    parts: tuple[str, ...]
    inner: tuple[str, ...]
    without: tuple[Op, ...]


def reach(graph: Graph, trained: Iterable[str]) -> Reach:
    """Follow what is trained through a training graph. Raises ModelFormatError when it reaches no end."""
    program = graph.to_program()
    moved, ends, inner, without = set(trained), dict[str, None](), list[str](), list[Op]()
    for op, described in zip(graph.ops, program.global_block().ops, strict=True):
        reads = [var.name for var in op.all_inputs() if var.name in moved]
        if not reads or op.type in _SIZES:
            continue
        made = [var.name for var in op.all_outputs() if not var.persistable and _is_float(var)]
        if made and core.get_grad_op_desc(described.desc, set(), [])[0]:
            moved.update(made)
            found = operands(op)
            if found is not None:
                inner.append(_result(graph, found))
        else:
            without.append(op)
            ends.update((name, None) for name in reads if not graph.var(name).persistable)
    ends = {name: None for name in heads(graph) if name in moved} | ends
    if not ends:
        raise ModelFormatError("no output of the model has a gradient with regard to its weights.")
    joined = {part: None for name in ends for part in parts(graph, name) if part in moved}
    return Reach(tuple(ends), tuple(joined), tuple(inner), tuple(without))


def _is_float(var: Var) -> bool:
    return var.is_tensor and var.dtype in _FLOATS


def _result(graph: Graph, found: Operands) -> str:
    """What an op with a weight computes, with the bias behind it."""
    bias = _bias_behind(graph, found)
    if bias is None:
        return found.output.name
    return next(op.output("Out").name for op in found.output.consumers if bias in op.all_inputs())


def classes_among(graph: Graph) -> tuple[str, ...]:
    """The fetches that are scores of classes."""
    return tuple(name for name in graph.fetches if scores_classes(graph, name))


def make_parameters(program: paddle.static.Program, names: Iterable[str]) -> None:
    """Let variables of a program be parameters, which get gradients and are updated."""
    block = program.global_block()
    for name in names:
        var = block.var(name)
        block.create_parameter(name=name, shape=var.shape, dtype=var.dtype, trainable=True)
    for op in block.ops:
        op._set_attr("op_device", "")  # which Paddle's optimizers ask for, and files do not hold


def spread_over(names: Sequence[str], count: int) -> Iterator[str]:
    """At most `count` of some names, evenly apart, as far from both ends as from each other."""
    count = min(count, len(names))
    for number in range(count):
        yield names[(2 * number + 1) * len(names) // (2 * count)]
