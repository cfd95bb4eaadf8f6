"""Numbers of channels do not depend on the order in which batches come, nor on how they are shared out."""

from __future__ import annotations

import numpy as np
import pytest

from qcc.calibrate.channels import Channels
from qcc.calibrate.histogram import Rows

CHANNELS = 6


def batches() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    exponents = random.integers(-20, 12, CHANNELS).reshape(1, CHANNELS, 1, 1)
    return [
        (random.standard_normal((2, CHANNELS, 5, 7)) * 2.0**exponents).astype(np.float32) for _ in range(9)
    ]


def counted(found: list[np.ndarray], axis: int = 1) -> Channels:
    channels = Channels.of(CHANNELS)
    for values in found:
        channels.add(values, Rows(np.zeros(CHANNELS, np.int32), axis))
    return channels


@pytest.mark.parametrize("axis", [1, -1])
def test_mean_and_largest_of_each_channel(axis: int) -> None:
    found = batches()
    given = found if axis == 1 else [np.moveaxis(values, 1, -1) for values in found]
    wanted = np.mean([values.mean((0, 2, 3), dtype=np.float64) for values in found], 0)
    # Each batch is rounded to 2**-40.
    channels = counted(given, axis)
    np.testing.assert_allclose(channels.mean, wanted, rtol=1e-12, atol=2.0**-40)
    np.testing.assert_array_equal(channels.largest, np.max([np.abs(v).max((0, 2, 3)) for v in found], 0))


def test_order_and_merging_change_no_bit() -> None:
    found = batches()
    whole = counted(found)
    parts = counted(found[7:2:-1])
    parts.merge(counted(found[:3]))
    parts.merge(counted(found[8:]))
    np.testing.assert_array_equal(parts.mean, whole.mean)
    np.testing.assert_array_equal(parts.largest, whole.largest)
    assert parts.count == whole.count == len(found)


def test_of_no_batch_it_is_zero() -> None:
    np.testing.assert_array_equal(counted([]).mean, np.zeros(CHANNELS))
