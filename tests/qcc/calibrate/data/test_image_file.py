"""Reading image files of every depth and orientation."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from qcc.calibrate.data.image_file import read_image
from qcc.errors import DataError


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_grey(tmp_path: Path, suffix: str) -> None:
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), deep)
    found = read_image(path)
    assert found[..., 0].ravel().tolist() == list(range(256))
    np.testing.assert_array_equal(found, cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_of_colour(tmp_path: Path, suffix: str) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), deep)
    # Pillow and OpenCV round the lower half of a TIFF's values differently.
    np.testing.assert_allclose(read_image(path), cv2.imread(str(path))[..., ::-1], atol=suffix == ".tif")


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_are_refused(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.full((4, 4), 70000, dtype)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=r"x\.tif cannot be decoded: its pixels have 32 bits"):
        read_image(tmp_path / "x.tif")


def test_sixteen_bits_of_a_portable_grey_map(tmp_path: Path) -> None:
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    assert cv2.imwrite(str(tmp_path / "deep.pgm"), deep)
    shallow = tmp_path / "shallow.pgm"  # whose white is 1000
    shallow.write_bytes(b"P5 2 1 1000\n" + np.array([0, 1000], ">u2").tobytes())

    assert np.array_equal(read_image(tmp_path / "deep.pgm")[:, :, 0], deep >> 8)
    assert read_image(shallow)[:, :, 1].tolist() == [[0, 255]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_it_is_to_be_seen(tmp_path: Path, orientation: int, suffix: str) -> None:
    values = np.zeros((16, 32, 3), np.uint8)
    values[:8, :16] = 255
    image, path = Image.fromarray(values), tmp_path / f"turned{suffix}"
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, quality=100)
    found = read_image(path)
    with Image.open(path) as opened:
        seen = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(found, seen)
    if suffix != ".jpg":  # of others, older releases of OpenCV do not look for it
        return
    seen = cv2.imread(str(path))[..., ::-1]
    assert found.shape == seen.shape
    assert np.abs(found.astype(int) - seen).max() < 8


def test_a_note_that_is_damaged_has_no_part_in_the_image(tmp_path: Path) -> None:
    """A width that is a text."""
    image, path = Image.fromarray(np.zeros((16, 32, 3), np.uint8)), tmp_path / "noted.jpg"
    exif = image.getexif()
    exif[0x010F], exif[0x0112] = "x", 6
    image.save(path, exif=exif)
    content = path.read_bytes()
    assert content.count(b"\x01\x0f\x00\x02") == 1
    path.write_bytes(content.replace(b"\x01\x0f\x00\x02", b"\x01\x00\x00\x02"))
    with Image.open(path) as opened, pytest.raises(struct.error):
        ImageOps.exif_transpose(opened)
    assert read_image(path).shape == (32, 16, 3)


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png cannot be decoded: .*it is no regular file"):
        read_image(tmp_path / "pipe.png")
