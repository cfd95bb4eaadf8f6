"""Programs of Paddle 3 as files: found wherever a `.pdmodel` may be, with their parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from paddle3_programs import Program, save, tensor

import qcc
from qcc.cli.convert import convert
from qcc.errors import ModelFormatError

W = np.arange(6, dtype=np.float32).reshape(2, 3)
X = np.ones((4, 2), np.float32)


def linear() -> Program:
    program = Program()
    program.parameter("state__non_persistable", [4], persistable=0)
    b, w, x = program.parameter("b", [3]), program.parameter("w", [2, 3]), program.feed("x", [-1, 2])
    attrs = {"transpose_x": False, "transpose_y": False}
    (product,) = program.op("matmul", [x, w], [tensor([-1, 3])], attrs)
    program.fetch(program.op("add", [product, b], [tensor([-1, 3])])[0])
    return program


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(linear(), tmp_path / "model", {"w": W, "b": np.ones(3, np.float32)})


def test_folder_file_and_prefix_are_the_same_model(saved: Path) -> None:
    for path in (saved, saved.parent, saved.with_suffix("")):
        model = qcc.load(path)
        assert model.feeds == ("x",)
        (out,) = model.run({"x": X})
        np.testing.assert_array_equal(out, X @ W + 1)


def test_the_files_may_have_other_names(saved: Path) -> None:
    saved.rename(saved.with_name("net.json"))
    saved.with_suffix(".pdiparams").rename(saved.with_name("weights"))
    assert list(qcc.load(saved.parent).weights) == ["b", "w"]
    assert list(qcc.load(saved.parent, "net.json", "weights").weights) == ["b", "w"]


def test_other_json_beside_is_no_program(saved: Path) -> None:
    saved.with_name("config.json").write_text('{"mode": "paddle"}')
    saved.with_name("inference.yml").write_text("mode: paddle")
    assert list(qcc.load(saved.parent).weights) == ["b", "w"]


def test_a_program_of_paddle_2_beside_makes_the_folder_ambiguous(saved: Path) -> None:
    qcc.save(qcc.load(saved), saved.parent, model_filename="inference.pdmodel", check=False)
    for path in (saved.parent, saved.with_suffix("")):
        with pytest.raises(ModelFormatError, match=r"several programs \(inference\.\w+, inference\.\w+\)"):
            qcc.load(path)
    assert qcc.load(saved.parent, "inference.json").fetches == ("add_0.tmp_0",)


def test_missing_parameters_are_told(saved: Path) -> None:
    saved.with_suffix(".pdiparams").unlink()
    with pytest.raises(
        ModelFormatError, match=r"no parameters that fit inference.json \(looked for inference"
    ):
        qcc.load(saved)


def test_parameters_of_another_model_are_told(tmp_path: Path) -> None:
    path = save(linear(), tmp_path, {"w": W.T, "b": np.ones(3, np.float32)})
    with pytest.raises(
        ModelFormatError, match=r"'w' is float32\[3, 2\], but .* declares it as float32\[2, 3\]"
    ):
        qcc.load(path)


def test_the_values_of_parameters_are_read_where_a_branch_needs_them(tmp_path: Path) -> None:
    program = Program()
    x, alpha = program.feed("x", [2]), program.parameter("alpha", [1])
    (condition,) = program.op("cast", [alpha], [tensor([1], "bool")], {"dtype": ("dtype", "bool")})
    yielded = {"#": "2.yield", "I": [{"%": x}], "O": []}
    doubled = {"#": "1.add", "I": [{"%": x}, {"%": x}], "O": [{"%": 900, "TT": tensor([2])}]}
    blocks = [
        {"args": [], "ops": [doubled, yielded | {"I": [{"%": 900}]}]},
        {"args": [], "ops": [yielded]},
    ]
    (y,) = program.op("if", [condition], [tensor([2])], {}, blocks)
    program.fetch(program.op("relu", [y], [tensor([2])])[0])
    for value, wanted in ((0.5, ["elementwise_add", "relu"]), (0.0, ["relu"])):
        model = qcc.load(save(program, tmp_path, {"alpha": np.array([value], np.float32)}))
        assert [op.type for op in model.graph.ops] == wanted


def test_a_file_for_inference_alone_says_less_of_its_parameters(tmp_path: Path) -> None:
    """With `"trainable": false` Paddle leaves out which are persistable; the names of states say it."""
    program = linear()
    for op in program.ops:
        op.pop("OA", None)
    path = save(program, tmp_path, {"w": W, "b": np.ones(3, np.float32)})
    assert sorted(qcc.load(path).weights) == ["b", "w"]


def test_convert_writes_what_paddle_2_reads(saved: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(convert, [str(saved.parent), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    names = ["inference.pdiparams", "inference.pdmodel", "qcc.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    before = saved.with_suffix(".pdiparams").read_bytes()
    assert (tmp_path / "out" / "inference.pdiparams").read_bytes() == before
    (out,) = qcc.load(tmp_path / "out").run({"x": X})
    np.testing.assert_array_equal(out, X @ W + 1)


def test_convert_keeps_how_images_are_prepared(saved: Path, tmp_path: Path) -> None:
    saved.with_name("inference.yml").write_text("PreProcess: {}")
    result = CliRunner().invoke(convert, [str(saved.parent), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out/inference.yml").read_text() == "PreProcess: {}"
    assert str(tmp_path / "out/inference.yml") in result.output


def test_convert_writes_other_layouts(saved: Path, tmp_path: Path) -> None:
    arguments = [str(saved), "-o", str(tmp_path / "out"), "--name", "__model__"]
    assert CliRunner().invoke(convert, arguments).exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"__model__", "__params__", "qcc.json"}


def test_convert_writes_nothing_when_an_op_is_refused(tmp_path: Path) -> None:
    program = Program()
    program.fetch(program.op("standard_gamma", [program.feed("x", [2, 2])], [tensor([2])])[0])
    save(program, tmp_path / "in", {})
    result = CliRunner().invoke(convert, [str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, ModelFormatError)
    assert not (tmp_path / "out").exists()


def test_what_is_quantized_is_saved_in_int8(tmp_path: Path) -> None:
    """The float weights, which an INT8 file does not hold, are the same when they are turned back."""
    program = Program()
    x, weight = program.feed("x", [-1, 3, 8, 8]), program.parameter("w", [4, 3, 3, 3])
    attrs = {
        "strides": [1, 1], "paddings": [1, 1], "padding_algorithm": "EXPLICIT", "dilations": [1, 1],
        "groups": 1, "data_format": "NCHW",
    }  # fmt: skip
    program.fetch(program.op("conv2d", [x, weight], [tensor([-1, 4, 8, 8])], attrs)[0])
    values = {"w": np.random.RandomState(0).uniform(-1, 1, (4, 3, 3, 3)).astype(np.float32)}
    model = qcc.load(save(program, tmp_path / "float", values))
    frozen = qcc.PassManager.parse("transform{activation_type=abs_max},freeze").run(model)
    qcc.save(frozen, tmp_path / "int8", form="int8")
    feeds = {"x": np.random.RandomState(1).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)}
    np.testing.assert_array_equal(qcc.load(tmp_path / "int8").run(feeds)[0], frozen.run(feeds)[0])
