"""Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747): grey 28 x 28 images of clothes, 10 classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qcc.errors import DataError
from qcc.train.data.idx import read_idx

NUM_CLASSES = 10
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_PREFIX = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class LabelledImages:
    """`images`: uint8 [N, H, W]; `labels`: uint8 [N]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> LabelledImages:
        """The first `count` images and labels."""
        return LabelledImages(self.images[:count], self.labels[:count])


def read_fashion_mnist(folder: Path, split: str) -> LabelledImages:
    """Read the `train` (60,000) or `test` (10,000) split from a folder of IDX files, plain or `.gz`.

    Raises DataError that names the file when one is missing, damaged, or does not fit the other.
    """
    images_path = _find(folder, f"{_PREFIX[split]}-images-idx3-ubyte")
    labels_path = _find(folder, f"{_PREFIX[split]}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{images_path} holds {len(images)} images but {labels_path} {len(labels)} labels.")
    if images.size == 0:
        count, height, width = images.shape
        raise DataError(f"{images_path} holds no image: {count} of {height} x {width} pixels.")
    if labels.max() >= NUM_CLASSES:
        position = int(np.argmax(labels >= NUM_CLASSES))
        raise DataError(
            f"{labels_path}: label {labels[position]} of image {position} is not one of the"
            f" {NUM_CLASSES} classes."
        )
    return LabelledImages(images, labels)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            return path
    raise DataError(f"{folder} holds neither {name}.gz nor {name}; it is not a Fashion-MNIST folder.")
