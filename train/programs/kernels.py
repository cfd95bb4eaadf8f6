"""Which kernels a training program runs with."""

from __future__ import annotations

from typing import Any

from qcc.train.parallel.device import is_cpu

# Paddle's plain CPU kernels of depthwise convolution and of convolution gradients are several times slower
# than oneDNN's. batch_norm stays plain: in training, oneDNN's forward kernel saves another statistic
# than the plain backward kernel reads.
_ONEDNN_OPS = frozenset(
    {"conv2d", "conv2d_grad", "depthwise_conv2d", "depthwise_conv2d_grad", "relu", "relu_grad"}
)


def choose_kernels(program: Any, device: Any) -> None:
    """Let convolutions and relus of a `paddle.static.Program` that is about to be run use oneDNN on a CPU.

    Call it on the program that runs, never on one that is saved: the choice is written into the operators.
    """
    if not is_cpu(device):
        return
    for block in program.blocks:
        for op in block.ops:
            if op.type in _ONEDNN_OPS:
                op._set_attr("use_mkldnn", True)
