from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from qcc.errors import DataError
from qcc.train.data.fashion_mnist import CLASS_NAMES, NUM_CLASSES, read_fashion_mnist


def test_reads_both_splits(tiny_images: Path) -> None:
    train, test = read_fashion_mnist(tiny_images, "train"), read_fashion_mnist(tiny_images, "test")
    assert train.images.shape == (64, 28, 28)
    assert len(test) == 20
    assert len(train.first(5)) == 5
    np.testing.assert_array_equal(test.labels, np.arange(20) % 10)


def test_real_data(fashion_mnist: Path) -> None:
    test = read_fashion_mnist(fashion_mnist, "test")
    assert test.images.shape == (10000, 28, 28)
    # The classes are equally frequent, and the first image is an ankle boot.
    np.testing.assert_array_equal(np.bincount(test.labels), [1000] * NUM_CLASSES)
    assert CLASS_NAMES[test.labels[0]] == "Ankle boot"


def test_missing_file_is_named(tiny_images: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_images, tmp_path / "copy")
    (tmp_path / "copy" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        DataError, match=r"holds neither t10k-labels-idx1-ubyte\.gz nor t10k-labels-idx1-ubyte"
    ):
        read_fashion_mnist(tmp_path / "copy", "test")


def test_files_that_do_not_fit_each_other(tiny_images: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_images, tmp_path / "copy")
    shutil.copy(
        tmp_path / "copy" / "train-labels-idx1-ubyte.gz", tmp_path / "copy" / "t10k-labels-idx1-ubyte.gz"
    )
    with pytest.raises(DataError, match=r"holds 20 images but .* 64 labels"):
        read_fashion_mnist(tmp_path / "copy", "test")


def test_label_out_of_range(tiny_images: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_images, tmp_path / "copy")
    (tmp_path / "copy" / "t10k-labels-idx1-ubyte.gz").unlink()
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 20, *([1] * 19), 10])
    (tmp_path / "copy" / "t10k-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(DataError, match="label 10 of image 19 is not one of the 10 classes"):
        read_fashion_mnist(tmp_path / "copy", "test")


def test_images_without_pixels(tiny_images: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_images, tmp_path / "copy")
    (tmp_path / "copy" / "t10k-images-idx3-ubyte.gz").unlink()
    header = bytes([0, 0, 8, 3, 0, 0, 0, 20, *([0] * 8)])
    (tmp_path / "copy" / "t10k-images-idx3-ubyte").write_bytes(header)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte holds no image: 20 of 0 x 0 pixels"):
        read_fashion_mnist(tmp_path / "copy", "test")
