"""`qcc eval` in engines, and by metrics of users."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from lite_case import F, build_model, floats, static

import qcc
from qcc.backends.engines.onnxruntime import onnxruntime_missing
from qcc.backends.engines.openvino import openvino_missing
from qcc.backends.lite.runtime import runtime_missing
from qcc.cli.main import run as command
from qcc.errors import PaddleError
from qcc.measure.loaded import Loaded
from qcc.model import Model, Runner

IMAGES = floats(6, 3, 8, 8)
METRIC = '''
import numpy as np

def accuracy(model):
    """Of six images, one at a time, by the labels that the float model gives."""
    images, labels = np.load({images!r}), np.load({labels!r})
    found = [int(model.run({{"x0": image[np.newaxis]}})[0].argmax()) for image in images]
    return np.mean(found == labels)

def fed(model):
    return len(model.feeds)

def wrong(model):
    return "much"

def raises(model):
    return model.run({{"another": np.zeros((1, 3, 8, 8), np.float32)}})
'''
MISSING = {
    "paddle": None,
    "onnxruntime": onnxruntime_missing(),
    "openvino": openvino_missing(),
    "lite": runtime_missing(),
}


def classifier(x: object) -> object:
    y = F.relu(static.nn.conv2d(x, 8, 3, padding=1))
    return static.nn.fc(static.nn.conv2d(y, 4, 3, stride=2), 5)


@pytest.fixture
def forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a float model, what `qcc quantize` made of it, and a module `eval_metric`."""
    model = build_model(classifier, (IMAGES,))
    qcc.save(model, tmp_path / "float", check=False)
    np.savez(tmp_path / "data.npz", x0=IMAGES)
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", model.run({"x0": IMAGES})[0].argmax(1))
    paths = {name: str(tmp_path / f"{name}.npy") for name in ("images", "labels")}
    (tmp_path / "eval_metric.py").write_text(METRIC.format(**paths))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "eval_metric", raising=False)
    asked = ["quantize", "float", "--data", "data.npz", "-o", "out", "--no-check"]
    assert command([*asked, "--target", "onnxruntime"]) == 0
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    capsys.readouterr()
    assert command(["eval", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert command(["eval", *words]) == 2
    return capsys.readouterr().err


def test_by_a_function(forms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "float", "--eval", "eval_metric:accuracy") == ["eval_metric:accuracy 1.0000"]
    found = printed(capsys, "out/qdq", "--eval", "eval_metric:accuracy")
    assert found[0].startswith("eval_metric:accuracy ")


def test_a_function_that_runs_image_by_image_compiles_once(
    forms: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling takes many times as long as a run of a small network: on some thousand images, minutes."""
    compiled: list[Model] = []
    prepare = Runner.__init__

    def noted(self: Runner, model: Model) -> None:
        compiled.append(model)
        prepare(self, model)

    monkeypatch.setattr(Runner, "__init__", noted)
    assert printed(capsys, "float", "--eval", "eval_metric:accuracy") == ["eval_metric:accuracy 1.0000"]
    assert len(compiled) == 1


@pytest.mark.parametrize("engine", MISSING)
def test_in_every_engine(engine: str, forms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = MISSING[engine]
    if missing is not None:
        pytest.skip(missing)
    words = ("--eval", "eval_metric:accuracy", "--engine", engine)
    assert printed(capsys, "float", *words) == ["float, float:", "eval_metric:accuracy 1.0000"]
    if engine == "openvino":
        assert command(["quantize", "float", "--data", "data.npz", "-o", "out", "--target", engine]) == 0
    found = printed(capsys, "out", *words)
    assert found[1::2] == ["eval_metric:accuracy 1.0000"] * (len(found) // 2)
    fed = ("--eval", "eval_metric:fed", "--engine", engine)
    assert printed(capsys, "float", *fed)[1] == "eval_metric:fed 1.0000"


@pytest.mark.skipif(onnxruntime_missing() is not None, reason=str(onnxruntime_missing()))
def test_an_onnx_file_runs_in_onnx_runtime_and_openvino(
    forms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(next(forms.glob("out/onnxruntime*/model.onnx")).relative_to(forms))
    assert printed(capsys, file, "--eval", "eval_metric:accuracy") == ["eval_metric:accuracy 1.0000"]
    assert "does not run in Paddle Lite for x86" in refused(
        capsys, file, "--eval", "eval_metric:accuracy", "--engine", "lite"
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_batch_of_another_size_is_told_without_the_engines_words(
    engine: str, forms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if MISSING[engine] is not None:
        pytest.skip(str(MISSING[engine]))
    qcc.save(build_model(classifier, (IMAGES,), batch=2), forms / "fixed", check=False)
    words = ("--eval", "eval_metric:accuracy", "--engine", engine)
    said = "'x0' is of shape [1, 3, 8, 8], which this engine does not run, and the model is declared with"
    assert f"{said} [2, 3, 8, 8]: give it that" in refused(capsys, "fixed", *words)
    assert command(["export", "fixed", "--target", engine, "-o", "fixed.onnx", "--no-check"]) == 0
    assert f"{said} [2, 3, 8, 8]: give it that" in refused(capsys, "fixed.onnx", *words)


@pytest.mark.parametrize("refused_runs", [1, 2])
def test_what_an_engine_does_not_run_is_named_and_the_rest_is_measured(
    refused_runs: int, forms: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a frozen form beside one that was written for the engine, which goes around what ends the former."""
    run, refused_by = Loaded.run, set[int]()

    def refusing(self: Loaded, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        if len(refused_by) < refused_runs or id(self) in refused_by:
            refused_by.add(id(self))
            raise PaddleError("the engine was ended by SIGSEGV.")
        return run(self, inputs)

    monkeypatch.setattr(Loaded, "run", refusing)
    words = ["eval", "out", "--eval", "eval_metric:accuracy", "--engine", "paddle"]
    capsys.readouterr()
    code = command(words)
    told = capsys.readouterr()
    if refused_runs == 1:
        assert (code, told.out.splitlines()[1]) == (0, "eval_metric:accuracy 1.0000")
        assert "not measured: out/float, frozen: the engine was ended by SIGSEGV." in told.err
    else:
        assert (code, told.out) == (2, "")
        assert "error: the engine was ended by SIGSEGV." in told.err


@pytest.mark.skipif(openvino_missing() is not None, reason=str(openvino_missing()))
def test_a_form_without_a_target_that_openvino_does_not_read(
    forms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no op mul, which fully connected layers are."""
    assert command(["quantize", "float", "--data", "data.npz", "-o", "plain", "--no-check"]) == 0
    words = refused(capsys, "plain", "--eval", "eval_metric:accuracy", "--engine", "openvino")
    assert "written for no engine: give qdq/ of `qcc freeze --target openvino`." in words


def test_what_does_not_go_together(forms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Give -c CONFIG, or --eval" in refused(capsys, "float")
    assert "go with -c" in refused(capsys, "float", "--eval", "eval_metric:accuracy", "--skip-bad")
    named = ("--eval", "eval_metric:fed", "--engine", "paddle", "--model-filename", "model.pdmodel")
    assert "go without --engine" in refused(capsys, "float", *named)
    assert "does not run in OpenVINO: " in refused(
        capsys, "out/int8", "--eval", "eval_metric:fed", "--engine", "openvino"
    )


def test_what_a_function_may_do_wrong(forms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "gave a str, and not a number" in refused(capsys, "float", "--eval", "eval_metric:wrong")
    words = ("float", "--eval", "eval_metric:raises", "--engine", "paddle")
    assert "the model is fed by ['x0'], but the inputs given are ['another']" in refused(capsys, *words)
