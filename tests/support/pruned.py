"""MobileNetV1 with fewer channels than any factor on all of them would give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc.model import Model
from qcc.train.config import ClassifierConfig, load_config
from qcc.train.models.classifier import build_classifier
from qcc.train.models.mobilenet_v1 import BLOCKS, MobileNetV1
from qcc.train.models.network import Network

_CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG = _CONFIGS / "mobilenet_v1_fashion_mnist.yml"
SOURCE = _CONFIGS / "weights" / "mobilenet_v1_x0_25_fashion_mnist.npz"

Weights = dict[str, NDArray[Any]]
_PER_CHANNEL = ("bn_scale", "bn_offset", "bn_mean", "bn_variance")


def prune(weights: Weights, removed: int) -> Weights:
    """Without the smallest channels, by the L1 norm of their filters, of a classifier MobileNetV1.

    The first convolution keeps all, the n-th block loses n * `removed`, as far as 2 channels are left.
    """
    pruned = dict(weights)
    kept = np.arange(len(weights["conv1_weights"]))
    for number, (name, _, _) in enumerate(BLOCKS, 1):
        _keep_filters(pruned, f"{name}_dw", kept)
        filters = pruned[f"{name}_sep_weights"][:, kept]
        pruned[f"{name}_sep_weights"] = filters
        sizes = np.abs(filters).sum(axis=(1, 2, 3))
        kept = np.sort(np.argsort(sizes)[min(number * removed, len(sizes) - 2) :])
        _keep_filters(pruned, f"{name}_sep", kept)
    return pruned | {"fc7_weights": weights["fc7_weights"][kept]}


def _keep_filters(weights: Weights, name: str, kept: NDArray[np.int64]) -> None:
    for key in (f"{name}_weights", *(f"{name}_{part}" for part in _PER_CHANNEL)):
        weights[key] = weights[key][kept]


def hand_built(weights: Weights) -> Network:
    """The network of `CONFIG` with the widths of `weights`, written down layer by layer."""
    config = load_config(CONFIG)
    assert isinstance(config, ClassifierConfig)
    net = _HandBuilt(0.25, config.mobilenet_v1.strides, weights=weights)
    return build_classifier(lambda image: net.logits(image, 10), config.image_shape)


def scores(model: Model) -> NDArray[np.float32]:
    """What a model of `CONFIG` makes of four images."""
    image = np.random.default_rng(0).uniform(-0.8, 1.6, (4, 1, 28, 28)).astype(np.float32)
    (probabilities,) = model.run({"image": image})
    return probabilities


@dataclass(frozen=True)
class _HandBuilt(MobileNetV1):
    weights: Weights | None = None

    def _conv_bn(self, data: Any, channels: int, kernel: int, stride: int, name: str, groups: int = 1) -> Any:
        assert self.weights is not None
        width = len(self.weights[f"{name}_weights"])
        return super()._conv_bn(data, width, kernel, stride, name, width if name.endswith("_dw") else 1)
