"""How far two runs are apart, and how far they may be."""

from __future__ import annotations

import numpy as np
import pytest

from qcc.backends.agreement import (
    MOST,
    MULTIPLE,
    Distance,
    differences,
    distances,
    furthest,
    limits,
    range_of,
)

ONE = np.array([1.0, -2.0, 4.0], np.float32)


def distance(array: np.ndarray, expected: np.ndarray) -> Distance:
    (found,) = distances([array], [expected])
    return found


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_not_finite_is_off_where_it_is_not_the_same(dtype: str) -> None:
    inf, nan = np.inf, np.nan
    found = np.array([[1, inf, -inf, nan], [inf, inf, nan, nan]], dtype)
    wanted = np.array([[3, inf, -inf, nan], [-inf, 1, 1, inf]], dtype)
    with np.errstate(all="raise"):
        off = differences(found, wanted)
    assert off.dtype == np.float64
    np.testing.assert_array_equal(off, [[2, 0, 0, 0], [inf, inf, inf, inf]])
    np.testing.assert_array_equal(off, differences(wanted, found))


def test_differences_have_room() -> None:
    """In float16 the first would be infinite, and the second 999.5."""
    half = np.float16(0.3)
    found, wanted = np.array([60000, 1000], np.float16), np.array([-60000, half], np.float16)
    assert differences(found, wanted).tolist() == [120000, 1000 - float(half)]
    assert differences(np.float32([3e38]), np.float32([-3e38]))[0] == pytest.approx(6e38)


def test_equal_runs() -> None:
    assert distances([ONE, np.array([1, 2])], [ONE.copy(), np.array([1, 2])]) == [Distance(), Distance()]
    assert str(Distance()) == "equal"


def test_differences_are_relative_to_the_range() -> None:
    found = distance(ONE + np.array([0, 0, 0.6], np.float32), ONE)
    assert found.largest == pytest.approx(0.1)
    assert found.mean == pytest.approx(0.1 / 3)
    assert found.ratio == pytest.approx(np.hypot(5**0.5, 4.6) / 21**0.5)
    assert str(found) == "off by 1.0e-01 of the range, 3.3e-02 on average, 1.12 times as large"


def test_a_direction_says_nothing_about_size() -> None:
    """What a cosine of 1 accepts."""
    found = distance(369 * ONE, ONE)
    assert found.largest > 200
    assert found.ratio == pytest.approx(369)
    assert not found.within(Distance(0.5, 0.5, 0.5))


def test_zeros_are_far_off() -> None:
    found = distance(np.zeros(3, np.float32), ONE)
    assert found.ratio == 0
    assert found.largest > MOST


@pytest.mark.parametrize(("times", "norms"), [(5, 0.0), (6, 1.0)])
def test_the_norm_of_few_elements_says_nothing_more(times: int, norms: float) -> None:
    many = np.tile(ONE, times)
    found = distance(2 * many, many)
    assert (found.norms, found.ratio) == (norms, 2)


def test_an_output_that_hardly_varies_is_judged_by_its_size() -> None:
    level = np.array([1000.0, 1000.0, 1000.1], np.float32)
    assert distance(level * np.float32(1 + 1e-6), level).largest < 2e-6


def test_integers_are_counted() -> None:
    found = distance(np.array([3, 9, 5, 7]), np.array([3, 4, 5, 7]))
    assert (found.largest, found.mean, found.norms) == (0.25, 0.25, 0)


def test_complex_numbers_are_two() -> None:
    """An imaginary part of the other sign is as far off as a real one."""
    values = np.arange(20, dtype=np.float32) * np.complex64(1 + 1j)
    (found,) = distances([values.conj()], [values])
    assert found.largest == pytest.approx(2)
    assert distances([values], [values])[0] == Distance()


def test_nothing_has_a_range() -> None:
    assert range_of(np.zeros((0, 4), np.float32)) > 0


def test_denormals_do_not_count() -> None:
    assert distance(np.zeros(2, np.float32), np.full(2, 1e-39, np.float32)) == Distance()


def test_scalars_of_either_shape_are_the_same() -> None:
    assert distance(np.array(3.0), np.array([3.0])) == Distance()


def test_not_finite_in_the_same_places() -> None:
    with_nan = np.array([np.nan, 1.0], np.float32)
    assert distance(with_nan, with_nan).sound
    assert not distance(with_nan, np.array([0.0, 1.0], np.float32)).sound


@pytest.mark.parametrize(("wanted", "given"), [(np.inf, -np.inf), (np.inf, np.nan), (np.nan, -np.inf)])
def test_what_is_not_finite_is_the_same(wanted: float, given: float) -> None:
    """A mask of minus infinity that becomes NaN is no mask."""
    expected, found = (np.array([value, 1.0], np.float32) for value in (wanted, given))
    assert not distance(found, expected).sound


@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 2, 3)])
def test_as_many_elements_of_another_shape(shape: tuple[int, ...]) -> None:
    assert not distance(np.zeros(shape, np.float32), np.zeros((2, 3), np.float32)).sound


@pytest.mark.parametrize("other", [np.zeros(2, np.float32), np.zeros(3, np.float64)], ids=["shape", "dtype"])
def test_other_shape_or_dtype(other: np.ndarray) -> None:
    found = distance(other, ONE)
    assert not found.sound
    assert not found.within(Distance(MOST, MOST, MOST))
    assert str(found) == "values that are not finite, or of another shape or dtype"


def test_limits_are_a_multiple_of_what_was_seen_output_by_output() -> None:
    """A moving output does not excuse another one."""
    seen = [[Distance(1e-3, 1e-4, 1e-5), Distance()], [Distance(1e-4, 2e-4, 0), Distance()]]
    assert limits(seen, 1e-5) == [
        Distance(MULTIPLE * 1e-3, MULTIPLE * 2e-4, MULTIPLE * 1e-5),
        Distance(1e-5, 1e-5, 1e-5),
    ]


def test_no_limit_lets_everything_pass() -> None:
    assert limits([[Distance(0.9, 0.9, 0.9)]], 1e-5) == [Distance(MOST, MOST, MOST)]


def test_any_respect_may_be_too_far() -> None:
    limit = Distance(0.1, 0.01, 0.01)
    assert Distance(0.1, 0.01, 0.01).within(limit)
    for worse in (Distance(0.2), Distance(0.1, 0.02), Distance(0.1, 0.01, 0.02)):
        assert not worse.within(limit)


def test_furthest_in_each_respect() -> None:
    found = furthest(Distance(0.1, 0.3, 0.2, 1.2), Distance(0.2, 0.1, 0.5, 0.5))
    assert found == Distance(0.2, 0.3, 0.5, 0.5)
