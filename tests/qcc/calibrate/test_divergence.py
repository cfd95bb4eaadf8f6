"""The clipping threshold by divergence is that of Paddle's own function, on the same histogram."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from paddle.static.quantization.cal_kl_threshold import cal_kl_threshold

from qcc.calibrate.divergence import kl_threshold

HISTOGRAMS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda random: np.abs(random.standard_normal(20_000)),
    "laplace": lambda random: np.abs(random.laplace(size=20_000)),
    "behind relu": lambda random: np.maximum(random.standard_normal(20_000), 0),
    "sparse": lambda random: np.round(np.abs(random.standard_normal(300)), 1),
    "far from zero": lambda random: random.uniform(5, 6, 5_000),
    "one value": lambda random: np.full(100, 6.0),
}


@pytest.mark.parametrize("bins", [300, 512])
@pytest.mark.parametrize("name", HISTOGRAMS)
def test_as_paddle_has_it(name: str, bins: int) -> None:
    values = HISTOGRAMS[name](np.random.default_rng(bins))
    counts, edges = np.histogram(values, bins, (0, float(values.max())))
    width = float(edges[1] - edges[0])
    assert kl_threshold(counts, width, 8) == cal_kl_threshold(counts, width, 8)


def test_what_would_clip_too_much_does_not_count() -> None:
    counts = np.zeros(512, np.int64)
    counts[420:] = 10
    assert kl_threshold(counts, 1.0, 8) == 421.5
    assert kl_threshold(counts, 1.0, 8, most_clipped=0.1) > 500
