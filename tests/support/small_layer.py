"""A small layer to train, images that it learns, and how it is trained."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from qcc._paddle import paddle
from qcc.train import FitResult, fit
from qcc.train.config import QuantizationStrategy

nn = paddle.nn
SPECS = {
    "input_spec": [paddle.static.InputSpec([None, 1, 6, 6], name="image")],
    "label_spec": [paddle.static.InputSpec([None, 1], "int64", "label")],
}
# So that what training does is what it does in float.
FINE = QuantizationStrategy(
    weight_bits=16,
    activation_bits=16,
    weight_quantize_type="channel_wise_abs_max",
    activation_quantize_type="abs_max",
)
SIZE = 16
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.standard_normal((64, 1, 6, 6)).astype(np.float32)
LABELS = (IMAGES[:, :, :3].mean((1, 2, 3)) > IMAGES[:, :, 3:].mean((1, 2, 3))).astype(np.int64)[:, None]


class Small(nn.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(1, 4, 3)
        self.norm = nn.BatchNorm2D(4)
        self.fc = nn.Linear(64, 2)

    def forward(self, image):  # type: ignore[no-untyped-def]
        return self.fc(nn.functional.relu(self.norm(self.conv(image))).flatten(1))


def batches(epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(epoch).permutation(len(IMAGES))
    return [(IMAGES[part], LABELS[part]) for part in np.split(order, len(order) // SIZE)]


def accuracy(predict: Callable[[np.ndarray], np.ndarray]) -> float:
    return float((predict(IMAGES).argmax(1) == LABELS[:, 0]).mean())


def fitted(layer: nn.Layer, folder: Path, train: Any = batches, **more: Any) -> FitResult:
    given = {**SPECS, "loss": nn.CrossEntropyLoss(), "learning_rate": 0.1, "epochs": 3, **more}
    console = given.pop("console", Console(file=io.StringIO()))
    metric = given.pop("metric", accuracy)
    return fit(layer, train, metric, folder=folder, console=console, **given)
