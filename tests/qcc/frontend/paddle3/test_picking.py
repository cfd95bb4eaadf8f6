"""Places that are counted from the end, which Paddle 2.6 does not know: what numpy takes counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle3_programs import Program, ops_of, save, tensor

import qcc
from qcc.errors import PaddleError

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


@pytest.mark.parametrize("sizes", [[3, 4], [-1, -1]])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_places_that_a_run_tells(sizes: list[int], dtype: str, tmp_path: Path) -> None:
    """Paddle 2.6 stops at each of them."""
    index, pairs = np.array([0, -1, -4, 2], dtype), np.array([[0, -1], [-3, 3]], dtype)
    rows, added = np.array([-1, 0], dtype), np.full((2, 4), 100, np.float32)
    program = Program()
    x, more = program.feed("x", sizes), program.feed("added", [2, 4])
    given = [program.feed(name, [-1], dtype) for name in ("index", "rows")]
    two, one = program.feed("pairs", [-1, 2], dtype), program.feed("column", [-1, 1], dtype)
    last, open_ = program.full(-1, "int32"), tensor([-1, -1])
    axis = {"axis": 1}
    results = [
        program.op("gather", [x, given[0], last], [open_], {}),
        program.op("index_select", [x, given[0]], [open_], axis),
        program.op("gather_nd", [x, two], [tensor([-1])], {}),
        program.op("scatter", [x, given[1], more], [open_], {"overwrite": True}),
        program.op("scatter_nd_add", [x, one, more], [open_], {}),
        program.op("index_add", [x, given[1], more], [open_], {"axis": 0}),
    ]
    for column, (number,) in enumerate(results):
        program.fetch(number, column)
    feeds = {"x": X, "added": added, "index": index, "rows": rows, "pairs": pairs, "column": rows[:, None]}
    found = qcc.load(save(program, tmp_path, {})).run(feeds)
    written, summed = X.copy(), X.copy()
    written[rows], summed[rows] = added, X[rows] + 100
    wanted = [X[:, index], X[:, index], X[pairs[:, 0], pairs[:, 1]], written, summed, summed]
    for array, value in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(array, value)


def test_a_place_that_is_one_number(tmp_path: Path) -> None:
    program = Program()
    x, place = program.feed("x", [-1, 4]), program.feed("place", [], "int64")
    program.fetch(program.op("gather", [x, place, program.full(0, "int32")], [tensor([4])], {})[0])
    feeds = {"x": X, "place": np.array(-1)}
    np.testing.assert_array_equal(found(program, tmp_path, feeds), X[-1])


def test_a_place_before_the_tensor_stops(tmp_path: Path) -> None:
    program = Program()
    x, index = program.feed("x", X.shape), program.feed("index", [1], "int64")
    program.fetch(program.op("gather", [x, index, program.full(0, "int32")], [tensor([1, 4])], {})[0])
    model = qcc.load(save(program, tmp_path, {}))
    with pytest.raises(PaddleError, match="Index"):
        model.run({"x": X, "index": np.array([-4])})


def test_places_that_an_op_finds_stay_as_they_are() -> None:
    """They are counted from the front, also behind a reshape, and each op more is one that an engine runs."""
    program = Program()
    x = program.feed("x", [3, 4])
    attrs = {"axis": 1, "largest": True, "sorted": True}
    _, top = program.op(
        "topk", [x, program.full(1, "int32")], [tensor([3, 1]), tensor([3, 1], "int64")], attrs
    )
    flat = program.op("reshape", [top, program.ints([-1])], [tensor([3], "int64")], {})[0]
    program.fetch(program.op("gather", [x, flat, program.full(0, "int32")], [tensor([3, 4])], {})[0])
    assert [op.type for op in ops_of(program.converted())] == ["top_k_v2", "reshape2", "gather"]


def test_a_difference_may_be_below_zero() -> None:
    program = Program()
    x = program.feed("x", [3, 4])
    top = program.op("argmax", [x, program.full(1, "int64")], [tensor([3], "int64")], {
        "keepdims": False, "flatten": False, "dtype": ("dtype", "int64"),
    })[0]  # fmt: skip
    less = program.op("subtract", [top, program.ints([1])], [tensor([3], "int64")], {})[0]
    program.fetch(program.op("gather", [x, less, program.full(0, "int32")], [tensor([3, 4])], {})[0])
    assert "where" in [op.type for op in ops_of(program.converted())]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_index_that_is_shorter_where_sizes_are_open(axis: int, tmp_path: Path) -> None:
    x = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    program = Program()
    operand, places = program.feed("x", [-1, -1, -1]), program.feed("index", [-1, 2, -1], "int64")
    taken = program.op("take_along_axis", [operand, places], [tensor([-1, -1, -1])], {"axis": axis})[0]
    twice = program.op("add", [taken, taken], [tensor([-1, -1, -1])], {})[0]
    attrs = {"axis": axis, "reduce": "assign", "include_self": True}
    put = program.op("put_along_axis", [operand, places, twice], [tensor([-1, -1, -1])], attrs)[0]
    program.fetch(taken)
    program.fetch(put, 1)
    model = qcc.load(save(program, tmp_path, {}))
    for shape in ((2, 2, 3), (3, 2, 5)):
        index = np.indices(shape)[axis][::-1] - 2  # no place twice along an axis
        changed = x.copy()
        part = changed[tuple(slice(None if at == axis else size) for at, size in enumerate(shape))]
        wanted = np.take_along_axis(part, index, axis)
        np.put_along_axis(part, index, 2 * wanted, axis)
        took, written = model.run({"x": x, "index": index})
        np.testing.assert_array_equal(took, wanted)
        np.testing.assert_array_equal(written, changed)
