"""A small network in the manner of MobileNetV3 (Howard et al. 2019, arXiv:1905.02244) for grey images."""

from __future__ import annotations

import paddle
from paddle import nn

# Channels inside a block, channels behind it, stride, whether channels are weighed.
BLOCKS = ((16, 16, 2, True), (72, 24, 2, False), (88, 24, 1, False), (96, 40, 2, True), (120, 40, 1, True))


class ConvNorm(nn.Sequential):
    def __init__(self, into: int, out: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True):
        conv = nn.Conv2D(into, out, kernel, stride, kernel // 2, groups=groups, bias_attr=False)
        super().__init__(conv, nn.BatchNorm2D(out), *([nn.Hardswish()] if act else []))


class SqueezeExcite(nn.Layer):
    """Weighs channels by what all places together say."""

    def __init__(self, channels: int):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.squeeze = nn.Conv2D(channels, channels // 4, 1)
        self.excite = nn.Conv2D(channels // 4, channels, 1)

    def forward(self, x):
        found = nn.functional.relu(self.squeeze(self.pool(x)))
        return x * nn.functional.hardsigmoid(self.excite(found))


class Block(nn.Layer):
    """An inverted residual."""

    def __init__(self, into: int, inside: int, out: int, stride: int, weighed: bool):
        super().__init__()
        self.residual = stride == 1 and into == out
        self.layers = nn.Sequential(
            ConvNorm(into, inside, 1),
            ConvNorm(inside, inside, 3, stride, groups=inside),
            *([SqueezeExcite(inside)] if weighed else []),
            ConvNorm(inside, out, 1, act=False),
        )

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


class SmallMobileNet(nn.Layer):
    """[N, 1, 28, 28] to scores [N, classes]."""

    def __init__(self, classes: int = 10):
        super().__init__()
        self.stem = ConvNorm(1, 16, 3)
        widths = [16, *(out for _, out, _, _ in BLOCKS)]
        self.blocks = nn.Sequential(*(Block(into, *row) for into, row in zip(widths, BLOCKS, strict=False)))
        self.head = ConvNorm(widths[-1], 160, 1)
        self.dropout = nn.Dropout(0.1)
        self.classify = nn.Linear(160, classes)

    def forward(self, image):
        features = self.head(self.blocks(self.stem(image)))
        return self.classify(self.dropout(paddle.mean(features, axis=[2, 3])))
