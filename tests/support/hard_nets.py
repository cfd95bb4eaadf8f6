"""Classifiers that are hard to quantize on purpose, and compute what an easy one computes.

Each is made of the same small network by rescaling that the function does not show: a channel is multiplied
where it is made, and divided where it is read. So the float network is right on the same share of images, and
whatever a quantized one loses is due to ranges alone.

    for name in KINDS:
        net = hard_net(name)
        frozen = qcc.quantize(net.model, net.calibration, "accurate")
        print(name, net.agreement(frozen))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from lite_case import F, build_model, static

from qcc._paddle import paddle
from qcc.model import Model, Runner

CLASSES = 32
SIDE = 12
FEED = "x0"
Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class HardNet:
    """A float model, batches of one image to calibrate on, and one large batch of other images to test on."""

    model: Model
    calibration: list[Batch]
    test: Batch

    def agreement(self, quantized: Model) -> float:
        """The share of test images that get the class that the float model gives them."""
        wanted, found = (Runner(model).run(self.test)[0] for model in (self.model, quantized))
        return float(np.mean(wanted.argmax(-1) == found.argmax(-1)))


def _images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patterns with noise, and the class of each."""
    patterns = np.random.default_rng(0).standard_normal((CLASSES, 3, SIDE, SIDE))
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    noise = random.standard_normal((count, 3, SIDE, SIDE))
    return (patterns[labels] + 1.3 * noise).astype(np.float32), labels


def _net(image: Any) -> Any:
    """A convolution, a depthwise one with a factor per channel behind it, two more, and an fc layer."""
    x = F.relu(static.nn.conv2d(image, 16, 3, padding=1, param_attr="first", bias_attr="first.b"))
    x = static.nn.conv2d(x, 16, 3, padding=1, groups=16, param_attr="depthwise", bias_attr=False)
    x = x * paddle.static.create_parameter([1, 16, 1, 1], "float32", name="factor")
    x = F.relu(x)
    x = F.relu(static.nn.conv2d(x, 32, 1, param_attr="pointwise", bias_attr="pointwise.b"))
    x = F.relu(static.nn.conv2d(x, 32, 3, stride=2, padding=1, param_attr="last", bias_attr="last.b"))
    features = paddle.flatten(F.avg_pool2d(x, 2), 1)
    return paddle.nn.Linear(features.shape[1], CLASSES, weight_attr="fc", bias_attr="fc.b")(features)


@cache
def _easy() -> Model:
    """The network as it is before it is made hard: random but for the last layer, which is fitted."""
    model = build_model(_net, (np.zeros((1, 3, SIDE, SIDE), np.float32),))
    random = np.random.default_rng(5)
    for name, value in model.weights.items():
        if value.ndim == 4 and name != "factor":
            spread = np.sqrt(2 / np.prod(value.shape[1:]))
            model.weights[name] = (spread * random.standard_normal(value.shape)).astype(np.float32)
    model.weights["factor"] = np.ones((1, 16, 1, 1), np.float32)
    images, labels = _images(2000, 1)
    last = next(op for op in model.graph.ops if "fc" in [var.name for var in op.all_inputs()])
    features = Runner(model).run({FEED: images}, (last.input("X").name,))[0].astype(np.float64)
    wanted = np.eye(CLASSES)[labels] - 1 / CLASSES
    gram = features.T @ features
    gram += 1e-2 * np.trace(gram) / len(gram) * np.eye(len(gram))
    model.weights["fc"] = np.linalg.solve(gram, features.T @ wanted).astype(np.float32)
    model.weights["fc.b"] = np.zeros(CLASSES, np.float32)
    return model


def _scale(model: Model, name: str, axis: int, factors: np.ndarray) -> None:
    """Multiply a weight along an axis."""
    value = model.weights[name]
    shape = [1] * value.ndim
    shape[axis] = -1
    model.weights[name] = (value * factors.reshape(shape)).astype(np.float32)


def _spread(count: int) -> np.ndarray:
    """1 to 1000, in a mixed order."""
    return np.random.default_rng(2).permutation(np.geomspace(1, 1000, count))


def _easy_net(model: Model, calibration: list[Batch]) -> None:
    pass


def _depthwise_weights(model: Model, calibration: list[Batch]) -> None:
    factors = _spread(16)
    _scale(model, "depthwise", 0, factors)
    _scale(model, "factor", 1, 1 / factors)


def _activation(model: Model, calibration: list[Batch]) -> None:
    factors = _spread(32)
    _scale(model, "pointwise", 0, factors)
    _scale(model, "pointwise.b", 0, factors)
    _scale(model, "last", 1, 1 / factors)


def _one_channel(model: Model, calibration: list[Batch]) -> None:
    factors = np.ones(16)
    factors[3] = 200
    _scale(model, "first", 0, factors)
    _scale(model, "first.b", 0, factors)
    _scale(model, "depthwise", 0, 1 / factors)


def _image_not_normalized(model: Model, calibration: list[Batch]) -> None:
    calibration[4] = {FEED: calibration[4][FEED] * 64 + 128}


KINDS: dict[str, Callable[[Model, list[Batch]], None]] = {
    "easy": _easy_net,
    "depthwise weights 1 : 1000": _depthwise_weights,
    "activation 1 : 1000": _activation,
    "one channel 200 times the others": _one_channel,
    "one image not normalized": _image_not_normalized,
}


def hard_net(kind: str, calibration: int = 24, test: int = 1000) -> HardNet:
    """The network of a kind, with so many images."""
    model = _easy().copy()
    batches = [{FEED: image[np.newaxis]} for image in _images(calibration, 3)[0]]
    KINDS[kind](model, batches)
    return HardNet(model, batches, {FEED: _images(test, 4)[0]})
