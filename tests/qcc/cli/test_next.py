"""Every command names the one that comes next."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from engine_nets import engine_net

import qcc
from qcc.cli.main import COMMANDS, run
from qcc.cli.next import tell_next

# A shell runs what it prints.
WITHOUT = {"completion"}
MODULES = {target.partition(":")[0] for name, target in COMMANDS.items() if name not in WITHOUT}


@pytest.mark.parametrize(
    "module", sorted(MODULES - {"qcc.cli.quantize"} | {"qcc.cli.quantize_model", "qcc.cli.quantize_training"})
)
def test_no_command_forgets_it(module: str) -> None:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    assert "    tell_next(" in Path(spec.origin).read_text()


def test_it_stands_last_and_not_in_what_a_pipe_gets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["passes", "freeze"]) == 0
    told = capsys.readouterr()
    assert told.err == "next: qcc apply MODEL -p freeze -o OUT\n"
    assert "next:" not in told.out


def test_it_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    tell_next("check", Path("a b"), "--target", "lite-arm")
    assert capsys.readouterr().err == "next: qcc check 'a b' --target lite-arm\n"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Preprocess", "qcc quantize MODEL --data PHOTOS --preprocess FILE.yml -o OUT"),
        ("FitHeight", "qcc quantize MODEL --data PHOTOS --preprocess FILE.yml -o OUT"),
        ("YOLOv3Head", "qcc config show -c CONFIG"),
    ],
)
def test_what_says_how_images_are_prepared_is_no_configuration(
    name: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "help", name]) == 0
    assert capsys.readouterr().err == f"next: {wanted}\n"


@pytest.mark.parametrize("command", ["check", "inspect", "quantize --data random -o out"])
def test_an_onnx_file_is_told_from_a_model(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"\x08\x08")
    name, *more = command.split()
    assert run([name, str(file), *more]) == 2
    told = capsys.readouterr().err
    assert f"{file} is an ONNX file, which is not read back: `qcc bench MODEL a.onnx` times it" in told


MEASURED, KEPT = "transform{activation_type=abs_max}", "transform{activation_type=moving_average_abs_max}"


@pytest.mark.parametrize(
    ("pipeline", "target", "wanted"),
    [
        (f"{MEASURED},freeze", "lite-arm", "export {} --target lite --arch arm --calibrate DATA -o OUT.nb"),
        (f"{MEASURED},freeze", "paddle-x86", "freeze {} --target paddle-x86 --calibrate DATA --save OUT"),
        (KEPT, "lite-arm", "freeze {} --calibrate DATA --save OUT"),
        (KEPT, "paddle-x86", "freeze {} --target paddle-x86 --calibrate DATA --save OUT"),
        (f"{MEASURED},freeze", "onnxruntime", "export {} --target onnxruntime --calibrate DATA -o OUT.onnx"),
    ],
)
def test_what_check_names_is_what_takes_the_model(
    pipeline: str, target: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = qcc.PassManager.parse(pipeline).run(engine_net("fc_behind_relu")[0])
    qcc.save(model, tmp_path, check=False)
    assert run(["check", str(tmp_path), "--target", target]) == 0
    assert capsys.readouterr().err == f"next: qcc {wanted.format(tmp_path)}\n"


def test_nothing_comes_after_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "no-such-model"]) == 2
    assert "next:" not in capsys.readouterr().err


def test_it_names_the_files_that_were_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, _ = engine_net("squeeze_and_excite")
    folder = tmp_path / "two"
    for name in ("a", "b"):
        qcc.save(model, folder, model_filename=f"{name}.pdmodel", params_filename=f"{name}.bin", check=False)
    named = ["--model-filename", "b.pdmodel", "--params-filename", "b.bin"]
    assert run(["inspect", str(folder), *named]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"next: qcc check {folder}/b.pdmodel --params-filename b.bin --target lite-arm"
    assert run(line.split()[2:]) == 0
