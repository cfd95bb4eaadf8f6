"""Ops on shapes that few tests have: shared weights, one column, uneven padding, tiny maps, many axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lite_case import IMAGE, MATRIX, OUT, Case, F, append_op, conv, floats, paddle, parameter, static


def twice(op: Callable[[Any, Any], Any], *shape: int) -> Callable[[Any], Any]:
    """An op with a weight, and the same op with the same weight behind it."""

    def build(x: Any) -> Any:
        weight = parameter(*shape)
        return op(F.relu(op(x, weight)), weight)

    return build


COUNTS = np.array([[0, 1, 2, 255], [3, 0, 128, 7]], np.int32)


def tiny(height: int, width: int) -> tuple[np.ndarray]:
    return (floats(2, 4, height, width),)


def affine_channel_nchw(x: Any) -> Any:
    inputs = {"X": x, "Scale": parameter(4), "Bias": parameter(4)}
    return append_op("affine_channel", inputs, OUT, {"data_layout": "NCHW"})[0]


SHAPES = {
    case.name: case
    for case in (
        Case("affine_channel_nchw", (IMAGE,), affine_channel_nchw),
        Case("linear_one_column", (MATRIX,), lambda x: F.linear(x, parameter(8, 1), parameter(1))),
        Case("linear_shared", (MATRIX,), twice(lambda x, w: F.linear(x, w, parameter(8)), 8, 8)),
        Case(
            "conv_shared", (IMAGE,), twice(lambda x, w: F.conv2d(x, w, parameter(4), padding=1), 4, 4, 3, 3)
        ),
        Case(
            "deconv_shared",
            (IMAGE,),
            twice(lambda x, w: F.conv2d_transpose(x, w, parameter(4), 2), 4, 4, 2, 2),
        ),
        Case("conv_uneven_pads", (IMAGE,), conv(6, 3, padding=[0, 2, 2, 1])),
        Case("conv_large_pads", (IMAGE,), conv(6, 3, padding=[4, 3])),
        Case("conv_even_kernel", (IMAGE,), lambda x: static.nn.conv2d(x, 6, (4, 2), padding=(2, 1))),
        Case("dw_uneven_pads", (IMAGE,), conv(4, 3, groups=4, padding=[0, 2, 1, 1])),
        Case("dw_even_kernel", (IMAGE,), conv(4, 4, groups=4, padding=2)),
        Case("conv_on_a_pixel", tiny(1, 1), conv(6, 3, padding=1)),
        Case("dw_on_a_pixel", tiny(1, 1), conv(4, 5, groups=4, padding=2)),
        Case("conv_on_a_line", tiny(1, 7), conv(8, 3, padding=1, stride=2)),
        Case("dw_on_a_column", tiny(7, 1), conv(4, 3, groups=4, padding=1, act="relu")),
        Case("pool_on_a_pixel", tiny(1, 1), lambda x: F.max_pool2d(x, 3, 2, 1)),
        Case("pool_adapt_own", tiny(7, 7), lambda x: F.adaptive_avg_pool2d(x, 7)),
        Case("pool_adapt_up", tiny(2, 2), lambda x: F.adaptive_avg_pool2d(x, 3)),
        Case("reduce_sum_5d", (floats(2, 3, 4, 5, 6),), lambda x: paddle.sum(x, 2)),
        Case("reduce_mean_5d", (floats(2, 3, 4, 5, 6),), lambda x: paddle.mean(x, [1, 3], keepdim=True)),
        Case("reduce_max_6d", (floats(2, 3, 2, 3, 4, 5),), lambda x: paddle.max(x, [2, 3])),
        Case("grid_same", (IMAGE, floats(2, 9, 10, 2, low=-1, high=1)), F.grid_sample),
        Case("sign_of_zero", (np.array([[-1.5, 0.0, 2.0, -0.0]], np.float32),), paddle.sign),
        Case(
            "transpose_bool",
            (IMAGE,),
            lambda x: paddle.cast(paddle.transpose(x > 0, [0, 2, 3, 1]), "int32"),
            exact=True,
        ),
        Case("cast_i32_bool", (COUNTS,), lambda x: paddle.cast(paddle.cast(x, "bool"), "int32"), exact=True),
        # The binding does not hand out booleans rightly.
        Case(
            "cast_i64_bool",
            (COUNTS.astype("int64"),),
            lambda x: paddle.cast(paddle.cast(x, "bool"), "int32"),
            exact=True,
        ),
        Case("cast_u8_i32", (COUNTS.astype("uint8"),), lambda x: paddle.cast(x, "int32"), exact=True),
        Case("cast_u8_i64", (COUNTS.astype("uint8"),), lambda x: paddle.cast(x, "int64"), exact=True),
        Case("cast_bool_u8", (IMAGE,), lambda x: paddle.cast(x > 0, "uint8"), exact=True),
        Case("cast_u8_positive", (IMAGE,), lambda x: paddle.cast(F.relu(x) * 10, "uint8"), exact=True),
        Case(
            "cast_u8_clipped",
            (IMAGE,),
            lambda x: paddle.cast(paddle.clip(x * 100, 0, 255), "uint8"),
            exact=True,
        ),
    )
}
