"""A data set and a network small enough to train in a test."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import write_config


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


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def tiny_config(tmp_path: Path, tiny_images: Path) -> Path:
    """A configuration file whose training takes a second; it may be changed."""
    return write_config(tmp_path, tiny_images)
