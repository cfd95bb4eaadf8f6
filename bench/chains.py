"""The networks that are measured: chains of convolution, batch norm and relu, with an fc layer at the end.

Paddle needs minutes to build a training graph of thousands of layers (`append_backward` is quadratic), so a
long chain is stretched from one of three layers that Paddle has built: the middle layer's ops and variables
are repeated under new numbers. A test compares the result with what Paddle builds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from qcc._paddle import paddle
from qcc.ir.program import AttrType, BlockProto, OpProto, ProgramProto, VarProto

static = paddle.static
paddle.enable_static()

FEED = "x"
_CHANNELS = 8
_SAMPLE = 3
_LAYER = re.compile(r"\b(conv2d|batch_norm|relu)_(\d+)\.")
_LAYER_OPS = ("conv2d", "batch_norm", "relu")


def training_ops(layers: int) -> int:
    """Ops of a training graph."""
    return 9 * layers + 9


def inference_ops(layers: int) -> int:
    """Ops of an inference graph."""
    return 3 * layers + 2


def fetch_name(training: bool) -> str:
    """The loss of a training graph, the output of an inference graph."""
    return "mean_0.tmp_0" if training else "fc_0.tmp_1"


def build(layers: int, training: bool) -> ProgramProto:
    """A chain built by Paddle, with SGD as its optimizer if it is for training."""
    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        hidden = static.data(FEED, [-1, _CHANNELS, 8, 8])
        for _ in range(layers):
            hidden = static.nn.conv2d(hidden, _CHANNELS, 3, padding=1, bias_attr=False)
            hidden = paddle.nn.functional.relu(static.nn.batch_norm(hidden, is_test=not training))
        output = static.nn.fc(hidden, 10)
        if training:
            paddle.optimizer.SGD(0.1).minimize(paddle.mean(output))
    return ProgramProto.FromString(main.desc.serialize_to_string())


def stretch(layers: int, training: bool) -> ProgramProto:
    """The chain that `build` would build, in linear time; `layers` is at least 3."""
    program = build(_SAMPLE, training)
    sample, stretched = program.blocks[0], BlockProto(idx=0, parent_idx=-1)
    forward = [op for op in sample.ops if op.type in _LAYER_OPS]
    backward = [op for op in sample.ops if op.type.removesuffix("_grad") in _LAYER_OPS and op not in forward]
    updates = [op for op in sample.ops if op.type == "sgd"]
    ends = [op for op in sample.ops if op not in forward and op not in backward and op not in updates]
    stretched.ops.extend(_repeat(forward, layers))
    stretched.ops.extend(_renumbered(op, layers - _SAMPLE) for op in ends)
    stretched.ops.extend(reversed(list(_repeat(backward[::-1], layers))))
    stretched.ops.extend(sorted(_repeat_first(updates, layers), key=_param))
    stretched.vars.extend(sorted(_repeat_first(sample.vars, layers), key=lambda var: var.name))
    program.blocks[0].CopyFrom(stretched)
    return program


def random_values(program: ProgramProto) -> dict[str, np.ndarray]:
    """A value for every weight."""
    random = np.random.default_rng(0)
    return {
        var.name: random.uniform(0.1, 1.0, var.type.lod_tensor.tensor.dims).astype(np.float32)
        for var in program.blocks[0].vars
        if var.persistable
    }


def _repeat(ops: list[OpProto], layers: int) -> Iterator[OpProto]:
    """Ops of three layers -> of `layers` layers: those of the first, the middle one repeated, the last."""
    size = len(ops) // _SAMPLE
    first, middle, last = ops[:size], ops[size:-size], ops[-size:]
    yield from first
    for layer in range(1, layers - 1):
        yield from (_renumbered(op, layer - 1) for op in middle)
    yield from (_renumbered(op, layers - _SAMPLE) for op in last)


def _repeat_first(items: Iterable[OpProto | VarProto], layers: int) -> Iterator[OpProto | VarProto]:
    """Copies of what belongs to layer 0 alone, one per layer, and what belongs to no layer."""
    for item in items:
        numbers = {number for _, number in _LAYER.findall(str(item))}
        if numbers == {"0"}:
            yield from (_renumbered(item, layer) for layer in range(layers))
        elif not numbers:
            yield item


def _param(update: OpProto) -> str:
    return next(slot.arguments[0] for slot in update.inputs if slot.parameter == "Param")


def _renumbered(item: OpProto | VarProto, shift: int) -> OpProto | VarProto:
    """A copy in which the numbers of layers are higher by `shift`."""

    def rename(name: str) -> str:
        return _LAYER.sub(lambda match: f"{match[1]}_{int(match[2]) + shift}.", name)

    copy = type(item).FromString(item.SerializeToString())
    if isinstance(copy, VarProto):
        copy.name = rename(copy.name)
        return copy
    for slot in (*copy.inputs, *copy.outputs):
        slot.arguments[:] = [rename(name) for name in slot.arguments]
    for attr in copy.attrs:
        if attr.type == AttrType.STRINGS and attr.name == "op_role_var":
            attr.strings[:] = [rename(name) for name in attr.strings]
    return copy
