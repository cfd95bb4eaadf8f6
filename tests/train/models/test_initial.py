from __future__ import annotations

import math

import numpy as np
import pytest

from qcc.train.models.initial import kaiming_normal


@pytest.mark.parametrize(
    ("shape", "fan_in"), [((256, 64, 1, 1), 64), ((1000, 1, 3, 3), 9), ((400, 100), 400)]
)
def test_variance_is_two_over_the_fan_in(shape: tuple[int, ...], fan_in: int) -> None:
    weights = kaiming_normal(0, "w", shape)
    assert weights.dtype == np.float32
    assert weights.std() == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
    assert abs(weights.mean()) < 0.05 * weights.std()


def test_values_depend_on_seed_and_name_alone() -> None:
    first = kaiming_normal(1, "a", (3, 3))
    np.testing.assert_array_equal(first, kaiming_normal(1, "a", (3, 3)))
    assert not np.array_equal(first, kaiming_normal(2, "a", (3, 3)))
    assert not np.array_equal(first, kaiming_normal(1, "b", (3, 3)))
