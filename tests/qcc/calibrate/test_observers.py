"""Observers against closed forms, and where PaddleSlim's were seen to be wrong."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from paddle.static.quantization import PostTrainingQuantization

from qcc.calibrate.histogram import Histogram
from qcc.calibrate.observers import CALIBRATORS, PERCENTILE, Calibrator, Seen, observe
from qcc.numerics import SCALE_FLOOR

RANDOM = np.random.default_rng(0)


def seen(*batches: np.ndarray) -> Seen:
    histogram = Histogram()
    peaks = [histogram.add(batch.astype(np.float32)) for batch in batches]
    return Seen(histogram, np.ones(1), np.array(peaks, np.float32))


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_data_far_from_zero(calibrator: Calibrator) -> None:
    """Paddle's hist and KL clip [5, 6] at 1.0: their bins begin at the smallest value."""
    batches = [RANDOM.uniform(5, 6, 10_000) for _ in range(4)]
    assert observe(seen(*batches), calibrator) == pytest.approx(6, rel=0.003)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_a_constant(calibrator: Calibrator) -> None:
    """Paddle's hist gives a constant 6 the scale 0.5."""
    assert observe(seen(np.full(1000, 6.0), np.full(1000, 6.0)), calibrator) == 6


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_tiny_values_have_a_scale_of_their_size(calibrator: Calibrator) -> None:
    """The kernels take no scale for 0 that is above 1e-30."""
    values, tiny = RANDOM.standard_normal(10_000), 2.0**-70
    assert observe(seen(values * tiny), calibrator) == observe(seen(values), calibrator) * tiny


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_zeros(calibrator: Calibrator) -> None:
    assert observe(seen(np.zeros(1000)), calibrator) == SCALE_FLOOR
    assert observe(seen(np.zeros(0)), calibrator) == SCALE_FLOOR


@pytest.mark.parametrize("calibrator", ["mse", "emd", "abs_max", "percentile", "kl"])
def test_one_dark_batch_of_four(calibrator: Calibrator) -> None:
    """Paddle's mse and emd keep the scale of the batch with the least error, and give 0.0098 to all."""
    dark, others = RANDOM.uniform(0, 0.0098, 10_000), [RANDOM.uniform(0, 1, 10_000) for _ in range(3)]
    assert observe(seen(dark, *others), calibrator) == pytest.approx(1, rel=0.02)
    assert observe(seen(*others, dark), calibrator) == pytest.approx(1, rel=0.02)


def test_the_least_square_error_of_known_distributions() -> None:
    """The optimum for 8 bits: 3.92 standard deviations of a normal, 9.89 times b of a Laplace distribution
    (Banner et al., https://arxiv.org/abs/1810.05723, and the code that comes with it)."""
    assert observe(seen(RANDOM.standard_normal(2_000_000)), "mse") == pytest.approx(3.92, rel=0.02)
    assert observe(seen(RANDOM.laplace(size=2_000_000)), "mse") == pytest.approx(9.89, rel=0.03)


@pytest.mark.parametrize(("calibrator", "power"), [("mse", 2), ("emd", 1)])
def test_no_other_scale_does_better(calibrator: Calibrator, power: int) -> None:
    values = RANDOM.standard_normal(50_000)

    def error(scale: float) -> float:
        step = scale / 127
        rounded = np.clip(np.round(values / step), -127, 127) * step
        return float(np.mean(np.abs(values - rounded) ** power))

    found = observe(seen(values), calibrator)
    best = min(error(scale) for scale in np.linspace(0.02, 1, 200) * np.abs(values).max())
    assert error(found) <= best * 1.005


def test_percentile_is_that_of_the_magnitudes() -> None:
    values = RANDOM.standard_normal(1_000_000)
    assert observe(seen(values), "percentile") == pytest.approx(np.quantile(np.abs(values), 0.9999), rel=1e-3)
    assert observe(seen(np.append(np.zeros(99_999), 1.0)), "percentile") == 1


def test_percentile_is_paddle_s_within_a_bin() -> None:
    """`_get_hist_scaling_factor` gives the middle of the bin."""
    found = seen(RANDOM.laplace(size=123_456))
    settings = SimpleNamespace(_hist_percent=PERCENTILE)
    edges = np.arange(2) * found.histogram.width
    wanted = PostTrainingQuantization._get_hist_scaling_factor(settings, found.counts, edges)
    assert observe(found, "percentile") == pytest.approx(wanted, abs=found.histogram.width / 2)


def test_averages_of_batches() -> None:
    batches = [np.array([-1.0, 0.5]), np.array([3.0]), np.array([0.25, -2.0])]
    assert observe(seen(*batches), "avg") == 2
    weights = np.array([0.81, 0.9, 1])
    wanted = float(np.dot(weights, [1, 3, 2]) / weights.sum())
    assert observe(seen(*batches), "moving_average") == pytest.approx(wanted)
    assert observe(seen(*batches), "abs_max") == 3
