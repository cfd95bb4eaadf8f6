"""Models of one operator (or a few) each, for the naive buffer's tests."""

from __future__ import annotations

from typing import Any

from lite_case import (
    IMAGE,
    MATRIX,
    OUT,
    Case,
    F,
    append_op,
    conv,
    floats,
    ints,
    paddle,
    parameter,
    slopes,
    static,
)
from lite_detection_ops import detection_cases


def _cases() -> list[Case]:
    image, matrix = (IMAGE,), (MATRIX,)
    positive = (floats(2, 4, 5, low=0.1, high=3.0),)
    pair = (floats(2, 4, 9, 10), floats(2, 4, 9, 10)[::-1].copy())
    found = [
        Case("conv2d", image, conv(6, 3, padding=1)),
        Case("conv2d_no_bias", image, conv(6, 3, bias_attr=False)),
        Case("conv2d_stride", image, conv(6, 5, stride=2, padding=2, act="relu")),
        Case("conv2d_dilation", image, conv(6, 3, dilation=2)),
        Case("conv2d_groups", image, conv(8, 3, groups=2)),
        Case("conv2d_same", image, conv(6, 3, padding="SAME", stride=2)),
        Case("conv2d_padding_4", image, conv(6, 3, padding=[0, 1, 2, 1])),
        Case("depthwise_conv2d", image, conv(4, 3, groups=4, padding=1)),
        Case("depthwise_conv2d_5x5", image, conv(4, 5, groups=4, padding=2, stride=2)),
        Case("depthwise_conv2d_multiplier", image, conv(8, 3, groups=4, padding=1)),
        Case("conv2d_transpose", image, lambda x: static.nn.conv2d_transpose(x, 6, filter_size=2, stride=2)),
        Case(
            "conv2d_transpose_groups",
            image,
            lambda x: static.nn.conv2d_transpose(x, 8, filter_size=3, stride=2, padding=1, groups=2),
        ),
        Case("conv_bn_relu", image, lambda x: F.relu(static.nn.batch_norm(conv(6, 3, bias_attr=False)(x)))),
        Case("conv_bias_bn", image, lambda x: static.nn.batch_norm(conv(6, 3)(x))),
        Case("dw_bn_relu6", image, lambda x: F.relu6(static.nn.batch_norm(conv(4, 3, groups=4)(x)))),
        Case("conv_bn_leaky", image, lambda x: F.leaky_relu(static.nn.batch_norm(conv(6, 3)(x)), 0.1)),
        Case("conv_hard_swish", image, lambda x: F.hardswish(conv(6, 3)(x))),
        Case("dw_hard_swish", image, lambda x: F.hardswish(conv(4, 3, groups=4)(x))),
        Case(
            "deconv_bn_relu",
            image,
            lambda x: F.relu(
                static.nn.batch_norm(
                    static.nn.conv2d_transpose(x, 6, filter_size=2, stride=2, bias_attr=False)
                )
            ),
        ),
        Case("batch_norm", image, lambda x: static.nn.batch_norm(x)),
        Case("pool_max", image, lambda x: F.max_pool2d(x, 3, 2, 1)),
        Case("pool_avg", image, lambda x: F.avg_pool2d(x, 3, 2, 1)),
        Case("pool_avg_inclusive", image, lambda x: F.avg_pool2d(x, 3, 2, 1, exclusive=False)),
        Case("pool_ceil", image, lambda x: F.max_pool2d(x, 3, 2, 0, ceil_mode=True)),
        Case("pool_adaptive", image, lambda x: F.adaptive_avg_pool2d(x, 1)),
        Case("pool_adaptive_max", image, lambda x: F.adaptive_max_pool2d(x, 1)),
        Case("pool_adaptive_3", image, lambda x: F.adaptive_avg_pool2d(x, 3)),
        Case("relu", image, F.relu),
        Case("relu6", image, F.relu6),
        Case("leaky_relu", image, lambda x: F.leaky_relu(x, 0.2)),
        Case("prelu", image, lambda x: static.nn.prelu(x, "channel", slopes())),
        Case("prelu_all", image, lambda x: static.nn.prelu(x, "all")),
        Case("sigmoid", image, F.sigmoid),
        Case("tanh", image, F.tanh),
        Case("hard_sigmoid", image, F.hardsigmoid),
        Case("hard_swish", image, F.hardswish),
        Case("swish", image, F.swish),
        Case("silu", image, F.silu),
        Case("gelu", image, F.gelu),
        Case("gelu_tanh", image, lambda x: F.gelu(x, approximate=True)),
        Case("elu", image, F.elu),
        Case("mish", image, F.mish),
        Case("softplus", image, F.softplus),
        Case("thresholded_relu", image, F.thresholded_relu),
        Case("softsign", image, F.softsign),
        Case("exp", image, paddle.exp),
        Case("log", positive, paddle.log),
        Case("sqrt", positive, paddle.sqrt),
        Case("rsqrt", positive, paddle.rsqrt),
        Case("reciprocal", positive, paddle.reciprocal),
        Case("square", image, paddle.square),
        Case("abs", image, paddle.abs),
        Case("floor", image, paddle.floor),
        Case("sin", image, paddle.sin),
        Case("cos", image, paddle.cos),
        Case("erf", image, paddle.erf),
        Case("sign", image, paddle.sign),
        Case("pow", positive, lambda x: paddle.pow(x, 2.5)),
        Case("pow_of_negative", matrix, lambda x: paddle.pow(x, 2.0)),
        Case("pow_odd", matrix, lambda x: paddle.pow(x, 3.0)),
        Case("square_by_power", image, lambda x: x**2),
        Case("clip", image, lambda x: paddle.clip(x, -0.5, 0.7)),
        Case("scale", image, lambda x: paddle.scale(x, 2.0, 0.5)),
        Case("scale_first", image, lambda x: paddle.scale(x, 2.0, 0.5, bias_after_scale=False)),
        Case("scale_identity", image, lambda x: F.relu(paddle.scale(x, 1.0))),
        Case("scale_int64", (ints(3, 4),), lambda x: paddle.scale(x, 2.0, 3.0), exact=True),
        Case("scale_int32", (ints(3, 4, dtype="int32"),), lambda x: paddle.scale(x, 2.0, 3.0), exact=True),
        Case("softmax", image, lambda x: F.softmax(x, axis=1)),
        Case("softmax_last", matrix, F.softmax),
        Case("log_softmax", matrix, F.log_softmax),
        Case("dropout", image, lambda x: F.relu(F.dropout(x, 0.5))),
        Case("dropout_downgrade", image, lambda x: F.relu(F.dropout(x, 0.3, mode="downscale_in_infer"))),
        Case("add", pair, lambda x, y: x + y),
        Case("add_relu", pair, lambda x, y: F.relu(x + y)),
        Case("sub_relu", pair, lambda x, y: F.relu(x - y)),
        Case("mul_relu", pair, lambda x, y: F.relu(x * y)),
        Case("sub", pair, lambda x, y: x - y),
        Case("multiply", pair, lambda x, y: x * y),
        Case("divide", (IMAGE, floats(2, 4, 9, 10, low=0.5)), lambda x, y: x / y),
        Case("maximum", pair, paddle.maximum),
        Case("minimum", pair, paddle.minimum),
        Case("elementwise_pow", (floats(3, 4, low=0.5), floats(3, 4)), paddle.pow),
        Case("add_channel", (IMAGE, floats(2, 4, 1, 1)), lambda x, y: x + y),
        Case("multiply_swapped", (floats(2, 4, 1, 1), IMAGE), lambda x, y: x * y),
        Case("add_int64", (ints(3, 4), ints(3, 4)), lambda x, y: x + y, exact=True),
        Case("add_int32", (ints(3, 4, dtype="int32"),) * 2, lambda x, y: x + y, exact=True),
        Case("mul_int64", (ints(3, 4), ints(3, 4)), lambda x, y: x * y, exact=True),
        Case("floor_divide", (ints(3, 4, low=5), ints(3, 4, low=1, high=4)), paddle.floor_divide, exact=True),
        Case("mod", (ints(3, 4, low=5), ints(3, 4, low=1, high=4)), paddle.mod, exact=True),
        Case("fc", matrix, lambda x: static.nn.fc(x, 5)),
        Case("fc_relu", matrix, lambda x: F.relu(static.nn.fc(x, 5))),
        Case("fc_flatten", image, lambda x: static.nn.fc(x, 5)),
        Case("linear", matrix, lambda x: paddle.nn.Linear(8, 5)(x)),
        Case("linear_relu", matrix, lambda x: F.relu(paddle.nn.Linear(8, 5)(x))),
        Case("linear_no_bias", matrix, lambda x: paddle.nn.Linear(8, 5, bias_attr=False)(x)),
        Case("linear_3d", (floats(2, 6, 8),), lambda x: paddle.nn.Linear(8, 5)(x)),
        Case("flatten_linear", image, lambda x: paddle.nn.Linear(360, 5)(paddle.flatten(x, 1))),
        Case("matmul", (floats(2, 3, 4), floats(2, 4, 5)), paddle.matmul),
        Case(
            "matmul_trans", (floats(2, 3, 4), floats(2, 5, 4)), lambda x, y: paddle.matmul(x, y, False, True)
        ),
        Case("matmul_scaled", (floats(2, 3, 4), floats(2, 4, 5)), lambda x, y: paddle.matmul(x, y) * 0.5),
        Case("layer_norm", (floats(2, 6, 8),), lambda x: paddle.nn.LayerNorm(8)(x)),
        Case("layer_norm_bare", (floats(2, 6, 8),), lambda x: F.layer_norm(x, [8])),
        Case("instance_norm", image, instance_norm),
        Case("group_norm", image, lambda x: paddle.nn.GroupNorm(2, 4)(x)),
        Case("concat", pair, lambda x, y: paddle.concat([x, y], 1)),
        Case("concat_int64", (ints(3, 4), ints(3, 4)), lambda x, y: paddle.concat([x, y], 1), exact=True),
        Case("split", image, lambda x: paddle.split(x, 2, 1)),
        Case("split_sections", image, lambda x: paddle.split(x, [1, 3], 1)),
        Case("stack", pair, lambda x, y: paddle.stack([x, y], 1)),
        Case("unstack", image, lambda x: paddle.unstack(x, 1)),
        Case("unbind", image, lambda x: paddle.unbind(x, 1)),
        Case("slice", image, lambda x: x[:, 1:3, 2:, :-1]),
        Case("slice_decrease", image, lambda x: x[:, 1]),
        Case("slice_int64", (ints(3, 4),), lambda x: x[:, 1:3], exact=True),
        Case("strided_slice", image, lambda x: x[:, :, ::2, 1::3]),
        Case("transpose", image, lambda x: paddle.transpose(x, [0, 2, 3, 1])),
        Case("transpose_int64", (ints(3, 4, 2),), lambda x: paddle.transpose(x, [0, 2, 1]), exact=True),
        Case("reshape", image, lambda x: paddle.reshape(x, [0, -1])),
        Case("flatten", image, lambda x: paddle.flatten(x, 1)),
        Case("squeeze", (floats(2, 1, 4, 1),), lambda x: paddle.squeeze(x, [1, 3])),
        Case("unsqueeze", matrix, lambda x: paddle.unsqueeze(x, [1, 3])),
        Case("expand", (floats(2, 1, 4),), lambda x: paddle.expand(x, [2, 3, 4])),
        Case("tile", matrix, lambda x: paddle.tile(x, [1, 3])),
        Case("gather", (floats(5, 4), ints(3, high=5)), paddle.gather),
        Case("gather_nd", (floats(5, 4), ints(3, 1, high=5)), paddle.gather_nd),
        Case("index_select", (floats(5, 4), ints(3, high=5)), lambda x, y: paddle.index_select(x, y)),
        Case("embedding", (ints(3, 4),), lambda x: static.nn.embedding(x, (10, 6))),
        Case("pad2d", image, lambda x: F.pad(x, [1, 2, 0, 1], value=0.5)),
        Case("pad_reflect", image, lambda x: F.pad(x, [1, 2, 0, 1], mode="reflect")),
        Case("nearest", image, lambda x: F.interpolate(x, scale_factor=2, mode="nearest")),
        Case("nearest_size", image, lambda x: F.interpolate(x, size=[12, 7], mode="nearest")),
        Case("bilinear", image, lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
        Case(
            "bilinear_corners",
            image,
            lambda x: F.interpolate(x, size=[15, 17], mode="bilinear", align_corners=True),
        ),
        Case("reduce_mean", image, lambda x: paddle.mean(x, [2, 3])),
        Case("reduce_mean_keep", image, lambda x: paddle.mean(x, 1, keepdim=True)),
        Case("reduce_sum", image, lambda x: paddle.sum(x, -1)),
        Case("reduce_max", image, lambda x: paddle.max(x, [2, 3])),
        Case("reduce_min", image, lambda x: paddle.min(x, 1)),
        Case("reduce_prod", matrix, lambda x: paddle.prod(x, 1)),
        Case("argmax", image, lambda x: paddle.argmax(x, 1), exact=True),
        Case("topk", matrix, lambda x: list(paddle.topk(x, 3))),
        Case("argsort", matrix, paddle.argsort, exact=True),
        Case("cast_int64", image, lambda x: paddle.cast(x, "int64"), exact=True),
        Case("cast_int32", image, lambda x: paddle.cast(x, "int32"), exact=True),
        Case("cast_float", (ints(3, 4),), lambda x: paddle.cast(x, "float32"), exact=True),
        Case("cast_bool", image, lambda x: paddle.cast(paddle.cast(x > 0, "bool"), "float32"), exact=True),
        Case("shape", image, paddle.shape, exact=True),
        Case("where", pair, lambda x, y: paddle.where(x > 0, x, y)),
        Case("compare", pair, lambda x, y: paddle.cast(x < y, "int32"), exact=True),
        Case(
            "equal",
            (ints(3, 4), ints(3, 4)),
            lambda x, y: paddle.cast(paddle.equal(x, y), "int32"),
            exact=True,
        ),
        Case(
            "logical",
            pair,
            lambda x, y: paddle.cast(paddle.logical_not(paddle.logical_and(x > 0, y > 0)), "int32"),
            exact=True,
        ),
        Case("cumsum", matrix, lambda x: paddle.cumsum(x, 1)),
        Case("one_hot", (ints(3),), lambda x: F.one_hot(x, 10)),
        Case("pixel_shuffle", image, lambda x: F.pixel_shuffle(x, 2)),
        Case("channel_shuffle", image, lambda x: F.channel_shuffle(x, 2)),
        Case(
            "shuffle_by_transpose",
            (floats(2, 4, 3, 5),),
            lambda x: paddle.reshape(
                paddle.transpose(paddle.reshape(x, [0, 2, 2, 3, 5]), [0, 2, 1, 3, 4]), [0, 4, 3, 5]
            ),
        ),
        Case("grid_sample", (IMAGE, floats(2, 5, 6, 2, low=-1, high=1)), F.grid_sample),
        Case("p_norm", matrix, lambda x: paddle.norm(x, 2, 1)),
        Case("normalize", matrix, lambda x: F.normalize(x)),
        Case("fill_constant", image, lambda x: x + paddle.full([1, 4, 1, 1], 0.5)),
        Case("flip", image, lambda x: paddle.flip(x, [3])),
        Case("reverse", image, lambda x: append_op("reverse", {"X": x}, OUT, {"axis": [1, -1]})[0]),
        Case("roll", matrix, lambda x: paddle.roll(x, 2, 1)),
        Case("swap_squeeze_excite", image, squeeze_excite),
        Case("add_scalar", image, lambda x: x * 2.0 + 1.0),
        Case("unfold", image, lambda x: F.unfold(x, 3)),
        Case("affine_channel", (floats(2, 4, 5, 4),), affine_channel),
        Case("round", image, paddle.round),
        Case("assign", image, lambda x: F.relu(paddle.assign(x))),
        Case("full_like", image, lambda x: x + paddle.full_like(x, 0.5)),
        Case("expand_as", (floats(2, 1, 4), floats(2, 3, 4)), paddle.expand_as),
        Case("greater_equal", pair, lambda x, y: paddle.cast(x >= y, "int32"), exact=True),
        Case("less_equal", (ints(3, 4), ints(3, 4)), lambda x, y: paddle.cast(x <= y, "int32"), exact=True),
        Case("not_equal", (ints(3, 4), ints(3, 4)), lambda x, y: paddle.cast(x != y, "int64"), exact=True),
        Case(
            "logical_or", pair, lambda x, y: paddle.cast(paddle.logical_or(x > 0, y > 0), "int32"), exact=True
        ),
        Case("linspace", matrix, lambda x: x + paddle.linspace(0, 1, 8)),
        Case("arange", matrix, lambda x: x + paddle.cast(paddle.arange(8), "float32")),
        Case("meshgrid", matrix, lambda x: [x, *paddle.meshgrid(paddle.arange(3.0), paddle.arange(4.0))]),
        Case("mul", matrix, lambda x: append_op("mul", {"X": x, "Y": matrix_weight()}, OUT, {})[0]),
        Case("matmul_v1", matrix, lambda x: append_op("matmul", {"X": x, "Y": matrix_weight()}, OUT, {})[0]),
        Case("matmul_v1_bias", matrix, matmul_with_bias),
        Case("pad3d", (floats(1, 2, 3, 4, 5),), lambda x: F.pad(x, [1, 1, 0, 1, 1, 0], data_format="NCDHW")),
        Case("reduce_all", matrix, lambda x: paddle.cast(paddle.all(x > -1.9, 1), "int32"), exact=True),
        Case("reduce_any", matrix, lambda x: paddle.cast(paddle.any(x > 1.0, 1), "int32"), exact=True),
        Case("scatter_nd_add", (floats(5, 4), ints(3, 1, high=5), floats(3, 4)), paddle.scatter_nd_add),
        Case("add_n", pair, lambda x, y: paddle.add_n([x, y])),
        Case("tril", (floats(2, 5, 5),), paddle.tril),
        Case("temporal_shift", (floats(4, 8, 3, 3),), lambda x: F.temporal_shift(x, 2, 0.25)),
        Case("max_pool_index", image, lambda x: F.max_pool2d(x, 2, 2, return_mask=True)[0]),
        Case("nonzero", (ints(3, 4, high=2),), paddle.nonzero, exact=True),
        Case("inverse", (floats(2, 3, 3),), paddle.inverse),
        Case("crop", matrix, lambda x: paddle.crop(x, [2, 4], [1, 2])),
        Case("gru", (floats(2, 4, 6),), lambda x: recurrent("GRU", x)),
        Case("lstm", (floats(2, 4, 6),), lambda x: recurrent("LSTM", x)),
        Case("batch_size_like", matrix, batch_size_like),
        Case("deformable_conv", (IMAGE, floats(2, 18, 7, 8), floats(2, 9, 7, 8, low=0)), deformable_conv),
        Case(
            "l2_norm",
            matrix,
            lambda x: append_op("norm", {"X": x}, OUT | {"Norm": "float32"}, {"axis": 1})[0],
        ),
        Case("bitwise_and", (ints(3, 4), ints(3, 4)), paddle.bitwise_and, exact=True),
        Case("log1p_by_log", positive, lambda x: paddle.log(x + 1.0)),
        Case("attention", (floats(2, 5, 8),), attention),
        Case(
            "local_response_norm",
            image,
            lambda x: append_op("lrn", {"X": x}, {"Out": "float32", "MidOut": "float32"}, {"n": 5})[0],
        ),
    ]
    return [*found, *detection_cases()]


def matrix_weight() -> Any:
    return parameter(8, 5)


def matmul_with_bias(x: Any) -> Any:
    product = append_op("matmul", {"X": x, "Y": matrix_weight()}, OUT, {})[0]
    return F.relu(product + parameter(5))


def recurrent(kind: str, x: Any) -> Any:
    return getattr(paddle.nn, kind)(6, 5)(x)[0]


def batch_size_like(x: Any) -> Any:
    attrs = {"shape": [-1, 8], "value": 0.5, "dtype": 5}
    return x + append_op("fill_constant_batch_size_like", {"Input": x}, OUT, attrs)[0]


def deformable_conv(x: Any, offset: Any, mask: Any) -> Any:
    return paddle.vision.ops.deform_conv2d(x, offset, parameter(6, 4, 3, 3), mask=mask)


def attention(x: Any) -> Any:
    query, key, value = (paddle.nn.Linear(8, 8)(x) for _ in range(3))
    heads = [paddle.transpose(paddle.reshape(t, [0, 5, 2, 4]), [0, 2, 1, 3]) for t in (query, key, value)]
    weights = F.softmax(paddle.matmul(heads[0] * 0.5, heads[1], transpose_y=True))
    joined = paddle.reshape(paddle.transpose(paddle.matmul(weights, heads[2]), [0, 2, 1, 3]), [0, 5, 8])
    return paddle.nn.LayerNorm(8)(paddle.nn.Linear(8, 8)(joined) + x)


def squeeze_excite(x: Any) -> Any:
    pooled = F.adaptive_avg_pool2d(x, 1)
    squeezed = F.relu(conv(2, 1)(pooled))
    return x * F.hardsigmoid(conv(4, 1)(squeezed))


def affine_channel(x: Any) -> Any:
    scale = paddle.create_parameter(
        [4], "float32", default_initializer=paddle.nn.initializer.Uniform(0.5, 2.0)
    )
    bias = paddle.create_parameter(
        [4], "float32", default_initializer=paddle.nn.initializer.Uniform(-1.0, 1.0)
    )
    return append_op("affine_channel", {"X": x, "Scale": scale, "Bias": bias}, {"Out": "float32"}, {})[0]


def instance_norm(x: Any) -> Any:
    return paddle.nn.InstanceNorm2D(4)(x)


CASES = {case.name: case for case in _cases()}
