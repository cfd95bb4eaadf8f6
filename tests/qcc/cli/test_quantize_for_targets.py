"""`qcc quantize MODEL --target TARGET`: the target's file, and what is told of it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_nets import float_with_arrays
from lite_case import build_model, floats, static

import qcc
from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino, openvino_missing
from qcc.backends.onnx import onnx_missing
from qcc.backends.predictor import Engine, Predictor
from qcc.cli import quantize_model
from qcc.cli.main import run
from qcc.model import Runner
from qcc.targets.processor import has_vnni
from qcc.targets.table import WITH_VNNI, find_target


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, and arrays/ of 6 batches."""
    return float_with_arrays(tmp_path_factory.mktemp("for-targets"))


def command(model: Path, data: object, target: str, out: Path) -> list[str]:
    words = ["quantize", model, "--data", data, "--target", target, "-o", out, "--no-check"]
    return [str(word) for word in words]


def said(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert run(words) == 0
    return capsys.readouterr().out


def test_what_may_not_change_between_runs_of_a_target_s_file_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paddle Lite's direct convolution gives other numbers there without a word."""
    model = build_model(lambda x: static.nn.conv2d(x, 8, 3, padding=1, stride=2), (floats(1, 3, 12, 12),))
    qcc.save(model, tmp_path / "model", check=False)
    text = said(capsys, command(tmp_path / "model", "random", "lite-x86", tmp_path / "o"))
    assert "\n  all runs of one predictor must have images of the same size.\n" in text


@pytest.mark.parametrize(("widths", "warned"), [((12, 12, 12), False), ((12, 16, 24), True)])
def test_data_of_several_sizes_is_warned_of_where_a_predictor_takes_one(
    widths: tuple[int, ...], warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = floats(1, 3, 12, 12)
    model = build_model(lambda x: static.nn.conv2d(x, 8, 3, padding=1, stride=2), (first,), any_size=True)
    qcc.save(model, tmp_path / "model", check=False)
    (tmp_path / "data").mkdir()
    for number, width in enumerate(widths):
        np.save(tmp_path / f"data/{number}.npy", floats(1, 3, 12, width))
    out = tmp_path / "o"
    assert run(command(tmp_path / "model", tmp_path / "data", "lite-x86", out)) == 0
    told = "the data has 'x0' in several sizes, from 3 x 12 x 12 to 3 x 12 x 24: use a predictor for each"
    assert (told in capsys.readouterr().err) is warned
    assert (told in (out / "report.md").read_text()) is warned


def test_a_target_s_file_is_written_as_well(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(place / "model", place / "arrays", "lite-arm", tmp_path / "o")
    assert f"wrote {tmp_path / 'o/lite-arm/model.nb'}, " in said(capsys, words)
    assert json.loads((tmp_path / "o/qcc.json").read_text())["warnings"] == []
    words = command(place / "model", place / "arrays", "paddle-x86", tmp_path / "p")
    text = said(capsys, words)
    assert "an application in Python sets Paddle Inference with oneDNN up with" in text
    assert json.loads((tmp_path / "p/qdq/qcc.json").read_text())["engine"]["target"] == "paddle-x86"


@pytest.mark.skipif(
    find_spec("onnxruntime") is None, reason="it needs ONNX Runtime; `pip install 'qcc[onnx]'`"
)
def test_a_file_for_onnx_runtime(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With scales of what ONNX Runtime wants to know besides: behind each convolution."""
    # What is much is told of what the file rounds.
    monkeypatch.setattr("qcc.calibrate.compare.noisy", lambda found, remedy: [f"off by {found[0].mean!r}"])
    text = said(capsys, command(place / "model", place / "arrays", "onnxruntime", tmp_path / "o"))
    assert f"wrote {tmp_path / 'o/onnxruntime/model.onnx'}, " in text
    assert "onnxruntime: ONNX Runtime on x86 runs in int8: 2 conv2d, 1 mul." in text
    # Both frozen forms hold those scales: the same file is made of them without any data.
    for form in ("float", "qdq"):
        file = tmp_path / f"{form}.onnx"
        words = [
            "export",
            str(tmp_path / "o" / form),
            "--target",
            "onnxruntime",
            "--no-check",
            "-o",
            str(file),
        ]
        said(capsys, words)
        assert file.read_bytes() == (tmp_path / "o/onnxruntime/model.onnx").read_bytes()
    record = json.loads((tmp_path / "o/qcc.json").read_text())
    told, *_ = record["in_target"]
    assert told["mean"] != record["agreement"][0]["mean"]
    assert f"notice: off by {told['mean']!r}" in text
    line = (
        f"as onnxruntime rounds it, against float: {told['output']}: off by {told['mean']:.2%} of its range"
    )
    assert line in text
    batches = [{"image": np.load(path)} for path in sorted((place / "arrays").iterdir())]
    runner = Runner(qcc.load(place / "model"))
    with OnnxRuntime(tmp_path / "o/onnxruntime/model.onnx", optimize=False) as engine:
        pairs = [(engine.run(batch)[0], runner.run(batch)[0]) for batch in batches]
    found, wanted = (np.concatenate(side) for side in zip(*pairs, strict=True))
    assert told["mean"] == pytest.approx(np.abs(found - wanted).mean() / np.ptp(wanted), rel=1e-2)


@pytest.mark.parametrize("engine", ["openvino", "paddle-x86"])
def test_what_is_told_of_a_target_is_what_its_engine_gives(
    engine: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It rounds more finely than the frozen form, whose agreement stands beside."""
    if engine == "openvino" and openvino_missing() is not None:
        pytest.skip(openvino_missing())
    target = engine + WITH_VNNI if has_vnni() else engine
    text = said(capsys, command(place / "model", place / "arrays", target, tmp_path / "o"))
    record = json.loads((tmp_path / "o/qcc.json").read_text())
    (told,) = record["in_target"]
    assert f"as {target} rounds it, against float: {told['output']}: off by {told['mean']:.2%}" in text
    batches = [{"image": np.load(path)} for path in sorted((place / "arrays").iterdir())]
    program, params = (tmp_path / f"o/qdq/model.{kind}" for kind in ("pdmodel", "pdiparams"))
    if engine == "openvino":
        with OpenVino(program) as opened:
            found = [opened.run(batch)[0] for batch in batches]
    else:
        listed = find_target(target).int8_ops
        opened_there = Predictor(program, params, Engine(onednn=True, int8=True, int8_ops=listed))
        found = [opened_there.run(batch)[0] for batch in batches]
    runner = Runner(qcc.load(place / "model"))
    wanted = np.concatenate([runner.run(batch)[0] for batch in batches])
    off = np.abs(np.concatenate(found) - wanted).mean() / np.ptp(wanted)
    # Without VNNI oneDNN takes the largest weight of a channel, 127, for 128.
    exact = engine == "openvino" or has_vnni()
    assert told["mean"] == pytest.approx(off, rel=1e-2 if exact else 0.15)
    assert told["mean"] != record["agreement"][0]["mean"]


@pytest.mark.parametrize("target", ["lite-arm", "lite-x86", "onnxruntime", "openvino", "tensorrt"])
def test_an_op_that_a_target_lacks_is_told_before_anything_is_measured(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {"openvino": openvino_missing(), "onnxruntime": onnx_missing(), "tensorrt": onnx_missing()}
    if (reason := missing.get(target)) is not None:
        pytest.skip(reason)

    def measured(*_: object, **__: object) -> None:
        raise AssertionError("measured first")

    monkeypatch.setattr(quantize_model, "measured", measured)
    inverse = build_model(lambda x: paddle.erfinv(static.nn.conv2d(x, 4, 3)), (floats(1, 3, 8, 8),))
    qcc.save(inverse, tmp_path / "model", check=False)
    out = tmp_path / "out"
    words = command(tmp_path / "model", "random", target, out)
    if target == "openvino":
        words.remove("--no-check")  # which lets it read nothing
    assert run(words) == 2
    assert "erfinv" in capsys.readouterr().err
    assert not out.exists()
