"""Which kernels a training program runs with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from qcc._paddle import core, one_op_at_a_time
from qcc.train.parallel.device import is_cpu

# Paddle's plain CPU kernels of depthwise convolution and of convolution gradients are several times slower
# than oneDNN's. batch_norm stays plain: in training, oneDNN's forward kernel saves another statistic
# than the plain backward kernel reads.
_ONEDNN_OPS = frozenset(
    {"conv2d", "conv2d_grad", "depthwise_conv2d", "depthwise_conv2d_grad", "relu", "relu_grad"}
)


def choose_kernels(program: Any, device: Any, *, one_size: bool = True) -> None:
    """Let convolutions and relus of a `paddle.static.Program` that is about to be run use oneDNN on a CPU,
    where its batches are of one size, unless another op may write over what they read before they do.

    Paddle keeps, in oneDNN's layout, what each convolution has read, for every size of it: with
    lines of text of any width that grows without end.

    Call it on the program that runs, never on one that is saved: the choice is written into the operators.
    """
    if not (is_cpu(device) and one_size):
        return
    for block in program.blocks:
        chosen = {place for place, op in enumerate(block.ops) if op.type in _ONEDNN_OPS}
        for place in chosen - _overtaken(block, chosen):
            block.ops[place]._set_attr("use_mkldnn", True)


def running(device: Any) -> AbstractContextManager[None]:
    """What a program is run in on a device. On a CPU, one op at a time: each thread keeps what oneDNN's
    convolutions have read, and who runs which differs from batch to batch; with it, a step is no slower."""
    return one_op_at_a_time() if is_cpu(device) else nullcontext()


@dataclass(frozen=True)
class _Named:
    """What an op reads and writes, by name."""

    type: str
    reads: Sequence[str]
    writes: Sequence[str]


def _overtaken(block: Any, chosen: set[int]) -> set[int]:
    """The places of those ops among the chosen ones that may find another op's results in what they read.

    oneDNN reads what has been written in plain layout through a second variable in the same memory, of which
    Paddle's executor does not know. An op behind that reads the first one may put its results into it, as a
    sum does, and may do so before oneDNN has read them, unless it waits for what oneDNN computes.
    """
    ops = [_Named(op.type, op.input_arg_names, op.output_arg_names) for op in block.ops]
    # What these gradients are computed from is kept.
    kept = {name for place in chosen if ops[place].type.endswith("_grad") for name in ops[place].reads}
    writing: defaultdict[str, list[int]] = defaultdict(list)
    for place, op in enumerate(ops):
        for name in op.reads:
            if name not in kept and _may_overwrite(op, block._find_var_recursive(name)):
                writing[name].append(place)
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for place in chosen:
        for name in ops[place].reads:
            for other in writing[name]:
                if other > place:
                    waiting[other].append(place)
    return {place for end, places in waiting.items() for place in set(places) - _ahead(ops, end, min(places))}


def _may_overwrite(op: _Named, var: Any) -> bool:
    """Whether an op may write its results into a variable that it reads. Ops that compute gradients write
    over gradients alone."""
    if var.persistable or var.is_data or not core.has_infer_inplace(op.type):
        return False
    return not op.type.endswith("_grad") or "@GRAD" in var.name


def _ahead(ops: Sequence[_Named], end: int, start: int) -> set[int]:
    """The places from `start` on of the ops that the one at `end` waits for."""
    needed, found = set(ops[end].reads), set[int]()
    for place in range(end - 1, start - 1, -1):
        if not needed.isdisjoint(ops[place].writes):
            found.add(place)
            needed.update(ops[place].reads)
    return found
