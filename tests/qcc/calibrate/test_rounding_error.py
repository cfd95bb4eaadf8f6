"""The error of quantizing in closed form, beside that of quantizing the values."""

from __future__ import annotations

import numpy as np
import pytest

from qcc.calibrate.histogram import Histogram, Rows
from qcc.calibrate.rounding_error import Weighed
from qcc.numerics import fake_quantize, max_int

RANDOM = np.random.default_rng(0)
DATA = {
    "normal": RANDOM.standard_normal(200_000),
    "behind relu": np.maximum(RANDOM.standard_normal(200_000), 0),
    "far from zero": RANDOM.uniform(5, 6, 200_000),
    "heavy tails": RANDOM.laplace(size=200_000),
    "outliers": np.append(RANDOM.standard_normal(200_000), [200.0]),
}


def measured(values: np.ndarray, scale: float, bits: int, power: int) -> float:
    """The mean error of the values themselves."""
    q = fake_quantize(values, np.float32([scale]), bits)
    return float(np.mean(np.abs(values - q.astype(np.float64) * scale / max_int(bits)) ** power))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", DATA)
def test_it_is_that_of_the_values(name: str, bits: int) -> None:
    values = DATA[name].astype(np.float32)
    histogram = Histogram()
    histogram.add(values)
    scales = np.array([1.0, 0.9, 0.5, 0.1]) * histogram.peak
    weighed = Weighed.of(histogram, np.ones(1))
    for power, errors in (
        (2, weighed.square_errors(scales, bits)),
        (1, weighed.absolute_errors(scales, bits)),
    ):
        wanted = [measured(values, scale, bits, power) for scale in scales]
        np.testing.assert_allclose(errors / values.size, wanted, rtol=0.02)
    assert weighed.squares() / values.size == pytest.approx(
        float(np.mean(values.astype(np.float64) ** 2)), rel=3e-3
    )


@pytest.mark.parametrize("value", [6.0, 0.25])
def test_a_constant_on_an_edge_is_exact(value: float) -> None:
    histogram = Histogram()
    histogram.add(np.full(100, value, np.float32))
    errors = Weighed.of(histogram, np.ones(1)).square_errors(np.array([value, value / 2]), 8)
    np.testing.assert_allclose(errors / 100, [0, value**2 / 4])


def test_zeros_cost_nothing() -> None:
    histogram = Histogram()
    histogram.add(np.zeros(100, np.float32))
    np.testing.assert_array_equal(Weighed.of(histogram, np.ones(1)).square_errors(np.ones(3), 8), np.zeros(3))


def test_what_matters_more_counts_more() -> None:
    left, right = DATA["normal"].astype(np.float32), 10 * DATA["far from zero"].astype(np.float32)
    histogram = Histogram.of_rows(2)
    histogram.add(np.stack([left, right], 1), Rows(np.arange(2, dtype=np.int32)))
    weighed = Weighed.of(histogram, np.array([4.0, 1.0]))
    for scale in (60.0, 40.0):
        wanted = 4 * measured(left, scale, 8, 2) * left.size + measured(right, scale, 8, 2) * right.size
        np.testing.assert_allclose(weighed.square_errors(np.array([scale]), 8), wanted, rtol=0.02)
