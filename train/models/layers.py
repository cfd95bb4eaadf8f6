"""Convolution with batch norm and the head of classifiers, as the static networks here use them.

Nothing is passed by a generated name: every parameter and statistic is named by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qcc._paddle import paddle


@dataclass(frozen=True)
class NormNames:
    """Names of a batch norm's scale, offset, moving mean and moving variance."""

    scale: str
    offset: str
    mean: str
    variance: str


def convolution(data: Any, channels: int, kernel: int, weight: str, stride: int = 1, groups: int = 1) -> Any:
    """Append a convolution without bias whose output, at stride 1, is as high and wide as its input."""
    return paddle.static.nn.conv2d(
        data,
        channels,
        kernel,
        stride=stride,
        padding=(kernel - 1) // 2,
        groups=groups,
        param_attr=paddle.ParamAttr(name=weight),
        bias_attr=False,
        # With use_cudnn Paddle emits a grouped conv2d where the depthwise operator is meant.
        use_cudnn=groups == 1,
    )


def batch_norm(data: Any, names: NormNames, decay: float, activation: str | None = None) -> Any:
    """Append a batch norm; `decay`: L2 factor of its scale and offset; `activation`: "relu" or None."""
    regularizer = paddle.regularizer.L2Decay(decay)
    return paddle.static.nn.batch_norm(
        data,
        act=activation,
        param_attr=paddle.ParamAttr(name=names.scale, regularizer=regularizer),
        bias_attr=paddle.ParamAttr(name=names.offset, regularizer=regularizer),
        moving_mean_name=names.mean,
        moving_variance_name=names.variance,
    )


def pooled_logits(data: Any, num_classes: int, weight: str, offset: str) -> Any:
    """Append a mean over all places and a matrix product; `data`: [N, C, H, W]. Returns [N, num_classes]."""
    return paddle.static.nn.fc(
        paddle.nn.functional.adaptive_avg_pool2d(data, 1),
        num_classes,
        weight_attr=paddle.ParamAttr(name=weight),
        bias_attr=paddle.ParamAttr(name=offset),
    )
