"""Ops with other attributes, shapes and types than the usual ones: where kernels tend to be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from lite_case import (
    IMAGE,
    MATRIX,
    OUT,
    Case,
    F,
    append_op,
    conv,
    floats,
    generator,
    ints,
    paddle,
    parameter,
    static,
)
from lite_detection_ops import nms_attrs, prior_box, yolo_box

BOXES = np.sort(generator().uniform(0, 50, (2, 12, 2, 2)), axis=2).astype(np.float32).reshape(2, 12, 4)
SCORES = generator().uniform(0, 1, (2, 3, 12)).astype(np.float32)
HEAD, SIZE = floats(1, 24, 3, 3), np.array([[96, 80]], np.int32)
ANCHORS = [10, 13, 16, 30, 33, 23]


def nms(**changed: Any) -> Any:
    outputs = {"Out": "float32", "Index": "int32", "NmsRoisNum": "int32"}

    def build(boxes: Any, scores: Any) -> list[Any]:
        inputs = {"BBoxes": boxes, "Scores": scores}
        found = append_op("multiclass_nms3", inputs, outputs, {**nms_attrs(), **changed})
        return [found[0], found[2]]

    return build


def decode(threshold: float = 0.01, **options: Any) -> Any:
    return lambda x, size: list(paddle.vision.ops.yolo_box(x, size, ANCHORS, 3, threshold, 32, **options))


VARIANTS = {
    case.name: case
    for case in (
        Case("slice_step_neg", (IMAGE,), lambda x: x[:, :, ::-1]),
        Case("strided_neg", (IMAGE,), lambda x: paddle.strided_slice(x, [2, 3], [8, 9], [0, 1], [-2, -3])),
        Case("fro", (MATRIX,), lambda x: paddle.norm(x)),
        Case("nms_batch2", (BOXES, SCORES), nms()),
        Case("nms_background0", (BOXES[:1], SCORES[:1]), nms(background_label=0)),
        Case("nms_unnormalized", (BOXES[:1], SCORES[:1]), nms(normalized=False)),
        Case("nms_eta", (BOXES[:1], SCORES[:1]), nms(nms_eta=0.9)),
        Case("nms_keep_all", (BOXES[:1], SCORES[:1]), nms(keep_top_k=-1, nms_top_k=-1)),
        Case("nms_nothing", (BOXES[:1], SCORES[:1] * 0), nms()),
        Case("yolo_batch", (floats(2, 24, 3, 3), np.array([[96, 80], [50, 70]], "int32")), yolo_box),
        Case("yolo_noclip", (HEAD, SIZE), decode(0.01, clip_bbox=False)),
        Case("yolo_scale_xy", (HEAD, SIZE), decode(0.01, scale_x_y=1.05)),
        Case("yolo_high_thresh", (HEAD, SIZE), decode(0.5)),
        Case("prior_oblong", (floats(1, 4, 5, 7), floats(1, 3, 40, 64)), prior_box),
        Case(
            "prior_min_max",
            (floats(1, 4, 5, 5), floats(1, 3, 40, 40)),
            lambda f, p: list(
                paddle.vision.ops.prior_box(
                    f,
                    p,
                    [8.0, 12.0],
                    [16.0, 20.0],
                    [2.0, 3.0],
                    flip=True,
                    clip=False,
                    steps=[8.0, 8.0],
                    offset=0.3,
                    min_max_aspect_ratios_order=True,
                )
            ),
        ),
        Case(
            "box_coder_axis1",
            (floats(1, 12, 4),),
            lambda t: paddle.vision.ops.box_coder(
                parameter(1, 4), [0.1, 0.1, 0.2, 0.2], t, code_type="decode_center_size", axis=1
            ),
        ),
        Case(
            "box_coder_encode",
            (floats(7, 4, low=0, high=1),),
            lambda t: paddle.vision.ops.box_coder(
                parameter(12, 4), [0.1, 0.1, 0.2, 0.2], t, code_type="encode_center_size"
            ),
        ),
        Case(
            "box_coder_unnorm",
            (floats(2, 12, 4),),
            lambda t: paddle.vision.ops.box_coder(
                parameter(12, 4),
                [0.1, 0.1, 0.2, 0.2],
                t,
                code_type="decode_center_size",
                box_normalized=False,
            ),
        ),
        Case(
            "roi_aligned",
            (floats(1, 4, 16, 16), BOXES[0] / 4),
            lambda f, r: paddle.vision.ops.roi_align(
                f, r, paddle.full([1], 12, "int32"), 4, 0.5, 2, aligned=True
            ),
        ),
        Case(
            "roi_adaptive",
            (floats(1, 4, 16, 16), BOXES[0] / 4),
            lambda f, r: paddle.vision.ops.roi_align(
                f, r, paddle.full([1], 12, "int32"), 4, 1.0, -1, aligned=False
            ),
        ),
        Case(
            "deconv_outpad",
            (IMAGE,),
            lambda x: static.nn.conv2d_transpose(
                x, 6, filter_size=3, stride=2, padding=1, output_size=[18, 20]
            ),
        ),
        Case(
            "deconv_dilation", (IMAGE,), lambda x: static.nn.conv2d_transpose(x, 6, filter_size=3, dilation=2)
        ),
        Case(
            "deconv_same",
            (IMAGE,),
            lambda x: static.nn.conv2d_transpose(x, 6, filter_size=3, stride=2, padding="SAME"),
        ),
        Case(
            "deconv_pad4",
            (IMAGE,),
            lambda x: static.nn.conv2d_transpose(x, 6, filter_size=3, stride=2, padding=[0, 1, 1, 2]),
        ),
        Case("conv_valid", (IMAGE,), conv(6, 3, padding="VALID")),
        Case("conv_stride_21", (IMAGE,), conv(6, 3, stride=[2, 1], padding=[1, 0])),
        Case("conv_1x5", (IMAGE,), lambda x: static.nn.conv2d(x, 6, (1, 5), padding=(0, 2))),
        Case("conv_7x7", (IMAGE,), conv(6, 7, padding=3, stride=2)),
        Case("dw_dilation", (IMAGE,), conv(4, 3, groups=4, dilation=2, padding=2)),
        Case("dw_7x7", (IMAGE,), conv(4, 7, groups=4, padding=3)),
        Case("dw_2x2", (IMAGE,), conv(4, 2, groups=4, stride=2)),
        Case("dw_stride21", (IMAGE,), conv(4, 3, groups=4, stride=[2, 1], padding=1)),
        Case("pool_avg_ceil", (IMAGE,), lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)),
        Case(
            "pool_avg_incl_ceil",
            (IMAGE,),
            lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, exclusive=False),
        ),
        Case("pool_same", (IMAGE,), lambda x: F.max_pool2d(x, 3, 2, padding="SAME")),
        Case("pool_avg_same", (IMAGE,), lambda x: F.avg_pool2d(x, 3, 2, padding="SAME")),
        Case("pool_valid", (IMAGE,), lambda x: F.avg_pool2d(x, 3, 2, padding="VALID")),
        Case("pool_pad4", (IMAGE,), lambda x: F.max_pool2d(x, 3, 2, padding=[0, 1, 1, 0])),
        Case("pool_avg_pad4", (IMAGE,), lambda x: F.avg_pool2d(x, 3, 2, padding=[0, 1, 1, 0])),
        Case("pool_2x3", (IMAGE,), lambda x: F.avg_pool2d(x, [2, 3], [1, 2])),
        Case("pool_2x2", (IMAGE,), lambda x: F.max_pool2d(x, 2, 2)),
        Case("pool_adapt_23", (IMAGE,), lambda x: F.adaptive_avg_pool2d(x, [2, 3])),
        Case("pool_adapt_max23", (IMAGE,), lambda x: F.adaptive_max_pool2d(x, [2, 3])),
        Case("pool_adapt_dividing", (floats(2, 4, 8, 6),), lambda x: F.adaptive_avg_pool2d(x, [4, 3])),
        Case(
            "bilinear_mode0",
            (IMAGE,),
            lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_mode=0),
        ),
        Case(
            "bilinear_mode1",
            (IMAGE,),
            lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_mode=1),
        ),
        Case(
            "bilinear_down",
            (IMAGE,),
            lambda x: F.interpolate(x, size=[4, 5], mode="bilinear", align_corners=False),
        ),
        Case(
            "bilinear_down1", (IMAGE,), lambda x: F.interpolate(x, size=[4, 5], mode="bilinear", align_mode=1)
        ),
        Case(
            "nearest_corners",
            (IMAGE,),
            lambda x: F.interpolate(x, size=[18, 13], mode="nearest", align_corners=False),
        ),
        Case("nearest_down", (IMAGE,), lambda x: F.interpolate(x, size=[4, 3], mode="nearest")),
        Case("nearest_scale15", (IMAGE,), lambda x: F.interpolate(x, scale_factor=1.5, mode="nearest")),
        Case("softmax_2", (IMAGE,), lambda x: F.softmax(x, 2)),
        Case("softmax_0", (IMAGE,), lambda x: F.softmax(x, 0)),
        Case("log_softmax_1", (IMAGE,), lambda x: F.log_softmax(x, 1)),
        Case("hardsigmoid_slope", (IMAGE,), lambda x: F.hardsigmoid(x, slope=0.2, offset=0.4)),
        Case(
            "hard_swish_attr",
            (IMAGE,),
            lambda x: append_op("hard_swish", {"X": x}, OUT, {"threshold": 5.0, "scale": 7.0, "offset": 2.0})[
                0
            ],
        ),
        Case("relu6_threshold", (IMAGE,), lambda x: append_op("relu6", {"X": x}, OUT, {"threshold": 1.5})[0]),
        Case("swish_beta", (IMAGE,), lambda x: append_op("swish", {"X": x}, OUT, {"beta": 1.5})[0]),
        Case("elu_alpha", (IMAGE,), lambda x: F.elu(x, 0.3)),
        Case("softplus_beta", (IMAGE,), lambda x: F.softplus(x, 2.0, 1.5)),
        Case("thresholded", (IMAGE,), lambda x: F.thresholded_relu(x, 0.4)),
        Case("mish_big", (floats(2, 3, low=-30, high=30),), F.mish),
        Case("gelu_big", (floats(4, 5, low=-8, high=8),), F.gelu),
        Case(
            "add_axis1",
            (IMAGE, floats(4)),
            lambda x, y: append_op("elementwise_add", {"X": x, "Y": y}, OUT, {"axis": 1})[0],
        ),
        Case(
            "mul_axis1_2d",
            (IMAGE, floats(4, 9)),
            lambda x, y: append_op("elementwise_mul", {"X": x, "Y": y}, OUT, {"axis": 1})[0],
        ),
        Case(
            "add_axis0",
            (IMAGE, floats(2)),
            lambda x, y: append_op("elementwise_add", {"X": x, "Y": y}, OUT, {"axis": 0})[0],
        ),
        Case("sub_bcast_mid", (IMAGE, floats(2, 1, 9, 1)), lambda x, y: x - y),
        Case("div_bcast", (IMAGE, floats(2, 4, 1, 10, low=0.5)), lambda x, y: x / y),
        Case("add_bcast_both", (floats(2, 4, 1, 10), floats(2, 1, 9, 1)), lambda x, y: x + y),
        Case("add_lower_rank_x", (floats(9, 10), IMAGE), lambda x, y: x + y),
        Case("max_bcast", (IMAGE, floats(2, 1, 1, 1)), paddle.maximum),
        Case("mod_neg", (ints(3, 4, low=-9, high=9), ints(3, 4, low=1, high=4)), paddle.mod, exact=True),
        Case(
            "floordiv_neg",
            (ints(3, 4, low=-9, high=9), ints(3, 4, low=1, high=4)),
            paddle.floor_divide,
            exact=True,
        ),
        Case(
            "div_int",
            (ints(3, 4, low=-9, high=9), ints(3, 4, low=1, high=4)),
            lambda x, y: append_op("elementwise_div", {"X": x, "Y": y}, {"Out": "int64"}, {"axis": -1})[0],
            exact=True,
        ),
        Case("reduce_all_dims", (IMAGE,), lambda x: paddle.mean(x)),
        Case("reduce_sum_all", (IMAGE,), lambda x: paddle.sum(x)),
        Case("reduce_sum_keep", (IMAGE,), lambda x: paddle.sum(x, [1, 3], keepdim=True)),
        Case("reduce_mean_neg", (IMAGE,), lambda x: paddle.mean(x, [-1, -2])),
        Case("reduce_max_13", (IMAGE,), lambda x: paddle.max(x, [1, 3])),
        Case("reduce_mean_0", (IMAGE,), lambda x: paddle.mean(x, 0)),
        Case("reduce_sum_int", (ints(3, 4),), lambda x: paddle.sum(x, 1), exact=True),
        Case("reduce_max_int", (ints(3, 4),), lambda x: paddle.max(x, 1), exact=True),
        Case("reduce_min_13", (IMAGE,), lambda x: paddle.min(x, [1, 2])),
        Case("reduce_prod_13", (IMAGE,), lambda x: paddle.prod(x, [2, 3])),
        Case("argmax_keep", (IMAGE,), lambda x: paddle.argmax(x, 1, keepdim=True), exact=True),
        Case("argmax_int32", (IMAGE,), lambda x: paddle.argmax(x, -1, dtype="int32"), exact=True),
        Case("topk_axis0", (MATRIX,), lambda x: list(paddle.topk(x, 2, axis=0))),
        Case("argsort_desc", (MATRIX,), lambda x: paddle.argsort(x, descending=True), exact=True),
        Case("argsort_axis0", (MATRIX,), lambda x: paddle.argsort(x, 0), exact=True),
        Case("sort", (MATRIX,), lambda x: paddle.sort(x, 1)),
        Case("cumsum_axis0", (MATRIX,), lambda x: paddle.cumsum(x, 0)),
        Case(
            "cumsum_excl",
            (MATRIX,),
            lambda x: append_op("cumsum", {"X": x}, OUT, {"axis": 1, "exclusive": True, "reverse": True})[0],
        ),
        Case("pad_edge", (IMAGE,), lambda x: F.pad(x, [1, 2, 3, 1], mode="replicate")),
        Case("pad_circular", (IMAGE,), lambda x: F.pad(x, [1, 2, 3, 1], mode="circular")),
        Case(
            "pad_op",
            (IMAGE,),
            lambda x: append_op(
                "pad", {"X": x}, OUT, {"paddings": [0, 0, 1, 2, 0, 1, 3, 0], "pad_value": 0.5}
            )[0],
        ),
        Case("matmul_tx", (floats(2, 4, 3), floats(2, 4, 5)), lambda x, y: paddle.matmul(x, y, True, False)),
        Case("matmul_txy", (floats(2, 4, 3), floats(2, 5, 4)), lambda x, y: paddle.matmul(x, y, True, True)),
        Case("matmul_bcast", (floats(2, 3, 4), floats(4, 5)), paddle.matmul),
        Case("matmul_vec", (floats(2, 3, 4), floats(4)), paddle.matmul),
        Case(
            "matmul_v1_alpha",
            (floats(2, 3, 4), floats(2, 4, 5)),
            lambda x, y: append_op(
                "matmul", {"X": x, "Y": y}, OUT, {"alpha": 0.5, "transpose_X": False, "transpose_Y": False}
            )[0],
        ),
        Case(
            "matmul_v1_alpha_w",
            (MATRIX,),
            lambda x: append_op(
                "matmul",
                {"X": x, "Y": parameter(8, 5)},
                OUT,
                {"alpha": 0.5, "transpose_X": False, "transpose_Y": False},
            )[0],
        ),
        Case(
            "mul_4d",
            (floats(2, 3, 4, 5),),
            lambda x: append_op(
                "mul", {"X": x, "Y": parameter(20, 6)}, OUT, {"x_num_col_dims": 2, "y_num_col_dims": 1}
            )[0],
        ),
        Case(
            "mul_y2",
            (MATRIX,),
            lambda x: append_op(
                "mul", {"X": x, "Y": parameter(2, 4, 5)}, OUT, {"x_num_col_dims": 1, "y_num_col_dims": 2}
            )[0],
        ),
        Case("fc_num_flatten2", (floats(2, 3, 4, 5),), lambda x: static.nn.fc(x, 6, num_flatten_dims=2)),
        Case("fc_relu_3d", (floats(2, 3, 8),), lambda x: F.relu(paddle.nn.Linear(8, 5)(x))),
        Case("linear_4d", (floats(2, 3, 4, 8),), lambda x: paddle.nn.Linear(8, 5)(x)),
        Case("linear_one_row", (floats(1, 8),), lambda x: paddle.nn.Linear(8, 5)(x)),
        Case("bmm", (floats(2, 3, 4), floats(2, 4, 5)), paddle.bmm),
        Case(
            "dot_scale",
            (floats(2, 3, 4), floats(2, 5, 4)),
            lambda x, y: F.softmax(paddle.matmul(x * 0.3, y, transpose_y=True)),
        ),
        Case("layer_norm_2", (floats(2, 6, 8),), lambda x: F.layer_norm(x, [6, 8])),
        Case("layer_norm_4d", (floats(2, 3, 4, 5),), lambda x: paddle.nn.LayerNorm([4, 5], epsilon=1e-3)(x)),
        Case(
            "group_norm_bare",
            (IMAGE,),
            lambda x: append_op(
                "group_norm",
                {"X": x},
                {"Y": "float32", "Mean": "float32", "Variance": "float32"},
                {"groups": 2, "epsilon": 1e-5},
            )[0],
        ),
        Case(
            "instance_norm_eps",
            (IMAGE,),
            lambda x: paddle.nn.InstanceNorm2D(4, epsilon=1e-2)(paddle.reshape(x, [2, 4, 9, 10])),
        ),
        Case("bn_2d", (floats(5, 4),), lambda x: static.nn.batch_norm(x)),
        Case("bn_3d", (floats(5, 4, 3),), lambda x: static.nn.batch_norm(x)),
        Case("bn_relu", (IMAGE,), lambda x: F.relu(static.nn.batch_norm(x))),
        Case("concat_0", (IMAGE, IMAGE), lambda x, y: paddle.concat([x, y], 0)),
        Case("concat_neg", (IMAGE, IMAGE), lambda x, y: paddle.concat([x, y], -1)),
        Case("concat_3", (IMAGE,), lambda x: paddle.concat([x, x, x * 2], 2)),
        Case("split_neg", (IMAGE,), lambda x: paddle.split(x, [3, -1], 2)),
        Case("split_3", (floats(2, 6, 3),), lambda x: paddle.split(x, 3, 1)),
        Case("split_last", (IMAGE,), lambda x: paddle.split(x, 5, 3)),
        Case("split_int", (ints(3, 4),), lambda x: paddle.split(x, 2, 1), exact=True),
        Case("stack_0", (IMAGE, IMAGE), lambda x, y: paddle.stack([x, y], 0)),
        Case("stack_last", (IMAGE, IMAGE), lambda x, y: paddle.stack([x, y], -1)),
        Case("stack_int", (ints(3, 4), ints(3, 4)), lambda x, y: paddle.stack([x, y], 1), exact=True),
        Case("slice_neg", (IMAGE,), lambda x: x[:, -2:, :, -5:-1]),
        Case("slice_multi_dec", (IMAGE,), lambda x: x[:, 1, 2]),
        Case(
            "transpose_perms",
            (floats(2, 3, 4, 5),),
            lambda x: [
                paddle.transpose(x, p) for p in ([1, 0, 2, 3], [3, 2, 1, 0], [0, 1, 3, 2], [0, 3, 1, 2])
            ],
        ),
        Case("transpose_5d", (floats(2, 3, 2, 2, 3),), lambda x: paddle.transpose(x, [0, 2, 4, 1, 3])),
        Case("transpose_6d", (floats(2, 3, 2, 2, 3, 2),), lambda x: paddle.transpose(x, [0, 1, 4, 2, 5, 3])),
        Case("reshape_dyn", (IMAGE,), lambda x: paddle.reshape(x, [paddle.shape(x)[0], -1])),
        Case("reshape_int", (ints(3, 4),), lambda x: paddle.reshape(x, [-1, 2]), exact=True),
        Case("flatten_12", (IMAGE,), lambda x: paddle.flatten(x, 1, 2)),
        Case("flatten_0", (IMAGE,), lambda x: paddle.flatten(x)),
        Case("squeeze_all", (floats(2, 1, 3, 1),), lambda x: paddle.squeeze(x, [-1])),
        Case("unsq_neg", (MATRIX,), lambda x: paddle.unsqueeze(x, -1)),
        Case("expand_rank", (MATRIX,), lambda x: paddle.expand(x, [2, 3, 8])),
        Case("expand_minus", (floats(2, 1, 4),), lambda x: paddle.expand(x, [-1, 3, -1])),
        Case("tile_more", (MATRIX,), lambda x: paddle.tile(x, [2, 1, 2])),
        Case("tile_int", (ints(3, 4),), lambda x: paddle.tile(x, [1, 2]), exact=True),
        Case("broadcast_to", (floats(1, 4),), lambda x: paddle.broadcast_to(x, [3, 4])),
        Case("gather_axis1", (floats(5, 4), ints(3, high=4)), lambda x, i: paddle.gather(x, i, axis=1)),
        Case("gather_int32", (floats(5, 4), ints(3, high=5, dtype="int32")), paddle.gather),
        Case("gather_3d", (floats(5, 4, 2), ints(3, high=5)), paddle.gather),
        Case("gather_nd_2", (floats(5, 4, 3), ints(2, 2, high=4)), paddle.gather_nd),
        Case("gather_of_int", (ints(5, 4), ints(3, high=5)), paddle.gather, exact=True),
        Case(
            "index_select_1", (floats(5, 4), ints(3, high=4)), lambda x, i: paddle.index_select(x, i, axis=1)
        ),
        Case("embedding_pad", (ints(3, 4),), lambda x: static.nn.embedding(x, (10, 6), padding_idx=2)),
        Case("where_bcast", (IMAGE,), lambda x: paddle.where(x > 0, x, paddle.zeros_like(x))),
        Case("cast_u8", (IMAGE,), lambda x: paddle.cast(paddle.cast(x * 10, "uint8"), "float32")),
        Case("cast_bool_f", (IMAGE,), lambda x: paddle.cast(x > 0, "float32")),
        Case("cast_i64_i32", (ints(3, 4),), lambda x: paddle.cast(x, "int32"), exact=True),
        Case("cast_i32_f", (ints(3, 4, dtype="int32"),), lambda x: paddle.cast(x, "float32")),
        Case("cast_f_bool", (IMAGE,), lambda x: paddle.cast(paddle.cast(x, "bool"), "int64"), exact=True),
        Case("one_hot_i32", (ints(3, dtype="int32"),), lambda x: F.one_hot(x, 10)),
        Case("one_hot_2d", (ints(3, 2),), lambda x: F.one_hot(x, 10)),
        Case(
            "grid_border",
            (IMAGE, floats(2, 5, 6, 2, low=-1.5, high=1.5)),
            lambda x, g: F.grid_sample(x, g, padding_mode="border"),
        ),
        Case(
            "grid_reflect",
            (IMAGE, floats(2, 5, 6, 2, low=-1.5, high=1.5)),
            lambda x, g: F.grid_sample(x, g, padding_mode="reflection"),
        ),
        Case(
            "grid_nearest",
            (IMAGE, floats(2, 5, 6, 2, low=-1, high=1)),
            lambda x, g: F.grid_sample(x, g, mode="nearest"),
        ),
        Case(
            "grid_nocorner",
            (IMAGE, floats(2, 5, 6, 2, low=-1, high=1)),
            lambda x, g: F.grid_sample(x, g, align_corners=False),
        ),
        Case("p_norm_keep", (MATRIX,), lambda x: paddle.norm(x, 2, 0, keepdim=True)),
        Case("pixel_shuffle3", (floats(1, 18, 2, 3),), lambda x: F.pixel_shuffle(x, 3)),
        Case("shuffle3", (floats(2, 6, 3, 5),), lambda x: F.channel_shuffle(x, 3)),
        Case("roll_neg", (MATRIX,), lambda x: paddle.roll(x, [-1, 2], [0, 1])),
        Case("flip2", (IMAGE,), lambda x: paddle.flip(x, [1, 2])),
        Case("triu", (floats(2, 5, 5),), lambda x: paddle.triu(x, 1)),
        Case("tril_k", (floats(2, 5, 5),), lambda x: paddle.tril(x, -1)),
        Case("unfold_opts", (IMAGE,), lambda x: F.unfold(x, [3, 2], [2, 1], [1, 0], [1, 2])),
        Case(
            "deform_pad",
            (IMAGE, floats(2, 18, 9, 10), floats(2, 9, 9, 10, low=0)),
            lambda x, o, m: paddle.vision.ops.deform_conv2d(x, o, parameter(6, 4, 3, 3), padding=1, mask=m),
        ),
        Case("bilstm", (floats(2, 4, 6),), lambda x: paddle.nn.LSTM(6, 5, direction="bidirect")(x)[0]),
        Case("gru2", (floats(2, 4, 6),), lambda x: paddle.nn.GRU(6, 5, num_layers=2)(x)[0]),
        Case("clip_open", (IMAGE,), lambda x: paddle.clip(x, min=0.0)),
        Case("scale_neg", (IMAGE,), lambda x: -x),
        Case("rsub", (IMAGE,), lambda x: 1.0 - x),
        Case("rdiv", (floats(2, 3, low=0.5),), lambda x: 1.0 / x),
        Case("square_root", (floats(2, 3, low=0.5),), lambda x: x**0.5),
        Case("hardtanh", (IMAGE,), F.hardtanh),
        Case("relu_inplace", (IMAGE,), lambda x: F.relu(x * 1.0)),
        Case("linspace_", (IMAGE,), lambda x: x * paddle.full_like(x, 2.0)),
        Case("conv1d", (floats(2, 4, 9),), lambda x: paddle.nn.Conv1D(4, 6, 3)(x)),
        Case("pool1d", (floats(2, 4, 9),), lambda x: F.max_pool1d(x, 2, 2)),
        Case("bn1d", (floats(2, 4, 9),), lambda x: paddle.nn.BatchNorm1D(4)(x)),
        Case(
            "spp",
            (IMAGE,),
            lambda x: paddle.concat([F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13)] + [x], 1),
        ),
    )
}
