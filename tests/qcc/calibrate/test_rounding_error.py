"""The error of quantizing in closed form, beside that of quantizing the values."""

from __future__ import annotations

import numpy as np
import pytest

from qcc.calibrate.histogram import Histogram
from qcc.calibrate.rounding_error import mean_absolute_error, mean_square, mean_square_error
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
    for power, error in ((2, mean_square_error), (1, mean_absolute_error)):
        wanted = [measured(values, scale, bits, power) for scale in scales]
        np.testing.assert_allclose(error(histogram, scales, bits), wanted, rtol=0.02)
    assert mean_square(histogram) == pytest.approx(float(np.mean(values.astype(np.float64) ** 2)), rel=1e-3)


@pytest.mark.parametrize("value", [6.0, 0.25])
def test_a_constant_on_an_edge_is_exact(value: float) -> None:
    histogram = Histogram()
    histogram.add(np.full(100, value, np.float32))
    errors = mean_square_error(histogram, np.array([value, value / 2]), 8)
    np.testing.assert_allclose(errors, [0, value**2 / 4])


def test_zeros_cost_nothing() -> None:
    histogram = Histogram()
    histogram.add(np.zeros(100, np.float32))
    np.testing.assert_array_equal(mean_square_error(histogram, np.ones(3), 8), np.zeros(3))
