"""Clipping of gradients, as ops of the training program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qcc._paddle import paddle
from qcc.train.programs.ops import append_op


def clip_by_global_norm(program: Any, gradients: Sequence[Any], norm: float) -> None:
    """Append to a `paddle.static.Program` what scales gradients in place, so that the L2 norm of all their
    elements together is at most `norm`:

        gradient * norm / max(norm, sqrt(sum of the squares of all elements))

    The ops are those of `paddle.nn.ClipGradByGlobalNorm`, which cannot be used: in Paddle 3 it fails on
    programs of the old IR.
    """
    block = program.global_block()
    with (
        paddle.static.program_guard(program),
        paddle.static.name_scope("gradient_clip"),
        program._optimized_guard([]),
    ):
        squares = [append_op("squared_l2_norm", {"X": gradient}) for gradient in gradients]
        found = append_op("sqrt", {"X": append_op("sum", {"X": squares})})
        limit = paddle.full([1], norm, found.dtype)
        largest = append_op("elementwise_max", {"X": limit, "Y": found})
        scale = append_op("elementwise_div", {"X": limit, "Y": largest})
        for gradient in gradients:
            block.append_op(
                type="elementwise_mul", inputs={"X": gradient, "Y": scale}, outputs={"Out": gradient}
            )
