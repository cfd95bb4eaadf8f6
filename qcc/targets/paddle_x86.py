"""Paddle Inference with oneDNN on x86 processors: how an application sets it up for what qcc writes."""

from __future__ import annotations

from qcc.targets.processor import cpu_flags
from qcc.targets.table import own_target

INT8_OPS = own_target("paddle_x86.yaml").int8_ops
"""What `enable_mkldnn_int8` is to be given: the ops whose int8 kernels give what was frozen."""

# What they make of elementwise_add in Paddle 3 has lost its axis. Paddle 2.6 has no passes of these names.
_LOSING_AXES = (
    "elementwise_act_onednn_fuse_pass",
    "operator_scale_onednn_fuse_pass",
    "operator_unsqueeze2_onednn_fuse_pass",
    "operator_reshape2_onednn_fuse_pass",
)
_NEEDS_AVX512 = ("self_attention_fuse_pass",)


def passes_to_delete() -> tuple[str, ...]:
    """Passes of Paddle's optimizer that fail: in Paddle 3, and without AVX-512, with SIGILL."""
    return _LOSING_AXES + (() if "avx512f" in cpu_flags() else _NEEDS_AVX512)
