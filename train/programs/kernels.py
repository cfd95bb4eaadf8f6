"""Which kernels a training program runs with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from qcc._paddle import one_op_at_a_time
from qcc.train.parallel.device import is_cpu

# Paddle's plain CPU kernels of depthwise convolution and of convolution gradients are several times slower
# than oneDNN's. batch_norm stays plain: in training, oneDNN's forward kernel saves another statistic
# than the plain backward kernel reads.
_ONEDNN_OPS = frozenset(
    {"conv2d", "conv2d_grad", "depthwise_conv2d", "depthwise_conv2d_grad", "relu", "relu_grad"}
)


def choose_kernels(program: Any, device: Any, *, one_size: bool = True) -> None:
    """Let convolutions and relus of a `paddle.static.Program` that is about to be run use oneDNN on a CPU,
    where its batches are of one size.

    Paddle keeps, in oneDNN's layout, what each convolution has read, for every size of it: with
    lines of text of any width that grows without end.

    Call it on the program that runs, never on one that is saved: the choice is written into the operators.
    """
    if not (is_cpu(device) and one_size):
        return
    for block in program.blocks:
        for op in block.ops:
            if op.type in _ONEDNN_OPS:
                op._set_attr("use_mkldnn", True)


def running(device: Any) -> AbstractContextManager[None]:
    """What a program is run in on a device. On a CPU, one op at a time: each thread keeps what oneDNN's
    convolutions have read, and who runs which differs from batch to batch; with it, a step is no slower."""
    return one_op_at_a_time() if is_cpu(device) else nullcontext()
