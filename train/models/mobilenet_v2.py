"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) as a static network.

Parameter names are those of Paddle's own model zoo (`conv2_1_expand_weights`, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qcc._paddle import paddle
from qcc.train.models.layers import NormNames, batch_norm, convolution, pooled_logits

# (expansion, channels, blocks, stride of the first block), table 2 of the paper.
_GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_FIRST_CHANNELS, _LAST_CHANNELS = 32, 1280


@dataclass(frozen=True)
class MobileNetV2:
    """`scale` multiplies channel counts (the last convolution's only when above 1); `norm_decay`: L2 factor
    of the batch norms' scales and offsets."""

    scale: float = 1.0
    norm_decay: float = 0.0

    def logits(self, image: Any, num_classes: int) -> Any:
        """Append the classifier; `image`: float32 [N, C, H, W]. Returns float32 [N, num_classes]."""
        data = self._conv_bn(image, self._width(_FIRST_CHANNELS), 3, "conv1_1", stride=2)
        for number, (expansion, channels, blocks, stride) in enumerate(_GROUPS, 2):
            for block in range(blocks):
                name = f"conv{number}_{block + 1}"
                data = self._block(data, self._width(channels), stride if block == 0 else 1, expansion, name)
        data = self._conv_bn(data, int(_LAST_CHANNELS * max(1.0, self.scale)), 1, "conv9")
        return pooled_logits(data, num_classes, "fc10_weights", "fc10_offset")

    def _width(self, channels: int) -> int:
        return max(1, int(channels * self.scale))

    def _block(self, data: Any, channels: int, stride: int, expansion: int, name: str) -> Any:
        """An inverted residual: expand, filter per channel, project without an activation."""
        wide = data.shape[1] * expansion
        result = self._conv_bn(data, wide, 1, f"{name}_expand")
        result = self._conv_bn(result, wide, 3, f"{name}_dwise", stride=stride, groups=wide)
        result = self._conv_bn(result, channels, 1, f"{name}_linear", activation=False)
        if stride == 1 and channels == data.shape[1]:
            return paddle.add(data, result)
        return result

    def _conv_bn(
        self,
        data: Any,
        channels: int,
        kernel: int,
        name: str,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> Any:
        names = NormNames(f"{name}_bn_scale", f"{name}_bn_offset", f"{name}_bn_mean", f"{name}_bn_variance")
        convolved = convolution(data, channels, kernel, f"{name}_weights", stride, groups)
        normed = batch_norm(convolved, names, self.norm_decay)
        return paddle.nn.functional.relu6(normed) if activation else normed
