"""What Paddle 2.6 would round, refuse or add otherwise, integers above all: what Paddle 3 gives counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle3_programs import Json, Program, save, tensor

import qcc

LARGE = (1 << 24) + 1


def one(folder: Path, op: str, feeds: dict[str, np.ndarray], result: Json, **attrs: Any) -> Any:
    """The result of one op whose operands are the feeds."""
    program = Program()
    operands = [program.feed(name, value.shape, str(value.dtype)) for name, value in feeds.items()]
    program.fetch(program.op(op, operands, [result], attrs)[0])
    return qcc.load(save(program, folder, {})).run(feeds)[0]


def test_numbers_that_float32_lacks(tmp_path: Path) -> None:
    program = Program()
    x = program.feed("x", [-1, 2], "int64")
    mask = program.feed("mask", [-1, 2], "bool")
    number = program.full(LARGE)
    kind = tensor([-1, 2], "int64")
    program.fetch(program.op("full_like", [x, number], [kind], {"dtype": ("dtype", "int64")})[0])
    program.fetch(program.op("masked_fill", [x, mask, number], [kind], {})[0], 1)
    feeds = {"x": np.zeros((2, 2), np.int64), "mask": np.array([[True, False], [False, True]])}
    alike, masked = qcc.load(save(program, tmp_path, {})).run(feeds)
    np.testing.assert_array_equal(alike, np.full((2, 2), LARGE))
    np.testing.assert_array_equal(masked, np.eye(2, dtype=np.int64) * LARGE)


@pytest.mark.parametrize("op", ["floor", "ceil", "round", "rint"])
def test_integers_are_round_already(op: str, tmp_path: Path) -> None:
    x = np.array([-3, 0, LARGE])
    np.testing.assert_array_equal(one(tmp_path, op, {"x": x}, tensor([3], "int64")), x)


@pytest.mark.parametrize(
    ("op", "x", "y"),
    [
        ("bitwise_right_shift", np.array([2**62 + 1, 2**55 + 3, -(2**60) - 1, -1]), np.array([0, 1, 2, 3])),
        ("bitwise_left_shift", np.array([2**62 + 1, -3]), np.array([1, 62])),
        ("bitwise_left_shift", np.array([2**30 + 5, -7], np.int32), np.array([3, 30], np.int32)),
    ],
)
def test_bits_that_are_moved(op: str, x: np.ndarray, y: np.ndarray, tmp_path: Path) -> None:
    found = one(tmp_path, op, {"x": x, "y": y}, tensor(x.shape, str(x.dtype)), is_arithmetic=True)
    np.testing.assert_array_equal(found, np.left_shift(x, y) if "left" in op else np.right_shift(x, y))


def test_the_sign_of_another_integer(tmp_path: Path) -> None:
    feeds = {"x": np.array([3, -3, 3]), "y": np.array([-1, 2, 0])}
    np.testing.assert_array_equal(one(tmp_path, "copysign", feeds, tensor([3], "int64")), [-3, 3, 3])


def test_a_sum_of_truth_values(tmp_path: Path) -> None:
    feeds = {"x": np.array([[True, False]]), "y": np.array([[True], [False]])}
    found = one(tmp_path, "add", feeds, tensor([2, 2], "bool"))
    np.testing.assert_array_equal(found, [[True, True], [True, False]])


def test_nothing_times_infinity(tmp_path: Path) -> None:
    feeds = {
        "input": np.full((1, 2, 2), np.inf, np.float32),
        "x": np.ones((1, 2, 3), np.float32),
        "y": np.ones((1, 3, 2), np.float32),
    }
    found = one(tmp_path, "baddbmm", feeds, tensor([1, 2, 2]), alpha=2.0, beta=0.0)
    np.testing.assert_array_equal(found, np.full((1, 2, 2), 6))


@pytest.mark.parametrize("ends", [(4, 2), (4, -4), (-1, 2), (-1, -3)])
def test_a_slice_of_nothing(ends: tuple[int, int], tmp_path: Path) -> None:
    program = Program()
    x = program.feed("x", [-1, 5])
    attrs = {"axes": [1], "infer_flags": [1], "decrease_axis": []}
    operands = [x, program.ints(ends[:1]), program.ints(ends[1:])]
    program.fetch(program.op("slice", operands, [tensor([-1, 0])], attrs)[0])
    (found,) = qcc.load(save(program, tmp_path, {})).run({"x": np.ones((2, 5), np.float32)})
    assert found.shape == (2, 0)


def test_an_axis_of_one_in_a_sum_of_products(tmp_path: Path) -> None:
    """As paddle.einsum writes "...ij,...jk->...ik" of a stack of matrices and of one."""
    feeds = {
        "x": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "y": np.arange(20, dtype=np.float32).reshape(1, 4, 5),
    }
    program = Program()
    given = [program.feed(name, value.shape) for name, value in feeds.items()]
    both = program.combine(given, [tensor(value.shape) for value in feeds.values()])
    null: Json = {"#": "NULL"}
    results = [tensor([2, 3, 5]), null, null]
    program.fetch(program.op("einsum", [both], results, {"equation": "dij,djk->dik"})[0])
    (found,) = qcc.load(save(program, tmp_path, {})).run(feeds)
    np.testing.assert_allclose(found, feeds["x"] @ feeds["y"])
