"""Slices that go backwards: Paddle 2.6 and Paddle 3 mean different ends by -1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from paddle3_programs import Program, save, tensor

import qcc

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
FAR = (1 << 63) - 1


def sliced(axes: list[int], starts: list[int], ends: list[int], strides: list[int]) -> Program:
    program = Program()
    x = program.feed("x", [-1, 3, 4])
    operands = [x, *(program.ints(numbers) for numbers in (starts, ends, strides))]
    program.fetch(program.op("strided_slice", operands, [tensor([-1, -1, -1])], {"axes": axes})[0])
    return program


@pytest.mark.parametrize(
    ("axis", "places"),
    [
        (2, slice(None, None, -1)),
        (2, slice(None, None, -3)),
        (2, slice(3, 1, -1)),
        (2, slice(-1, -3, -1)),
        (2, slice(99, 0, -2)),
        (1, slice(-2, None, -1)),
        (1, slice(2, -3, -1)),
        (2, slice(1, 4, 2)),
    ],
)
def test_numbers_are_those_of_python(axis: int, places: slice, tmp_path: Path) -> None:
    start = -1 if places.start is None else places.start
    end = -FAR if places.stop is None else places.stop
    model = qcc.load(save(sliced([axis], [start], [end], [places.step]), tmp_path, {}))
    wanted = X[(slice(None),) * axis + (places,)]
    np.testing.assert_array_equal(model.run({"x": X})[0], wanted)


def test_each_axis_has_its_own_direction(tmp_path: Path) -> None:
    model = qcc.load(save(sliced([2, 1], [-1, 1], [-FAR, FAR], [-2, 1]), tmp_path, {}))
    np.testing.assert_array_equal(model.run({"x": X})[0], X[:, 1:, ::-2])


def test_backwards_to_a_place_that_a_run_computes_is_refused() -> None:
    program = Program()
    x, end = program.feed("x", [-1, 3, 4]), program.feed("end", [1], "int64")
    operands = [x, program.ints([-1]), end, program.ints([-1])]
    program.fetch(program.op("strided_slice", operands, [tensor([-1, 3, -1])], {"axes": [2]})[0])
    with pytest.raises(
        qcc.errors.ModelFormatError, match="backwards between ends that only a run knows: flip"
    ):
        program.converted()


@pytest.mark.lite
def test_lite_runs_slices_that_go_backwards(tmp_path: Path) -> None:
    """For x86 the file is run and compared when it is saved."""
    model = qcc.load(save(sliced([2, 1], [-1, 1], [-FAR, FAR], [-2, 1]), tmp_path / "model", {}))
    saved = qcc.save(model, tmp_path / "x.nb", target="lite", form="x86", check={"x": X})
    assert not saved.warnings
    qcc.save(model, tmp_path / "arm.nb", target="lite", form="arm", check={"x": X})
