"""Ops that Paddle Lite has no kernel for, or a wrong one."""

from __future__ import annotations

from typing import Any

import numpy as np
from lite_case import (
    IMAGE,
    MATRIX,
    Case,
    F,
    floats,
    ints,
    paddle,
    parameter,
    slopes,
    static,
)
from lite_variants import decode


def lstm_with_states(x: Any) -> list[Any]:
    output, states = paddle.nn.LSTM(6, 5)(x)
    return [output, *states]


REFUSED = {
    case.name: case
    for case in (
        Case(
            "deconv_dw",
            (IMAGE,),
            lambda x: static.nn.conv2d_transpose(x, 4, filter_size=4, stride=2, padding=1, groups=4),
        ),
        Case(
            "yolo_iou_aware",
            (floats(1, 27, 3, 3), np.array([[96, 80]], "int32")),
            decode(0.01, iou_aware=True, iou_aware_factor=0.4),
        ),
        Case("bicubic", (IMAGE,), lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
        Case("prelu_element", (floats(2, 4, 3, 3),), lambda x: static.nn.prelu(x, "element", slopes())),
        Case("mod_float", (floats(3, 4), floats(3, 4, low=0.5)), paddle.mod),
        Case("pow_int", (ints(3, 4, low=1, high=4),), lambda x: paddle.pow(x, 2), exact=True),
        Case("argmax_flat", (IMAGE,), lambda x: paddle.argmax(x), exact=True),
        Case("argmin", (IMAGE,), lambda x: paddle.argmin(x, 1), exact=True),
        Case("topk_small", (MATRIX,), lambda x: list(paddle.topk(x, 3, largest=False))),
        Case("matmul_4d_bcast", (floats(2, 1, 3, 4), floats(2, 3, 4, 5)), paddle.matmul),
        Case(
            "concat_bool",
            (IMAGE,),
            lambda x: paddle.cast(paddle.concat([x > 0, x < 1], 1), "int32"),
            exact=True,
        ),
        Case("slice_bool", (IMAGE,), lambda x: paddle.cast((x > 0)[:, 1:], "int32"), exact=True),
        Case("affine_grid", (floats(2, 2, 3),), lambda t: F.affine_grid(t, [2, 3, 4, 5])),
        Case("p_norm_1", (MATRIX,), lambda x: paddle.norm(x, 1, 1)),
        Case("p_norm_inf", (MATRIX,), lambda x: paddle.norm(x, float("inf"), 1)),
        Case("cast_i32_u8", (ints(3, 4, dtype="int32"),), lambda x: paddle.cast(x, "uint8"), exact=True),
        Case("cast_i16", (IMAGE,), lambda x: paddle.cast(paddle.cast(x, "int16"), "float32")),
        Case("temporal", (floats(6, 8, 3, 3),), lambda x: F.temporal_shift(x, 3, 0.125)),
        Case(
            "deform_nomask",
            (IMAGE, floats(2, 18, 7, 8)),
            lambda x, o: paddle.vision.ops.deform_conv2d(x, o, parameter(6, 4, 3, 3)),
        ),
        Case("rnn_tanh", (floats(2, 4, 6),), lambda x: paddle.nn.SimpleRNN(6, 5)(x)[0]),
        Case("lstm_states", (floats(2, 4, 6),), lstm_with_states),
        Case("ceil", (IMAGE,), paddle.ceil),
        Case("tan", (IMAGE,), paddle.tan),
        Case("atan", (IMAGE,), paddle.atan),
        Case("celu", (IMAGE,), F.celu),
        Case("hardshrink", (IMAGE,), F.hardshrink),
        Case("softshrink", (IMAGE,), F.softshrink),
        Case("tanhshrink", (IMAGE,), F.tanhshrink),
        Case("conv3d", (floats(1, 2, 4, 5, 6),), lambda x: paddle.nn.Conv3D(2, 3, 3)(x)),
    )
}
