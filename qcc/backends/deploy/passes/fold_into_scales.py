"""fold-into-scales: norms, factors and biases behind a quantized convolution become its scales and a bias."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc._paddle import VarType
from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, PassResult, check_free
from qcc.passes.batch_norm import Affine, added_per_channel, is_affine
from qcc.passes.channel_steps import OWN_STEPS
from qcc.passes.quantizable import KINDS
from qcc.passes.rewrite import CONVOLUTIONS, is_weight, only_reader, remove_op

# Below this a product with the scale is no scale any more, and the channel is as good as zero.
_SMALLEST = 1e-30


@options(frozen=True, config=OPTIONS)
class FoldIntoScales(EnginePass):
    """Fold what is y = a * x + b per channel behind a convolution into the scales of its weight, and a bias.

    Before, in QDQ form:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale)
        c = conv2d(Input=x, Filter=w.dequantized)
        d = batch_norm(X=c, Scale=gamma, Bias=beta, Mean=mean, Variance=var)
        y = elementwise_mul(X=d, Y=factor)

    After, with w@scale * |a| for `w@scale`:

        w.dequantized = dequantize_linear(X=w, Scale=w@scale)
        c = conv2d(Input=x, Filter=w.dequantized)
        y = elementwise_add(X=c, Y=y.bias) {axis=1}

    The integers stay as they were frozen, but for the sign of channels whose a is negative. Where |a| differs
    between channels, a scale for all of them becomes one for each. Norms, additions and products of weights,
    and `scale` ops are folded, as long as each is the only reader of the one before it. A channel whose a is
    zero, or that would need a scale below 1e-30, gets integers of zero.

    With keep_steps, products that `channel-steps` has put in stay: an engine rounds what stands in front of
    them. Weights that several ops read stay, and so do transposed convolutions of several groups, and
    integers of -128, of which there is no negative.
    """

    name: ClassVar[str] = "fold-into-scales"

    keep_steps: bool = False

    def apply(self, graph: Graph) -> PassResult:
        kept = {op for op in graph.ops if self.keep_steps and op.attr(OWN_STEPS, False)}
        found = [step for op in graph.ops if (step := _plan(graph, op, kept)) is not None]
        for step in found:
            check_free(graph, step.conv, [_bias_name(step)])
        for step in found:
            _fold(graph, step)
        return PassResult(bool(found))


@dataclass(frozen=True)
class _Step:
    """A convolution, the dequantize op of its weight, the ops behind it, and what these compute: a * x +
    b."""

    conv: Op
    weight: Op
    chain: tuple[Op, ...]
    a: np.ndarray
    b: np.ndarray

    @property
    def out(self) -> Var:
        last = self.chain[-1]
        return last.output("Y" if last.type == "batch_norm" else "Out")


def _plan(graph: Graph, conv: Op, kept: Set[Op]) -> _Step | None:
    weight = _own_weight(graph, conv)
    if weight is None:
        return None
    axis = KINDS[conv.type].axis
    channels = weight.input("X").shape[axis]
    a, b = np.ones(channels), np.zeros(channels)
    chain: list[Op] = []
    var = conv.output("Output")
    while (op := only_reader(graph, var)) is not None and op not in kept:
        step = _affine(graph, op, var, channels)
        if step is None:
            break
        a, b = a * step[0], b * step[0] + step[1]
        chain.append(op)
        var = op.output("Y" if op.type == "batch_norm" else "Out")
    if not chain or (len(chain) == 1 and chain[0].type == "elementwise_add"):
        return None
    flipped = np.take(graph.weights[weight.input("X").name], np.flatnonzero(a < 0), axis)
    return None if np.any(flipped == -128) else _Step(conv, weight, tuple(chain), a, b)


def _own_weight(graph: Graph, conv: Op) -> Op | None:
    """The dequantize op of a convolution's weight, where nobody else reads either."""
    if conv.type not in CONVOLUTIONS or conv.type not in KINDS or conv.inputs.get("Bias"):
        return None
    if conv.attr("data_format", "NCHW") not in ("NCHW", "AnyLayout"):
        return None
    if conv.type == "conv2d_transpose" and conv.attr("groups", 1) != 1:
        return None
    dequantized = conv.input("Filter")
    op = dequantized.producer
    if op is None or op.type != "dequantize_linear" or only_reader(graph, dequantized) is not conv:
        return None
    alone = all(len(op.input(slot).consumers) == 1 for slot in ("X", "Scale", "ZeroPoint"))
    return op if alone and op.input("X").persistable and op.input("X").dtype == VarType.INT8 else None


