"""Measuring activations on data."""

from __future__ import annotations

import numpy as np
import pytest
from lite_case import F, build_model, conv, floats

from qcc.calibrate.activations import largest_magnitudes
from qcc.errors import DataError
from qcc.model import Model

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> Model:
    """Two convolutions of the feed `x0`, float32 [-1, 4, 8, 8]."""
    return build_model(lambda x: conv(8, 1)(F.relu(conv(8, 3, padding=1)(x))), (floats(2, 4, 8, 8),))


def test_the_largest_of_all_batches_counts(model: Model) -> None:
    batches = [{"x0": floats(1, 4, 8, 8)}, {"x0": -3 * floats(2, 4, 8, 8), "more": np.zeros(1)}]
    found = largest_magnitudes(model, ["x0", model.fetches[0]], batches)
    outputs = [model.run({"x0": batch["x0"]})[0] for batch in batches]
    assert found == {
        "x0": max(float(np.abs(batch["x0"]).max()) for batch in batches),
        model.fetches[0]: max(float(np.abs(output).max()) for output in outputs),
    }


def test_what_is_all_zero_has_a_positive_scale(model: Model) -> None:
    assert largest_magnitudes(model, ["x0"], [{"x0": np.zeros((1, 4, 8, 8), "f")}]) == {
        "x0": pytest.approx(1e-8)
    }


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "there is no data"),
        ([{"image": floats(1, 4, 8, 8)}], r"is fed by 'x0', but the data gives \['image'\]"),
        ([{"x0": floats(1, 4, 8, 8)}, {"x0": floats(1, 3, 8, 8)}], "does not run on batch 2: "),
        ([{"x0": np.full((1, 4, 8, 8), np.inf, "f")}], "'x0' is not finite on batch 1"),
        ([{"x0": np.full((1, 4, 8, 8), np.nan, "f")}], "'x0' is not finite on batch 1"),
    ],
)
def test_data_that_gives_no_scales(model: Model, batches: list[Arrays], words: str) -> None:
    with pytest.raises(DataError, match=words):
        largest_magnitudes(model, ["x0"], batches)
