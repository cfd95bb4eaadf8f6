"""The sample of some data that a written model is run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lite_case import build_model, conv, floats, ints

from qcc.calibrate.data.one_sample import one_sample, ordinary
from qcc.cli.calibration import CalibrationData

BLANK, RAW = np.ones((2, 4, 8, 8), np.float32), floats(2, 4, 8, 8) * 255


@pytest.mark.parametrize("odd", [(BLANK,), (RAW,), (BLANK, RAW), (BLANK, BLANK, RAW, RAW)])
def test_is_none_that_is_odd(odd: tuple[np.ndarray, ...]) -> None:
    images = [*odd, *(floats(2, 4, 8, 8) * size for size in (0.9, 1.0, 1.1, 1.0, 0.95, 1.05))]
    chosen = ordinary(range(len(images)), lambda place: {"x0": images[place]})
    assert chosen >= len(odd)


def test_is_the_one_that_there_is() -> None:
    assert ordinary(["a"], lambda one: {"x0": BLANK, "ids": ints(2, 1)}) == "a"


def test_is_one_sample_where_the_model_takes_any_number() -> None:
    model = build_model(conv(8, 1), (floats(2, 4, 8, 8),))
    assert one_sample(model, {"x0": BLANK})["x0"].shape == (1, 4, 8, 8)


def test_of_files(tmp_path: Path) -> None:
    """A blank image is the first of them."""
    model = build_model(conv(8, 1), (floats(2, 4, 8, 8),))
    images = [BLANK, floats(2, 4, 8, 8), floats(2, 4, 8, 8) * 1.1]
    for number, image in enumerate(images):
        np.savez(tmp_path / f"{number}.npz", x0=image)
    batch = CalibrationData(tmp_path, None, None, None).one_batch(model)
    assert batch is not None
    np.testing.assert_array_equal(batch["x0"], images[1][:1])