def _affine(graph: Graph, op: Op, var: Var, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """a and b, float64 [channels], of an op that computes a * var + b; None for every other one."""
    one, zero = np.ones(channels), np.zeros(channels)
    if op.type == "batch_norm" and op.input("X") is var and is_affine(op):
        affine = Affine.of(graph, op)
        return affine.a.astype(np.float64), affine.bias(None).astype(np.float64)
    if op.type == "scale" and not op.inputs.get("ScaleTensor"):
        factor, bias = float(op.attr("scale", 1.0)), float(op.attr("bias", 0.0))
        if not op.attr("bias_after_scale", True):
            bias *= factor
        return one * factor, zero + bias
    if op.type not in ("elementwise_add", "elementwise_mul"):
        return None
    value = _operand(graph, op, var, channels)
    if value is None:
        return None
    return (one, value) if op.type == "elementwise_add" else (value, zero)


def _operand(graph: Graph, op: Op, var: Var, channels: int) -> np.ndarray | None:
    """The weight that an elementwise op adds to a variable of four dimensions, or multiplies it by."""
    if op.input("X") is var and op.input("Y") is not var:
        value = added_per_channel(graph, op, channels)
        return None if value is None else value.astype(np.float64)
    left = op.input("X")
    if op.input("Y") is not var or not is_weight(graph, left) or left.name not in graph.weights:
        return None
    factor = graph.weights[left.name]
    if factor.dtype != np.float32 or factor.size != 1:
        return None
    return np.full(channels, float(factor.reshape(-1)[0]))


def _bias_name(step: _Step) -> str:
    return f"{step.out.name}.bias"


def _fold(graph: Graph, step: _Step) -> None:
    _scale_weight(graph, step.weight, KINDS[step.conv.type].axis, step.a)
    out, between = step.out, step.conv.output("Output")
    for op in reversed(step.chain):
        remove_op(graph, op, keep=out)
    if between.name not in graph:
        between = graph.add_var_like(between.name, out)
        graph.set_output(step.conv, "Output", [between])
    bias = step.b.astype(np.float32)
    added = graph.add_var(_bias_name(step), "float32", bias.shape, bias)
    attrs = {"axis": 1, "op_role": 0}
    graph.add_op("elementwise_add", {"X": between, "Y": added}, {"Out": out}, attrs, after=step.conv)


def _scale_weight(graph: Graph, op: Op, axis: int, a: np.ndarray) -> None:
    weight, scale = op.input("X"), op.input("Scale")
    old = graph.weights[scale.name].astype(np.float64).reshape(-1)
    dead = old * np.abs(a) < _SMALLEST
    sizes = np.where(dead, 1.0, np.abs(a))
    signs = np.where(dead, 0, np.sign(a)).astype(np.int8)
    shape = [-1 if dim == axis else 1 for dim in range(len(weight.shape))]
    graph.weights[weight.name] = graph.weights[weight.name] * signs.reshape(shape)
    if old.size == 1 and np.ptp(sizes) == 0:
        graph.weights[scale.name] = (old * sizes[0]).astype(np.float32)
        return
    new = (old * sizes).astype(np.float32)
    for slot, value in (("Scale", new), ("ZeroPoint", np.zeros(new.size, np.int32))):
        name = op.input(slot).name
        var = op.input(slot)
        graph.set_input(op, slot, [])
        graph.remove_var(var)
        graph.set_input(op, slot, [graph.add_var(name, str(value.dtype), value.shape, value)])
    graph.set_attr(op, "quant_axis", axis)
