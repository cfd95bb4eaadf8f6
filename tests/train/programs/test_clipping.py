"""Clipping by the norm of all gradients: Paddle's, which its own class can no longer append in Paddle 3."""

from __future__ import annotations

import numpy as np
import pytest
from saved_models import MAJOR

from qcc._paddle import paddle
from qcc.train.programs.clipping import clip_by_global_norm

SHAPES = ((3, 5), (7,), (2, 2, 2))
NORM = 0.25
static = paddle.static


def clipped(arrays: list[np.ndarray], by_paddle: bool = False) -> list[np.ndarray]:
    program = static.Program()
    with static.program_guard(program, static.Program()):
        gradients = [static.data(f"g{index}", array.shape) for index, array in enumerate(arrays)]
        if by_paddle:
            parameters = [static.create_parameter(array.shape, "float32") for array in arrays]
            paddle.nn.ClipGradByGlobalNorm(NORM)(list(zip(parameters, gradients, strict=True)))
        else:
            clip_by_global_norm(program, gradients, NORM)
    feed = {f"g{index}": array for index, array in enumerate(arrays)}
    return list(static.Executor(paddle.CPUPlace()).run(program, feed=feed, fetch_list=list(feed)))


def drawn(size: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [(size * random.standard_normal(shape)).astype(np.float32) for shape in SHAPES]


def norm(arrays: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(np.sum(array.astype(np.float64) ** 2) for array in arrays)))


def test_large_gradients_keep_their_direction() -> None:
    given = drawn(9.0)
    found = clipped(given)
    assert norm(found) == pytest.approx(NORM, rel=1e-6)
    for left, right in zip(found, given, strict=True):
        np.testing.assert_allclose(left, right * (NORM / norm(given)), rtol=1e-5)


def test_small_gradients_stay_as_they_are() -> None:
    given = drawn(0.01)
    for left, right in zip(clipped(given), given, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.skipif(MAJOR >= 3, reason="Paddle 3's class fails on programs of the old IR")
@pytest.mark.parametrize("size", [9.0, 0.01])
def test_to_the_last_bit_it_is_paddles(size: float) -> None:
    for left, right in zip(clipped(drawn(size)), clipped(drawn(size), by_paddle=True), strict=True):
        np.testing.assert_array_equal(left, right)
