"""AdaRound's objective, and how near to its least value the choices are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qcc.calibrate.accurate.rounding import adaround

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problem(groups: int, inputs: int, outputs: int, seed: int, rank: int = 3) -> Problem:
    """G and D of inputs that know of each other, weights, and steps."""
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((groups, 400, rank)) @ random.standard_normal((groups, rank, inputs))
    read = np.maximum(mixed + 0.3 * random.standard_normal((groups, 400, inputs)), 0)
    weight = random.standard_normal((groups, inputs, outputs))
    step = np.abs(weight).max(1, keepdims=True) / 20
    missing = (0.02 * random.standard_normal(read.shape)) @ weight
    gram, cross = read.swapaxes(1, 2) @ read, read.swapaxes(1, 2) @ missing
    return tuple(value.astype(np.float32) for value in (gram, cross, weight, step))  # type: ignore[return-value]


def loss(given: Problem, integers: np.ndarray) -> float:
    gram, cross, weight, step = (value.astype(np.float64) for value in given)
    moved = integers * step - weight
    return float(((gram @ moved) * moved).sum() - 2 * (cross * moved).sum())


def nearest(given: Problem) -> np.ndarray:
    return np.rint(given[2] / given[3])


def gradient_steps(given: Problem, steps: int = 1000) -> np.ndarray:
    """The paper's way: rectified sigmoids of variables that Adam moves, pushed to 0 and 1 (equations 23 and
    24)."""
    gram, cross, weight, step = (value.astype(np.float64) for value in given)
    low = np.floor(weight / step)
    stretch, shift = 1.2, -0.1
    v = -np.log(stretch / (weight / step - low - shift) - 1)
    first, second = np.zeros_like(v), np.zeros_like(v)
    scale = np.einsum("gkk->", gram) / gram.shape[1] * step**2
    for t in range(1, steps + 1):
        sigmoid = 1 / (1 + np.exp(-v))
        h = np.clip(sigmoid * stretch + shift, 0, 1)
        slope = 2 * (gram @ ((low + h) * step - weight) - cross) * step / scale
        if t > steps / 5:
            beta, away = 20 - 18 * (t / steps - 0.2) / 0.8, 2 * h - 1
            slope -= 0.2 * beta * np.sign(away) * np.abs(away) ** (beta - 1)
        slope *= (h > 0) & (h < 1)
        slope *= stretch * sigmoid * (1 - sigmoid)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        v -= 0.01 * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    return low + (1 / (1 + np.exp(-v)) * stretch + shift >= 0.5)


def test_each_weight_becomes_one_of_the_two_integers_beside_it() -> None:
    given = problem(2, 70, 5, seed=0)
    integers = adaround(*given, most=127)
    exact = given[2] / given[3]
    assert integers.dtype == np.float32
    assert (np.abs(integers - exact) < 1).all()
    assert (integers == np.rint(integers)).all()
    # The largest weight of a channel, which makes its scale, stays.
    largest = np.abs(exact).argmax(1)[:, np.newaxis]
    np.testing.assert_array_equal(np.abs(np.take_along_axis(integers, largest, 1)), 20)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_near_the_best_of_all_choices(seed: int) -> None:
    given = problem(1, 9, 1, seed)
    low, high = np.floor(given[2] / given[3]), np.ceil(given[2] / given[3])
    best = min(
        loss(given, np.where(np.reshape(choice, low.shape), high, low))
        for choice in itertools.product([False, True], repeat=9)
    )
    start, found = loss(given, nearest(given)), loss(given, adaround(*given, most=127))
    # The damping is in what is minimized, and not in this.
    slack = 0.01 * abs(best)
    assert best - slack <= found <= best + 0.1 * (start - best) + slack


def test_it_is_as_good_as_gradient_steps() -> None:
    given = problem(1, 64, 16, seed=1, rank=12)
    start, found, theirs = (
        loss(given, one) for one in (nearest(given), adaround(*given, most=127), gradient_steps(given))
    )
    assert found < start - 0.9 * (start - theirs)
    assert theirs < start


def test_inputs_that_are_always_zero_are_rounded_to_nearest() -> None:
    gram, cross, weight, step = problem(1, 8, 3, seed=2)
    gram[:] = 0
    cross[:] = 0
    np.testing.assert_array_equal(
        adaround(gram, cross, weight, step, 127), nearest((gram, cross, weight, step))
    )


def test_even_integers_are_learned_as_well_and_the_largest_stays() -> None:
    gram, cross, weight, _ = given = problem(2, 40, 6, 3)
    step = (np.abs(weight).max(1, keepdims=True) / 127).astype(np.float32)
    given = (gram, cross, weight, step)
    found = adaround(gram, cross, weight, step, 127, even=True)
    largest = np.abs(np.rint(weight / step)) == 127
    assert (np.abs(found[largest]) == 127).all()
    assert (found[~largest] % 2 == 0).all()
    assert np.abs(found).max() == 127
    assert np.abs(found - weight / step).max() < 2 + 1e-3
    even = np.where(largest, np.rint(weight / step), np.clip(2 * np.rint(weight / step / 2), -126, 126))
    assert loss(given, found) < 0.7 * loss(given, even)


def test_without_products_each_weight_becomes_the_nearest_integer() -> None:
    gram, cross, weight, step = problem(2, 36, 5, seed=0)
    given = np.zeros_like(gram), np.zeros_like(cross), weight, step
    np.testing.assert_array_equal(adaround(*given, most=20), nearest(given))
