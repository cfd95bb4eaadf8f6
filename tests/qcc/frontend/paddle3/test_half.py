"""Programs in half floats are read in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from paddle3_cases import case, cases
from paddle3_programs import Program, ops_of, save, tensor

import qcc

X = np.float32([[1, -2, 0.5], [3, 0.25, -1]])
WEIGHT = np.float16([[0.1, 1.5], [-3.25, 2**-14], [6e-5, 60000]])


def mixed(half: str) -> Program:
    """float32 in, a product in half floats, float32 out: what mixed precision saves."""
    program = Program()
    x, weight = program.feed("x", [-1, 3]), program.parameter("w", [3, 2], half)
    (low,) = program.op("cast", [x], [tensor([-1, 3], half)], {"dtype": ("dtype", half)})
    flags = {"transpose_x": False, "transpose_y": False}
    (product,) = program.op("matmul", [low, weight], [tensor([-1, 2], half)], flags)
    (high,) = program.op("cast", [product], [tensor([-1, 2])], {"dtype": ("dtype", "float32")})
    program.fetch(high)
    return program


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_weights_are_the_same_numbers_and_casts_are_gone(half: str, tmp_path: Path) -> None:
    stored = WEIGHT
    wanted = WEIGHT.astype(np.float32)
    if half == "bfloat16":
        stored = (wanted.view(np.uint32) >> 16).astype(np.uint16)
        wanted = (stored.astype(np.uint32) << 16).view(np.float32)
    model = qcc.load(save(mixed(half), tmp_path, {"w": stored}).parent)
    assert [op.type for op in model.graph.ops] == ["matmul_v2"]
    assert model.weights["w"].dtype == np.float32
    np.testing.assert_array_equal(model.weights["w"], wanted)
    np.testing.assert_allclose(model.run({"x": X})[0], X @ wanted, rtol=1e-6)


def test_feeds_constants_and_inner_blocks_are_float32() -> None:
    program = Program()
    x = program.feed("x", [2], "float16")
    one = program.full(0.1, "float16", [2])
    program.fetch(program.op("add", [x, one], [tensor([2], "float16")])[0])
    file = program.converted()
    kinds = {var.name: var.type.lod_tensor.tensor.data_type for var in file.program.blocks[0].vars}
    assert {kinds[name] for name in kinds if name not in ("feed", "fetch")} == {5}  # VarType.FP32
    assert [op.type for op in ops_of(file)] == ["fill_constant", "elementwise_add"]


def test_a_cast_to_the_same_type_stays_where_its_operand_changes_later() -> None:
    program = Program()
    x = program.feed("x", [2], "float16")
    (y,) = program.op("relu", [x], [tensor([2], "float16")])
    (before,) = program.op("cast", [y], [tensor([2])], {"dtype": ("dtype", "float32")})
    (after,) = program.op("exp_", [y], [tensor([2], "float16")])
    program.fetch(before, 0)
    program.fetch(after, 1)
    assert [op.type for op in ops_of(program.converted())] == ["relu", "cast", "exp"]


def test_a_file_of_other_numbers_is_refused(tmp_path: Path) -> None:
    save(mixed("float16"), tmp_path, {"w": WEIGHT.astype(np.float64)})
    with pytest.raises(qcc.errors.ModelFormatError, match="'w' is float64"):
        qcc.load(tmp_path)


@pytest.mark.parametrize("name", sorted(cases("halves")))
def test_what_paddle_3_saves_is_computed_as_in_float32(name: str, tmp_path: Path) -> None:
    stored = case("halves", name)
    (found,) = stored.load(tmp_path).run(stored.inputs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, stored.outputs[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_networks_in_half_floats_are_quantized(name: str, tmp_path: Path) -> None:
    stored = case("halves", name)
    quantized = qcc.quantize(stored.load(tmp_path), [stored.inputs])
    (found,) = quantized.run(stored.inputs)
    wanted = np.asarray(stored.outputs[0])
    assert 0 < np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
