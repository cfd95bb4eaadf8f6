"""The nearest pixels to places of a grid: halfway between two it is the even one, as numpy rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from paddle3_programs import Program, save, tensor

import qcc
from qcc.errors import ModelFormatError


def sampled(sizes: Sequence[int], align: bool, padding: str) -> Program:
    """The nearest pixels of a map of these sizes, which may be open."""
    program = Program()
    rank = len(sizes)
    x, grid = program.feed("x", [1, 2, *sizes]), program.feed("grid", [1, *[-1] * rank, rank])
    attrs = {"mode": "nearest", "align_corners": align, "padding_mode": padding}
    program.fetch(program.op("grid_sample", [x, grid], [tensor([1, 2, *[-1] * rank])], attrs)[0])
    return program


def reflected(place: np.ndarray, size: int, align: bool) -> np.ndarray:
    """Thrown back by the middles of the first and the last pixel, or by their outer edges."""
    low, span = (0.0, size - 1) if align else (-0.5, size)
    rest = np.abs(place - low) % (2 * span)
    return np.clip(np.minimum(rest, 2 * span - rest) + low, 0, size - 1)


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("open_", [True, False])
def test_the_even_one_of_two_pixels(align: bool, padding: str, open_: bool, tmp_path: Path) -> None:
    model = qcc.load(save(sampled([-1, -1] if open_ else [5, 9], align, padding), tmp_path, {}))
    # Sizes at which float32 holds places and grid exactly, so that a tie is one.
    height, width = 5, 9
    x = np.random.RandomState(0).uniform(1, 2, (1, 2, height, width)).astype(np.float32)
    places = np.stack(np.meshgrid(np.arange(-5, 25) / 2, np.arange(-5, 17) / 2), -1)
    sizes = np.array([width, height])
    grid = (2 * places / (sizes - 1) if align else (2 * places + 1) / sizes) - 1
    if not align:
        grid = np.round(grid * sizes) / sizes
    found = np.asarray(model.run({"x": x, "grid": grid[None].astype(np.float32)})[0])
    given = grid.astype(np.float32) + np.float32(1)
    half = (sizes - align).astype(np.float32) * np.float32(0.5)
    exact = given * half - (np.float32(0) if align else np.float32(0.5))
    pixels = exact
    if padding == "reflection":
        pixels = np.stack([reflected(exact[..., at], sizes[at], align) for at in (0, 1)], -1)
    pixels = np.rint(pixels)
    inside = ((pixels >= 0) & (pixels < sizes)).all(-1)
    columns, rows = (np.clip(pixels[..., at], 0, sizes[at] - 1).astype(int) for at in (0, 1))
    wanted = x[0][:, rows, columns] * (inside | (padding != "zeros"))
    np.testing.assert_array_equal(found[0], wanted.astype(np.float32))


def test_the_even_one_of_two_pixels_of_a_volume(tmp_path: Path) -> None:
    model = qcc.load(save(sampled([-1, 3, 5], True, "border"), tmp_path, {}))
    x = np.random.RandomState(0).uniform(1, 2, (1, 2, 9, 3, 5)).astype(np.float32)
    places = np.random.RandomState(1).randint(-4, 20, (1, 4, 5, 6, 3)) / 2
    sizes = np.array([5, 3, 9])
    grid = (2 * places / (sizes - 1) - 1).astype(np.float32)
    found = np.asarray(model.run({"x": x, "grid": grid})[0])
    pixel = np.clip(np.rint(places[0]), 0, sizes - 1).astype(int)
    np.testing.assert_array_equal(found[0], x[0][:, pixel[..., 2], pixel[..., 1], pixel[..., 0]])


def test_a_volume_with_zeros_around_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="loses pixels of a volume"):
        sampled([4, 4, 4], True, "zeros").converted()
