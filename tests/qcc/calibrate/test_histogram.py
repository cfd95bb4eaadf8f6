"""Histograms: exact counts, whatever the order in which values came."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qcc.calibrate.histogram import BINS, Histogram, Rows, merged

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
PARTS = st.lists(arrays.arrays(np.float32, st.integers(0, 40), elements=FLOATS), min_size=1, max_size=5)


def of(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def same(left: Histogram, right: Histogram) -> bool:
    return np.array_equal(left.counts, right.counts) and (left.exponent, left.smallest, left.largest) == (
        right.exponent,
        right.smallest,
        right.largest,
    )


@given(PARTS)
def test_it_is_the_same_in_any_order_and_in_parts(parts: list[np.ndarray]) -> None:
    whole = of(np.concatenate(parts))
    assert same(whole, of(*parts))
    assert same(whole, of(*reversed(parts)))
    assert same(whole, merged(of(part) for part in reversed(parts)))
    assert same(whole, merged([of(*parts[:1]), of(*parts[1:])]))


@given(PARTS)
def test_every_value_stands_in_its_bin(parts: list[np.ndarray]) -> None:
    values = np.concatenate(parts)
    histogram = of(*parts)
    wanted = np.zeros((1, 1 + BINS), np.int64)
    for value in values.astype(np.float64):
        wanted[0, 1 + math.floor(abs(value) / histogram.width) if value else 0] += 1
    np.testing.assert_array_equal(histogram.counts, wanted)
    assert histogram.total == values.size
    assert histogram.peak == np.max(np.abs(values), initial=0)


def test_the_largest_value_is_in_the_upper_half() -> None:
    for peak in (1.0, 1.999, 6.0, 255.0, 1e-6):
        assert BINS / 2 <= np.flatnonzero(of(np.float32([peak, peak / 10])).counts)[-1] <= BINS


def test_what_is_not_finite_is_not_counted() -> None:
    histogram = of(np.float32([1, 2]))
    for bad in (np.nan, np.inf, -np.inf):
        assert not math.isfinite(histogram.add(np.float32([1, bad])))
    assert same(histogram, of(np.float32([1, 2])))


def test_more_values_than_are_counted_at_once() -> None:
    values = np.linspace(-1, 1, 200_001, dtype=np.float32)
    histogram = of(values)
    assert histogram.total == values.size
    assert (histogram.smallest, histogram.largest) == (-1, 1)


def test_merging_leaves_the_other_one_as_it_is() -> None:
    small, large = of(np.float32([0.5])), of(np.float32([1000]))
    large.merge(small)
    assert same(small, of(np.float32([0.5])))
    assert same(large, of(np.float32([1000, 0.5])))


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((3, 5, 7, 9), 1), ((2, 5), 1), ((1, 5, 300, 200), 1), ((3, 7, 5), -1), ((4, 5), -1), ((2, 5, 1, 1), 1)],
)
def test_each_channel_in_its_row(shape: tuple[int, ...], axis: int) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    rows = Rows(np.array([1, 0, 2, 1, 1], np.int32), axis)
    histogram = Histogram.of_rows(rows.count)
    histogram.add(values[:1], rows)
    histogram.add(values[1:], rows)
    for row in range(3):
        alone = of(np.compress(rows.of_channels == row, values, 1 if axis == 1 else -1))
        # On the grid of all.
        on_grid = Histogram(histogram.exponent)
        on_grid.merge(alone)
        np.testing.assert_array_equal(histogram.counts[row], on_grid.counts[0])
    assert histogram.total == values.size


def test_flattened_dimensions_are_channels() -> None:
    """`mul` reads [2, 2, 3] as [2, 6]."""
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    rows = Rows(np.arange(6, dtype=np.int32), -1)
    histogram = Histogram.of_rows(6)
    histogram.add(values, rows)
    assert histogram.counts.sum(1).tolist() == [2] * 6
    assert histogram.counts[0, 0] == 1
