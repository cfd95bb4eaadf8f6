"""Places that are counted from the end, which Paddle 2.6 does not know: what numpy takes counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle3_programs import Program, save, tensor

import qcc

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def constant(program: Program, numbers: np.ndarray) -> int:
    """An index as `paddle.to_tensor` leaves it in a program: written into zeros."""
    zeros = program.full(0, "int64", numbers.shape)
    attrs = {"shape": list(numbers.shape), "dtype": ("dtype", "int64"), "values": numbers.ravel().tolist()}
    return program.op("assign_value_", [zeros], [tensor(numbers.shape, "int64")], attrs)[0]


def found(program: Program, folder: Path, feeds: dict[str, np.ndarray]) -> Any:
    return qcc.load(save(program, folder, {})).run(feeds)[0]


@pytest.mark.parametrize("axis", [-1, 0])
def test_gather_by_a_constant(axis: int, tmp_path: Path) -> None:
    program = Program()
    x, index = program.feed("x", X.shape), constant(program, np.array([0, -1]))
    operands = [x, index, program.full(axis, "int32")]
    program.fetch(program.op("gather", operands, [tensor([-1, -1])], {})[0])
    np.testing.assert_array_equal(found(program, tmp_path, {"x": X}), X.take([0, -1], axis))


@pytest.mark.parametrize("rows", [3, -1])
def test_index_select_by_a_constant(rows: int, tmp_path: Path) -> None:
    program = Program()
    x, index = program.feed("x", [rows, 4]), constant(program, np.array([0, -1]))
    program.fetch(program.op("index_select", [x, index], [tensor([2, 4])], {"axis": -2})[0])
    np.testing.assert_array_equal(found(program, tmp_path, {"x": X}), X[[0, -1]])


def test_gather_nd_by_constants(tmp_path: Path) -> None:
    program = Program()
    index = np.array([[0, -1], [-1, 0], [-2, -2]])
    x, places = program.feed("x", X.shape), constant(program, index)
    program.fetch(program.op("gather_nd", [x, places], [tensor([3])], {})[0])
    np.testing.assert_array_equal(found(program, tmp_path, {"x": X}), X[index[:, 0], index[:, 1]])


@pytest.mark.parametrize("size", [3, -1])
def test_what_a_run_tells_along_an_axis(size: int, tmp_path: Path) -> None:
    program = Program()
    index = np.array([[-1, 0, -4, 3]]).repeat(3, 0)
    x, places = program.feed("x", [size, 4]), program.feed("index", [size, 4], "int64")
    taken = program.op("take_along_axis", [x, places], [tensor([size, 4])], {"axis": -1})[0]
    attrs = {"axis": 1, "reduce": "assign", "include_self": True}
    put = program.op("put_along_axis", [x, places, taken], [tensor([size, 4])], attrs)[0]
    program.fetch(taken)
    program.fetch(put, 1)
    took, written = qcc.load(save(program, tmp_path, {})).run({"x": X, "index": index})
    np.testing.assert_array_equal(took, np.take_along_axis(X, index, 1))
    wanted = X.copy()
    np.put_along_axis(wanted, index, np.take_along_axis(X, index, 1), 1)
    np.testing.assert_array_equal(written, wanted)


@pytest.mark.parametrize("axis", [0, 2])
def test_an_index_that_is_shorter_than_the_tensor(axis: int, tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    index = np.array([[[1, 0], [0, 1]], [[0, 0], [1, 1]]])
    program = Program()
    operand, places = program.feed("x", x.shape), program.feed("index", index.shape, "int64")
    taken = program.op("take_along_axis", [operand, places], [tensor(index.shape)], {"axis": axis})[0]
    twice = program.op("add", [taken, taken], [tensor(index.shape)], {})[0]
    attrs = {"axis": axis, "reduce": "assign", "include_self": True}
    put = program.op("put_along_axis", [operand, places, twice], [tensor(x.shape)], attrs)[0]
    program.fetch(taken)
    program.fetch(put, 1)
    took, written = qcc.load(save(program, tmp_path, {})).run({"x": x, "index": index})
    part = x[: 2 if axis != 0 else None, :2, : 2 if axis != 2 else None]
    wanted = np.take_along_axis(part, index, axis)
    np.testing.assert_array_equal(took, wanted)
    np.put_along_axis(part, index, 2 * wanted, axis)  # a view of x
    np.testing.assert_array_equal(written, x)
