"""MobileNetV1 (Howard et al. 2017, arXiv:1704.04861) as a static network.

Parameter names are those of Paddle's own model zoo (`conv2_1_dw_weights`, `conv1_bn_scale`, ...), so that
weights trained elsewhere with those names fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qcc.train.models.layers import NormNames, batch_norm, convolution, pooled_logits
from qcc.train.models.strides import IMAGENET_STRIDES

# (name, input channels, output channels) of the 13 depthwise-separable blocks at width 1.
BLOCKS = (
    ("conv2_1", 32, 64),
    ("conv2_2", 64, 128),
    ("conv3_1", 128, 128),
    ("conv3_2", 128, 256),
    ("conv4_1", 256, 256),
    ("conv4_2", 256, 512),
    ("conv5_1", 512, 512),
    ("conv5_2", 512, 512),
    ("conv5_3", 512, 512),
    ("conv5_4", 512, 512),
    ("conv5_5", 512, 512),
    ("conv5_6", 512, 1024),
    ("conv6", 1024, 1024),
)
FIRST_CHANNELS = 32


@dataclass(frozen=True)
class MobileNetV1:
    """`scale` multiplies every channel count; `strides`: 14 numbers, first convolution, then blocks;
    `norm_decay`: L2 factor of the batch norms' scales and offsets (0: none)."""

    scale: float
    strides: tuple[int, ...] = IMAGENET_STRIDES
    norm_decay: float = 0.0

    def logits(self, image: Any, num_classes: int) -> Any:
        """Append the classifier to the current program.

        `image`: float32 variable [N, C, H, W]. Returns float32 [N, num_classes], named `fc_0.tmp_1` in a
        fresh program.
        """
        return pooled_logits(self.features(image)[-1], num_classes, "fc7_weights", "fc7_offset")

    def features(self, image: Any) -> list[Any]:
        """Append the convolutional part; returns the outputs of the first convolution and of every block."""
        outputs = [self._conv_bn(image, self._width(FIRST_CHANNELS), 3, self.strides[0], "conv1")]
        for (name, channels_in, channels_out), stride in zip(BLOCKS, self.strides[1:], strict=True):
            groups = self._width(channels_in)
            depthwise = self._conv_bn(outputs[-1], groups, 3, stride, f"{name}_dw", groups)
            pointwise = self._conv_bn(depthwise, self._width(channels_out), 1, 1, f"{name}_sep")
            outputs.append(pointwise)
        return outputs

    def _width(self, channels: int) -> int:
        return max(1, int(channels * self.scale))

    def _conv_bn(self, data: Any, channels: int, kernel: int, stride: int, name: str, groups: int = 1) -> Any:
        conv = convolution(data, channels, kernel, f"{name}_weights", stride, groups)
        norm = f"{name}_bn"
        names = NormNames(f"{norm}_scale", f"{norm}_offset", f"{norm}_mean", f"{norm}_variance")
        return batch_norm(conv, names, self.norm_decay, "relu")
