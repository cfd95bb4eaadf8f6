"""Networks of the structure of known ones, deep or with attention, in small: differences grow in depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lite_case import F, build_model, floats, static
from lite_nets import conv_bn, linear, yolov3

from qcc._paddle import paddle
from qcc.model import Model

Net = tuple[Model, dict[str, np.ndarray]]


def depthwise(x: Any, channels: int, size: int, stride: int, squeezed: bool) -> Any:
    """A block of PP-LCNet: depthwise, squeeze-and-excite in the last ones, pointwise; hardswish all over."""
    y = conv_bn(x, x.shape[1], size, stride, F.hardswish, groups=x.shape[1])
    if squeezed:
        gate = F.relu(static.nn.conv2d(F.adaptive_avg_pool2d(y, 1), y.shape[1] // 4, 1))
        y = y * F.hardsigmoid(static.nn.conv2d(gate, y.shape[1], 1))
    return conv_bn(y, channels, 1, 1, F.hardswish)


def pp_lcnet() -> Net:
    """All 13 blocks of PP-LCNet, narrow."""
    blocks = [(16, 3, 1), (32, 3, 2), (32, 3, 1), (64, 3, 2), (64, 3, 1), (96, 3, 2), *[(96, 5, 1)] * 5]

    def build(image: Any) -> Any:
        x = conv_bn(image, 8, 3, 2, F.hardswish)
        for channels, size, stride in blocks:
            x = depthwise(x, channels, size, stride, squeezed=False)
        for stride in (2, 1):
            x = depthwise(x, 128, 5, stride, squeezed=True)
        x = F.hardswish(static.nn.conv2d(F.adaptive_avg_pool2d(x, 1), 160, 1))
        return F.softmax(paddle.nn.Linear(160, 10)(paddle.flatten(x, 1)))

    return _classifier(build)


def resnet50_vd() -> Net:
    """All 16 bottlenecks of ResNet50_vd, narrow: a stem of three convolutions, averages in the shortcuts."""

    def bottleneck(x: Any, channels: int, stride: int) -> Any:
        y = conv_bn(conv_bn(x, channels, 1, 1, F.relu), channels, 3, stride, F.relu)
        y = conv_bn(y, 4 * channels, 1, act=linear)
        if x.shape[1] != 4 * channels:
            x = F.avg_pool2d(x, 2, 2, ceil_mode=True) if stride > 1 else x
            x = conv_bn(x, 4 * channels, 1, act=linear)
        return F.relu(x + y)

    def build(image: Any) -> Any:
        x = conv_bn(conv_bn(conv_bn(image, 8, 3, 2, F.relu), 8, 3, 1, F.relu), 16, 3, 1, F.relu)
        x = F.max_pool2d(x, 3, 2, 1)
        for channels, count in ((8, 3), (12, 4), (16, 6), (24, 3)):
            for number in range(count):
                x = bottleneck(x, channels, 2 if number == 0 and channels > 8 else 1)
        return F.softmax(paddle.nn.Linear(96, 10)(paddle.flatten(F.adaptive_avg_pool2d(x, 1), 1)))

    return _classifier(build)


def mobile_vit() -> Net:
    """Convolutions, then two blocks of MobileViT: attention among the patches of a feature map."""

    def attention(x: Any, size: int) -> Any:
        normed = paddle.nn.LayerNorm(size)(x)
        q, k, v = (paddle.nn.Linear(size, size)(normed) for _ in range(3))
        weights = F.softmax(paddle.matmul(q * size**-0.5, k, transpose_y=True))
        x = x + paddle.nn.Linear(size, size)(paddle.matmul(weights, v))
        y = F.swish(paddle.nn.Linear(size, 2 * size)(paddle.nn.LayerNorm(size)(x)))
        return x + paddle.nn.Linear(2 * size, size)(y)

    def block(x: Any, size: int, layers: int) -> Any:
        channels, side = x.shape[1], x.shape[2]
        y = conv_bn(conv_bn(x, channels, 3, 1, F.swish), size, 1, act=linear)
        y = paddle.transpose(paddle.reshape(y, [-1, size, side * side]), [0, 2, 1])
        for _ in range(layers):
            y = attention(y, size)
        y = paddle.reshape(paddle.transpose(y, [0, 2, 1]), [-1, size, side, side])
        y = paddle.concat([x, conv_bn(y, channels, 1, 1, F.swish)], 1)
        return conv_bn(y, channels, 3, 1, F.swish)

    def build(image: Any) -> Any:
        x = conv_bn(image, 16, 3, 2, F.swish)
        for channels in (16, 24):
            y = conv_bn(conv_bn(x, 2 * channels, 1, 1, F.swish), 2 * channels, 3, 2, F.swish, 2 * channels)
            x = conv_bn(y, channels, 1, act=linear)
        x = block(block(x, 32, 2), 40, 3)
        return F.softmax(paddle.nn.Linear(24, 10)(paddle.flatten(F.adaptive_avg_pool2d(x, 1), 1)))

    return _classifier(build)


def _classifier(build: Callable[[Any], Any]) -> Net:
    image = floats(1, 3, 64, 64, low=-1.0, high=1.0)
    return build_model(build, (image,)), {"x0": image}


NETS: dict[str, Callable[[], Net]] = {
    "pp_lcnet": pp_lcnet,
    "resnet50_vd": resnet50_vd,
    "yolov3": yolov3,
    "mobile_vit": mobile_vit,
}
