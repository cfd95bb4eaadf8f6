"""Measuring activations on data."""

from __future__ import annotations

import numpy as np
import pytest
from lite_case import F, build_model, conv, floats

from qcc.calibrate.activations import calibrated, largest_magnitudes
from qcc.errors import DataError
from qcc.model import Model
from qcc.numerics import UNOBSERVED_SCALE
from qcc.passes import PassManager
from qcc.passes.static_scales import ops_to_calibrate
from qcc.quantization import scheme

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


def test_what_is_nearly_zero_has_a_scale_of_its_size(model: Model) -> None:
    tiny = np.float32(1e-12) * floats(1, 4, 8, 8)
    assert largest_magnitudes(model, ["x0"], [{"x0": tiny}]) == {"x0": float(np.abs(tiny).max())}


def test_what_is_all_zero_has_a_positive_scale(model: Model) -> None:
    assert largest_magnitudes(model, ["x0"], [{"x0": np.zeros((1, 4, 8, 8), "f")}]) == {
        "x0": pytest.approx(1e-8)
    }


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "there is no data"),
        ([{"image": floats(1, 4, 8, 8)}], r"batch 1 of the data has no array 'x0'; it has \['image'\]"),
        (
            [{"x0": floats(1, 4, 8, 8)}, {"x0": floats(1, 3, 8, 8)}],
            r"batch 2 of the data: 'x0' is float32\[1, 3, 8, 8\]",
        ),
        (
            [{"x0": np.full((1, 4, 8, 8), np.inf, "f")}],
            "batch 1 of the data: 'x0' holds a value that is not finite",
        ),
        (
            [{"x0": np.full((1, 4, 8, 8), np.nan, "f")}],
            "batch 1 of the data: 'x0' holds a value that is not finite",
        ),
    ],
)
def test_data_that_gives_no_scales(model: Model, batches: list[Arrays], words: str) -> None:
    with pytest.raises(DataError, match=words):
        largest_magnitudes(model, ["x0"], batches)


@pytest.mark.parametrize("activation_type", ["moving_average_abs_max", "range_abs_max", "abs_max"])
def test_scales_that_were_never_observed_are_those_of_dynamic_quantization(
    model: Model, activation_type: str
) -> None:
    """On one batch, what is calibrated computes what is measured anew at every run."""
    inputs = {"x0": floats(2, 4, 8, 8)}
    transform = "transform{{weight_type=channel_wise_abs_max,activation_type={}}}"
    untrained = PassManager.parse(transform.format(activation_type)).run(model)
    fixed = calibrated(untrained, [inputs])
    dynamic = PassManager.parse(transform.format("abs_max")).run(model)
    np.testing.assert_array_equal(fixed.run(inputs)[0], dynamic.run(inputs)[0])
    kept = "moving_average_abs_max" if activation_type == "abs_max" else activation_type
    assert scheme(fixed.graph)["activation_type"] == [kept]
    assert calibrated(fixed, []) is fixed
    PassManager.parse("freeze,qdq,prune").run(fixed)


def test_the_scale_that_means_none_can_be_measured(model: Model) -> None:
    """A constant 0.001 is frozen as any other: its scale is stored as the number next to it."""
    inputs = {"x0": np.full((1, 4, 8, 8), UNOBSERVED_SCALE)}
    transformed = PassManager.parse("transform{activation_type=moving_average_abs_max}").run(model)
    fixed = calibrated(transformed, [inputs])
    assert next(ops_to_calibrate(fixed.graph), None) is None
    (scale,) = fixed.weights["x0@scale"]
    assert scale == np.nextafter(UNOBSERVED_SCALE, np.float32(1))
    found, expected = PassManager.parse("freeze,prune").run(fixed).run(inputs)[0], model.run(inputs)[0]
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)


def test_scales_that_were_trained_stay(model: Model) -> None:
    untrained = PassManager.parse("transform{activation_type=moving_average_abs_max}").run(model)
    first, second = (op.input("InScale").name for op in ops_to_calibrate(untrained.graph))
    untrained.weights[second] = np.array([0.5], np.float32)
    fixed = calibrated(untrained, [{"x0": floats(1, 4, 8, 8)}])
    assert fixed.weights[first] == pytest.approx(np.abs(floats(1, 4, 8, 8)).max())
    assert fixed.weights[second] == 0.5
    assert untrained.weights[first] == UNOBSERVED_SCALE, "the model given is left as it is"
