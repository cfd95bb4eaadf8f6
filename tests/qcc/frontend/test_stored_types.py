"""Parameters in another type or shape than the program declares, as Paddle's own tools leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from saved_models import build

import qcc
from qcc._paddle import VarType, paddle
from qcc.backends.program_file import inference_program
from qcc.errors import ModelFormatError
from qcc.ir.dtypes import dtype_number
from qcc.ir.tensor_stream import write_tensor
from qcc.ir.verify import verify

static = paddle.static
VALUES = np.arange(-6, 6).reshape(4, 3)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """y = x + w, with w float32 [4, 3]."""

    def net() -> tuple[list[paddle.static.Variable], list[paddle.static.Variable]]:
        x = static.data("x", [-1, 4, 3])
        return [x], [x + static.create_parameter([4, 3], "float32", name="w")]

    return build(net).save(tmp_path / "model")


def store(prefix: Path, value: np.ndarray) -> None:
    with prefix.with_suffix(".pdiparams").open("wb") as stream:
        write_tensor(stream, value, dtype_number(str(value.dtype)))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_the_type_of_the_file_wins_over_float32(prefix: Path, dtype: str) -> None:
    store(prefix, VALUES.astype(dtype))
    model = qcc.load(prefix)
    assert model.weights["w"].dtype == np.dtype(dtype)
    assert np.array_equal(model.weights["w"], VALUES)
    assert model.graph.var("w").dtype == dtype_number(dtype)
    verify(model.graph)


def test_everything_else_of_the_program_stays(prefix: Path) -> None:
    wanted = inference_program(qcc.load(prefix).graph)
    store(prefix, VALUES.astype(np.int8))
    found = inference_program(qcc.load(prefix).graph)
    (weight,) = (var for var in found.blocks[0].vars if var.name == "w")
    assert weight.type.lod_tensor.tensor.data_type == VarType.INT8
    weight.type.lod_tensor.tensor.data_type = int(VarType.FP32)
    assert found == wanted


def test_half_floats_become_what_the_program_computes_with(prefix: Path) -> None:
    store(prefix, (VALUES / 8).astype(np.float16))
    model = qcc.load(prefix)
    assert model.weights["w"].dtype == np.float32
    assert np.array_equal(model.run({"x": np.ones((1, 4, 3), np.float32)})[0], VALUES[None] / 8 + 1)


@pytest.mark.parametrize("shape", [(1, 4, 3), (4, 1, 3)])
def test_sizes_of_one_make_no_difference(prefix: Path, shape: tuple[int, ...]) -> None:
    store(prefix, VALUES.reshape(shape).astype(np.float32))
    assert np.array_equal(qcc.load(prefix).weights["w"], VALUES)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (VALUES.astype(np.int64), r"int64\[4, 3\], but .*float32\[4, 3\]"),
        (VALUES.astype(np.float64), r"float64\[4, 3\], but"),
        (VALUES.T.astype(np.int8), r"int8\[3, 4\], but"),
        (VALUES.reshape(12).astype(np.float32), r"float32\[12\], but"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(prefix: Path, value: np.ndarray, what: str) -> None:
    store(prefix, value)
    with pytest.raises(ModelFormatError, match=f"'w' is {what}.*do not belong together"):
        qcc.load(prefix, params_filename="model.pdiparams")


def test_a_scope_may_hold_integers_as_well() -> None:
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with static.program_guard(main, startup):
        x = static.data("x", [-1, 4, 3])
        out = x + static.create_parameter([4, 3], "float32", name="w")
    scope.var("w").get_tensor().set(VALUES.astype(np.int8)[None], paddle.CPUPlace())
    model = qcc.from_program(main, scope, [x], [out], for_test=True)
    assert np.array_equal(model.weights["w"], VALUES)
    assert model.graph.var("w").dtype == VarType.INT8
