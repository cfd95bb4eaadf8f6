"""ResNet (He et al. 2015, arXiv:1512.03385) as a static network.

Parameter names are those of Paddle's own model zoo (`res2a_branch2a_weights`, `bn2a_branch2a_scale`, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qcc._paddle import paddle
from qcc.train.models.layers import NormNames, batch_norm, convolution, pooled_logits

# Blocks per stage; a stage's first block, but for the first stage's, halves the resolution.
_STAGES = {34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_CHANNELS = (64, 128, 256, 512)
_BOTTLENECK_FROM = 50
_EXPANSION = 4


@dataclass(frozen=True)
class ResNet:
    """`depth`: 34 or 50; `norm_decay`: L2 factor of the batch norms' scales and offsets."""

    depth: int
    norm_decay: float = 0.0

    def logits(self, image: Any, num_classes: int) -> Any:
        """Append the classifier; `image`: float32 [N, C, H, W]. Returns float32 [N, num_classes]."""
        return pooled_logits(self.features(image)[-1], num_classes, "fc_0.w_0", "fc_0.b_0")

    def features(self, image: Any) -> list[Any]:
        """Append the convolutional part; returns the outputs of the four stages, of stride 4, 8, 16, 32."""
        data = self._conv_bn(image, 64, 7, 2, "conv1", "bn_conv1", "relu")
        data = paddle.nn.functional.max_pool2d(data, 3, stride=2, padding=1)
        outputs = []
        for stage, blocks in enumerate(_STAGES[self.depth]):
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 0 else 1
                name = f"{stage + 2}{chr(ord('a') + block)}"
                data = self._block(data, _CHANNELS[stage], stride, name)
            outputs.append(data)
        return outputs

    def _block(self, data: Any, channels: int, stride: int, name: str) -> Any:
        branch = self._bottleneck if self.depth >= _BOTTLENECK_FROM else self._basic
        result = branch(data, channels, stride, name)
        if result.shape[1] != data.shape[1] or stride > 1:
            data = self._branch(data, result.shape[1], 1, stride, f"{name}_branch1", None)
        return paddle.nn.functional.relu(paddle.add(result, data))

    def _basic(self, data: Any, channels: int, stride: int, name: str) -> Any:
        data = self._branch(data, channels, 3, stride, f"{name}_branch2a", "relu")
        return self._branch(data, channels, 3, 1, f"{name}_branch2b", None)

    def _bottleneck(self, data: Any, channels: int, stride: int, name: str) -> Any:
        data = self._branch(data, channels, 1, 1, f"{name}_branch2a", "relu")
        data = self._branch(data, channels, 3, stride, f"{name}_branch2b", "relu")
        return self._branch(data, channels * _EXPANSION, 1, 1, f"{name}_branch2c", None)

    def _branch(
        self, data: Any, channels: int, kernel: int, stride: int, name: str, activation: str | None
    ) -> Any:
        return self._conv_bn(data, channels, kernel, stride, f"res{name}", f"bn{name}", activation)

    def _conv_bn(
        self, data: Any, channels: int, kernel: int, stride: int, conv: str, norm: str, activation: str | None
    ) -> Any:
        names = NormNames(f"{norm}_scale", f"{norm}_offset", f"{norm}_mean", f"{norm}_variance")
        convolved = convolution(data, channels, kernel, f"{conv}_weights", stride)
        return batch_norm(convolved, names, self.norm_decay, activation)
