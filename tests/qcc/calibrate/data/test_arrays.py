"""Batches of data in numpy's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lite_case import build_model, conv, floats, ints

from qcc.calibrate.data.arrays import has_arrays, read_batches
from qcc.errors import DataError
from qcc.model import Model

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> Model:
    """A convolution of the feed `x0`, float32 [-1, 4, 8, 8]."""
    return build_model(conv(8, 1), (floats(2, 4, 8, 8),))


def test_arrays_in_files(tmp_path: Path) -> None:
    model = build_model(lambda x, i: [conv(2, 1)(x), i + i], (floats(2, 4, 3, 3), ints(2, 1)))
    assert not has_arrays(tmp_path)
    (tmp_path / "notes.txt").touch()
    np.savez(tmp_path / "b.npz", x0=floats(2, 4, 3, 3), x1=ints(2, 1))
    np.savez(tmp_path / "a.npz", x0=floats(4, 3, 3), x1=ints(1), other=np.zeros(3))
    assert has_arrays(tmp_path)
    batches = list(read_batches(model, tmp_path))
    assert [{name: array.shape for name, array in batch.items()} for batch in batches] == [
        {"x0": (1, 4, 3, 3), "x1": (1, 1)},
        {"x0": (2, 4, 3, 3), "x1": (2, 1)},
    ]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "has no array 'x0'"),
        (
            {"x0": np.zeros((2, 5, 8, 8), "f")},
            r"'x0' is float32\[2, 5, 8, 8\], and the model is fed with float32\[-1, 4, 8, 8\]: give it these",
        ),
        ({"x0": np.zeros((2, 4, 8, 8), "d")}, r"'x0' is float64.*: give it `\.astype\('float32'\)`\.$"),
        ({"x0": np.zeros((0, 4, 8, 8), "f")}, r"'x0' is empty, float32\[0, 4, 8, 8\]; it must hold a sample"),
        ({"x0": np.array([{}])}, "cannot be read as numpy's arrays"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, model: Model, arrays: Arrays, words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words):
        list(read_batches(model, tmp_path / "a.npz"))


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no more", b"text"])
def test_files_that_are_damaged(tmp_path: Path, model: Model, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} cannot be read as numpy's arrays"):
        list(read_batches(model, tmp_path / name))


def test_one_array_for_two_feeds(tmp_path: Path) -> None:
    model = build_model(lambda x, i: [conv(2, 1)(x), i + i], (floats(2, 4, 3, 3), ints(2, 1)))
    np.save(tmp_path / "a.npy", floats(2, 4, 3, 3))
    with pytest.raises(DataError, match=r"holds one array, and the model is fed by \['x0', 'x1'\]"):
        list(read_batches(model, tmp_path / "a.npy"))
