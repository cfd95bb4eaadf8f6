"""A data set and a network small enough to train in a test."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

TINY_CONFIG = """\
architecture: MobileNetV1
num_classes: 10
image_shape: [1, 28, 28]
seed: 3
save_dir: {folder}/output
MobileNetV1:
  scale: 0.07
  strides: [2, 2, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
FloatTraining:
  epochs: 1
  LearningRate: {{base_lr: 0.05}}
LearningRate:
  base_lr: 0.01
  schedulers:
  - !PiecewiseDecay {{gamma: 0.1, milestones: [6]}}
OptimizerBuilder:
  regularizer: {{type: L2, factor: 0.0005}}
NormalizeImage: {{mean: 0.286, std: 0.353}}
ClassifierTrainFeed:
  batch_size: 16
  dataset: {{dataset_dir: {folder}/images}}
  padding: 2
  flip_probability: 0.5
ClassifierEvalFeed:
  batch_size: 10
  dataset: {{dataset_dir: {folder}/images}}
"""


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Fashion-MNIST's with 64 training and 20 test images; the class is the brightness."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for prefix, count in (("train", 64), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = random.integers(0, 30, (count, 28, 28), np.uint8) + labels[:, None, None] * 22
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images.astype(np.uint8))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture
def tiny_config(tmp_path: Path, tiny_images: Path) -> Path:
    """A configuration file that trains in a second: 4 steps per epoch."""
    path = tmp_path / "tiny.yml"
    text = TINY_CONFIG.replace("{folder}/images", str(tiny_images)).format(folder=tmp_path)
    path.write_text(text)
    return path


@pytest.fixture
def write_slim(tmp_path: Path) -> Callable[..., Path]:
    """Writes a slim file; keyword arguments go into the strategy."""

    def write(epoch: int, checkpoints: Path, **strategy: object) -> Path:
        path = tmp_path / f"slim-{checkpoints.name}.yaml"
        lines = [f"    {key}: {value}\n" for key, value in strategy.items()]
        path.write_text(
            "strategies:\n  q:\n    class: QuantizationStrategy\n"
            + "".join(lines)
            + f"compressor:\n  epoch: {epoch}\n  checkpoint_path: {checkpoints}\n  strategies: [q]\n"
        )
        return path

    return write
