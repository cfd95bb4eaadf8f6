from __future__ import annotations

import re
from pathlib import Path

import pytest

from qcc import doctor
from qcc._paddle import paddle
from qcc.cli.main import run
from qcc.doctor import DRAWING, LITE, PADDLE, Finding


@pytest.fixture
def fake_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages hide the installed ones from every process that is started."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def write_package(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(text)


def test_real_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{PADDLE}: {paddle.__version__}" in lines  # without a note: it is one of those that are tested
    assert "IR mode: old IR (ProgramDesc)" in lines
    build = "GPU (CUDA " if paddle.is_compiled_with_cuda() else "CPU"
    assert any(line.startswith(f"Build: {build}") for line in lines)
    assert "oneDNN: yes" in lines


def test_what_is_left_of_a_package_is_none(
    fake_package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_package / "~umpy-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(fake_package))
    assert run(["doctor"]) == 0
    assert f"{PADDLE}: {paddle.__version__}" in capsys.readouterr().out


@pytest.mark.lite
def test_real_lite_runtime() -> None:
    assert doctor.lite({"paddlelite": "2.13rc0"}) == Finding(LITE, "2.13rc0")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ImportError('libcuda.so.1 is missing')", "cannot be imported (libcuda.so.1 is missing)"),
        ("raise RuntimeError('module compiled against another ABI')", "module compiled against another ABI"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its import crashes with SIGSEGV"),
        ("import os; os._exit(3)", "its import fails silently"),
    ],
)
def test_broken_paddle(
    fake_package: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    write_package(fake_package, "paddle", text)
    assert run(["doctor"]) == 1
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if line.startswith(f"{PADDLE}: ")]
    assert "cannot be used" in line
    assert reason in line
    assert "Traceback" not in shown


def test_paddle_that_lacks_something(
    fake_package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can be imported, and a model cannot run: no command is ready."""
    monkeypatch.setenv("FLAGS_enable_pir_api", "0")
    (fake_package / "sitecustomize.py").write_text("import zlib, paddle.static\ndel paddle.static.Executor\n")
    assert run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{PADDLE}: ")]
    assert "cannot be used: AttributeError: module 'paddle.static' has no attribute 'Executor'" in line
    assert f"qcc is tested with Paddle {' and '.join(doctor.TESTED)}" in line
    assert "qcc inspect: needs Paddle" in lines
    assert "qcc config: ready" in lines


def test_tensorrt_is_told_of_and_lacks_for_no_command() -> None:
    missing = doctor.tensorrt({})
    assert (missing.found, missing.remedy.split(",")[0]) == ("not installed", "`pip install 'qcc[tensorrt]'`")
    assert doctor.missing_for("bench", [missing]) == []
    assert doctor.tensorrt({"tensorrt": "8.6.0"}).found == "8.6.0"


def test_versions_that_are_tested_are_those_of_the_extras() -> None:
    text = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text()
    assert set(doctor.TESTED) == set(re.findall(r'"paddlepaddle==([^"]+)"', text))
    assert re.findall(r'"paddle2onnx==([^"]+)"', text) == [doctor.TESTED_PADDLE2ONNX]
    extras = re.findall(r"^(\w+) = \[([^]]*)\]", text, re.MULTILINE)
    for package, extra in doctor.EXTRAS.values():
        assert any(name == extra and f'"{package}' in packages for name, packages in extras)


def test_both_builds_of_paddle_are_installed() -> None:
    both = {"paddlepaddle": "2.6.2", "paddlepaddle-gpu": "2.6.2"}
    (finding,) = doctor.rivals(both)
    assert not finding.ok
    assert finding.found == "paddlepaddle and paddlepaddle-gpu are both installed"
    assert "pip uninstall paddlepaddle paddlepaddle-gpu" in finding.remedy
    assert doctor.rivals({"paddlepaddle": "2.6.2", "opencv-python-headless": "4.11"}) == []


def test_lite_runtime_that_is_not_installed() -> None:
    finding = doctor.lite({})
    assert (finding.found, finding.ok) == ("not installed", False)


def test_lite_runtime_that_is_broken(fake_package: Path) -> None:
    write_package(fake_package, "paddlelite", "raise ImportError('numpy is too new')")
    finding = doctor.lite({"paddlelite": "2.13rc0"})
    assert (finding.found, finding.ok) == ("2.13rc0 cannot be used", False)
    assert finding.remedy == "ImportError: numpy is too new"


def test_packages_for_engines() -> None:
    found = {one.name: one for one in doctor.extras({"onnx": "1.22.0", "paddle2onnx": "2.0"})}
    assert list(found) == [doctor.ONNX_RUNTIME, doctor.OPENVINO, doctor.ONNX, doctor.PADDLE2ONNX]
    assert found[doctor.ONNX] == Finding(doctor.ONNX, "1.22.0")
    assert (found[doctor.OPENVINO].ok, found[doctor.OPENVINO].remedy) == (
        False,
        "`pip install 'qcc[openvino]'`",
    )
    assert found[doctor.PADDLE2ONNX].found == "2.0 (qcc is tested with 1.2.11: `pip install 'qcc[onnx]'`)"
    assert "measuring OpenVINO needs OpenVINO" in doctor.missing_for("bench", found.values())


def test_what_draws() -> None:
    missing = doctor.drawing({})
    assert (missing.ok, missing.remedy) == (False, "`pip install graphviz-pure`")
    assert doctor.drawing({DRAWING: "0.2.2"}) == Finding(DRAWING, "0.2.2")


def test_what_is_missing_for_a_command() -> None:
    without_drawing = [Finding(PADDLE, "2.6.2"), Finding(DRAWING, "not installed", ok=False)]
    assert doctor.missing_for("dump-graph", without_drawing) == ["--svg and --png needs graphviz-pure"]
    assert doctor.missing_for("freeze", without_drawing) == []
    without_paddle = [Finding(PADDLE, "cannot be used", ok=False), Finding(DRAWING, "0.2.2")]
    assert doctor.missing_for("freeze", without_paddle) == ["needs Paddle"]
