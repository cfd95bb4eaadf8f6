"""Factors such as 0.29, which Paddle 3 keeps in float64: the sizes and the pixels that it takes count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle3_programs import Program, save, tensor

import qcc
from qcc.errors import ModelFormatError


def resized(method: str, factor: float, size: int) -> Program:
    program = Program()
    attrs: dict[str, Any] = {
        "data_format": "NCHW", "out_d": -1, "out_h": -1, "out_w": -1, "scale": [factor, factor],
        "interp_method": method, "align_corners": False, "align_mode": 0,
    }  # fmt: skip
    x = program.feed("x", [1, 1, size, size])
    program.fetch(program.op(f"{method}_interp", [x, 0, 0, 0], [tensor([1, 1, -1, -1])], attrs)[0])
    return program


@pytest.mark.parametrize(
    ("factor", "size", "end"), [(1.1, 50, 55), (0.29, 100, 28), (0.57, 100, 56), (1.3, 7, 9), (2.0, 5, 10)]
)
def test_the_pixels_of_a_factor(factor: float, size: int, end: int, tmp_path: Path) -> None:
    x = np.arange(size * size, dtype=np.float32).reshape(1, 1, size, size)
    (found,) = qcc.load(save(resized("nearest", factor, size), tmp_path, {})).run({"x": x})
    places = (np.arange(end, dtype=np.float32) * np.float32(1 / factor)).astype(int)
    np.testing.assert_array_equal(found, x[:, :, places][..., places])


@pytest.mark.parametrize(("factor", "size", "end"), [(0.29, 100, 28), (0.57, 100, 56), (1.15, 100, 114)])
@pytest.mark.parametrize("known", [True, False])
def test_the_values_of_a_factor(known: bool, factor: float, size: int, end: int, tmp_path: Path) -> None:
    """Of what rises evenly: the places that are looked at."""
    x = np.arange(size, dtype=np.float32) * np.ones((1, 1, size, 1), np.float32)
    program = resized("bilinear", factor, size if known else -1)
    (found,) = qcc.load(save(program, tmp_path, {})).run({"x": x})
    places = np.clip((np.arange(end) + 0.5) / factor - 0.5, 0, size - 1)
    np.testing.assert_allclose(found, np.broadcast_to(places, (1, 1, end, end)), rtol=1e-5)


def test_pixels_of_an_image_of_any_size_are_not_guessed() -> None:
    with pytest.raises(ModelFormatError, match=r"other pixels at the factor 1\.1: resize to a size instead"):
        resized("nearest", 1.1, -1).converted()
