"""`--no-slower` and `--max-latency`: what is told, written and refused. Times are made up, but for those of a
test that looks at none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command_nets import float_with_arrays, frozen_with_data
from lite_commands import outcome, refusal

import qcc
from qcc.analyze import beside
from qcc.analyze.page.elements import tag
from qcc.analyze.page.frame import page
from qcc.backends.engines.onnxruntime import onnxruntime_missing
from qcc.backends.engines.openvino import openvino_missing
from qcc.backends.lite.runtime import runtime_missing
from qcc.cli import accurate
from qcc.cli.main import run
from qcc.interrupts import Stopped
from qcc.measure.tradeoff import clock, forms
from qcc.measure.tradeoff.groups import Floats
from qcc.measure.tradeoff.search import Turns
from qcc.quantization import quantized_ops, state

needs_onnx = pytest.mark.skipif(onnxruntime_missing() is not None, reason=str(onnxruntime_missing()))
needs_lite = pytest.mark.skipif(runtime_missing() is not None, reason=str(runtime_missing()))
needs_openvino = pytest.mark.skipif(openvino_missing() is not None, reason=str(openvino_missing()))

Costs = Callable[[Floats], float]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, of three layers, and arrays/ of 6 batches."""
    return float_with_arrays(tmp_path_factory.mktemp("in-time"))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen model of four convolutions, and data for it."""
    return frozen_with_data(tmp_path_factory.mktemp("frozen"))


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Costs], None]:
    """Sets what a run of a candidate takes, in milliseconds, whatever the engine would. No page is written
    beside the report, which is no matter of time and takes some."""
    monkeypatch.setattr(beside, "write_beside", lambda *_: beside.Beside("no page"))

    def set_to(costs: Costs) -> None:
        def turns(_: clock.EngineClock, candidates: Sequence[Floats]) -> list[Turns]:
            return [Turns((costs(floats) / 1000,) * 4) for floats in candidates]

        monkeypatch.setattr(clock.EngineClock, "turns", turns)

    return set_to


def command(place: Path, out: Path, *more: object) -> list[str]:
    words = ["quantize", place / "model", "--data", place / "arrays", "-o", out, "--no-check", *more]
    return [str(word) for word in words]


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def check_curve(curve: dict[str, Any], drawing: Path) -> dict[str, Any]:
    """All of a curve is there; the candidate that was chosen."""
    for one in curve["candidates"]:
        assert one["int8_ops"] + len(one["float_layers"]) == len(curve["layers"])
        assert one["reason"] is None
        assert {"median", "first", "third"} == one["cpu_ms"].keys() == one["cpu_to_float"].keys()
        assert 0 <= one["agreement"] <= 1
    assert curve["candidates"][0]["int8_ops"] == 0
    assert curve["candidates"][1]["int8_ops"] == len(curve["layers"])
    tags = [element.tag.rpartition("}")[2] for element in ElementTree.parse(drawing).iter()]
    assert tags.count("circle") == len(curve["candidates"])
    (chosen,) = (one for one in curve["candidates"] if one["chosen"])
    assert isinstance(chosen, dict)
    return chosen


def test_what_is_slow_in_int8_stays_float(
    place: Path, tmp_path: Path, takes: Callable[[Costs], None], capsys: pytest.CaptureFixture[str]
) -> None:
    takes(lambda floats: 5 + len(floats) - 3 * ("conv2d_1.w_0" in floats))
    out = tmp_path / "out"
    assert run(command(place, out, "--target", "paddle-x86", "--no-slower")) == 0
    text = capsys.readouterr().out
    assert "met: 3.00 ms of the processor, 0.60 of the float model's, no slower is wanted" in text
    assert "1 of 3 layers stays float\nconv2d_1.w_0\n" in text
    assert {one.weight for one in quantized_ops(qcc.load(out / "float").graph)} == {
        "conv2d_0.w_0",
        "fc_0.w_0",
    }
    chosen = check_curve(read(out / "tradeoff.json"), out / "tradeoff.svg")
    assert chosen["float_layers"] == ["conv2d_1.w_0"]
    budget = read(out / "qcc.json")["time_budget"]
    assert (budget["met"], budget["interrupted"], budget["target"]) == (True, False, "paddle-x86")
    assert budget["chosen"] == chosen
    assert "## Time in Paddle Inference with oneDNN" in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("paddle-x86", ["qdq/model.pdmodel"]),
        pytest.param("onnxruntime", ["onnxruntime/model.onnx"], marks=needs_onnx),
        pytest.param("lite-x86", ["lite-x86/model.nb"], marks=needs_lite),
    ],
)
def test_the_float_model_in_the_end(
    place: Path,
    tmp_path: Path,
    takes: Callable[[Costs], None],
    capsys: pytest.CaptureFixture[str],
    target: str,
    files: list[str],
) -> None:
    takes(lambda floats: 9 - len(floats))
    out = tmp_path / "out"
    (out / "int8").mkdir(parents=True)
    assert run(command(place, out, "--target", target, "--no-slower")) == 0
    text, notices = capsys.readouterr()
    assert f"notice: {out / 'int8'} is what an earlier run has left." in notices
    assert f"no layer stays in int8: what is written for {target} is the float model" in text
    assert "notice: nothing is quantized: " in text
    # A float model is equal to itself, and has no page and nothing to be timed.
    for useless in ("agreement with the float model", "against float", "report.html"):
        assert useless not in text
    assert notices.endswith(f"next: qcc check {out / 'float'} --target {target}\n")
    assert state(qcc.load(out / "float").graph) == "float"
    assert [(out / file).is_file() for file in files] == [True]
    assert list((out / "int8").iterdir()) == []
    assert check_curve(read(out / "tradeoff.json"), out / "tradeoff.svg")["int8_ops"] == 0
    assert "Nothing is quantized." in (out / "report.md").read_text()


def test_a_latency_that_cannot_be_had(place: Path, tmp_path: Path, takes: Callable[[Costs], None]) -> None:
    takes(lambda floats: 5 + len(floats))
    out = tmp_path / "out"
    assert run(command(place, out, "--target", "paddle-x86", "--max-latency", 4.5)) == 0
    notice, *_ = read(out / "qcc.json")["notices"]
    assert notice == (
        "the budget was not met: 5.00 ms of the processor, 0.62 of the float model's, 4.5 ms are wanted"
    )
    assert len(list(quantized_ops(qcc.load(out / "float").graph))) == 3


def test_accuracy_and_time_together(
    place: Path, tmp_path: Path, takes: Callable[[Costs], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in_time_metric.py").write_text(
        "from qcc.quantization import quantized_ops\n"
        "def floats(model):\n    return 1 - len(list(quantized_ops(model.graph))) / 10\n"
    )
    monkeypatch.chdir(tmp_path)
    takes(lambda floats: 5 + len(floats) - 3 * ("fc_0.w_0" in floats))
    out = tmp_path / "out"
    both = ["--max-latency", 5, "--max-drop", 0.15, "--eval", "in_time_metric:floats"]
    assert run(command(place, out, "--target", "paddle-x86", *both)) == 0
    budget = read(out / "qcc.json")["time_budget"]
    assert budget["met"]
    assert budget["chosen"]["value"] == pytest.approx(0.9)
    assert budget["chosen"]["cpu_ms"]["median"] <= 5
    assert "fc_0.w_0" in budget["chosen"]["float_layers"]
    assert (budget["max_drop"], budget["wanted"], budget["of_float"]) == (0.15, 0.85, 1.0)


def test_interrupted_the_best_so_far_is_written(
    place: Path,
    tmp_path: Path,
    takes: Callable[[Costs], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    takes(lambda floats: 5 + len(floats))
    told = accurate.Told.progress

    def stopping(self: accurate.Told, done: int, total: int) -> None:
        if done >= 2:
            raise Stopped
        told(self, done, total)

    monkeypatch.setattr(accurate.Told, "progress", stopping)
    out = tmp_path / "out"
    assert run(command(place, out, "--target", "paddle-x86", "--no-slower")) == 130
    both = capsys.readouterr()
    assert "interrupted after 2 candidates; met: " in both.out
    assert "interrupted; this is the best so far" in both.err
    assert read(out / "tradeoff.json")["interrupted"] is True
    assert len(list(quantized_ops(qcc.load(out / "float").graph))) == 3
    assert (out / "report.md").is_file()


def test_stopped_before_anything_was_timed(
    place: Path, tmp_path: Path, takes: Callable[[Costs], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(lambda floats: 5 + len(floats))

    def stopping(self: accurate.Told, done: int, total: int) -> None:
        raise Stopped

    monkeypatch.setattr(accurate.Told, "progress", stopping)
    out = tmp_path / "out"
    assert run(command(place, out, "--target", "paddle-x86", "--no-slower")) == 130
    assert [one["int8_ops"] for one in read(out / "tradeoff.json")["candidates"]] == [0, 3]


def test_a_curve_that_cannot_be_written(place: Path, tmp_path: Path, takes: Callable[[Costs], None]) -> None:
    takes(lambda floats: 5 + len(floats))
    out = tmp_path / "out"
    (out / "tradeoff.json").mkdir(parents=True)
    assert run(command(place, out, "--target", "paddle-x86", "--no-slower")) == 2
    assert not (out / "qcc.json").exists()


@needs_onnx
def test_what_an_earlier_run_has_left_is_told(
    place: Path, tmp_path: Path, takes: Callable[[Costs], None], capsys: pytest.CaptureFixture[str]
) -> None:
    takes(lambda floats: 5 + len(floats))
    out = tmp_path / "out"
    assert run(command(place, out, "--target", "onnxruntime", "--no-slower")) == 0
    (out / "report.html").write_text(page("of the earlier run", {"summary": tag("h1", "earlier")}))
    (out / "mine.txt").write_text("kept")
    assert "earlier run" not in capsys.readouterr().err
    assert run(command(place, out)) == 0
    told = capsys.readouterr().err
    for name in ("report.html", "tradeoff.json", "tradeoff.svg", "onnxruntime/model.onnx"):
        assert f"notice: {out / name} is what an earlier run has left." in told
    assert told.count("earlier run") == 4
    assert (out / "mine.txt").read_text() == "kept"


@needs_onnx
def test_an_exported_file(frozen: Path, tmp_path: Path, takes: Callable[[Costs], None]) -> None:
    model = qcc.load(frozen)
    slow = next(quantized_ops(model.graph)).weight
    takes(lambda floats: 5 + len(floats) - 3 * (slow in floats))
    file = tmp_path / "model.onnx"
    options = ("--target", "onnxruntime", "--calibrate", frozen / "data.npz", "--no-slower")
    told = outcome("export", frozen, *options, "-o", file, "--no-check")
    assert f"1 of 4 layers stays float\n{slow}\n" in told
    curve = read(tmp_path / "model.onnx.tradeoff.json")
    chosen = check_curve(curve, tmp_path / "model.onnx.tradeoff.svg")
    assert chosen["float_layers"] == [slow]
    assert "unquantize{outputs=[" in str(read(tmp_path / "model.onnx.json"))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param("a.onnx", ["openvino"], marks=[needs_openvino, needs_onnx]),
        pytest.param("a.nb", ["lite", "--arch", "x86", "--x86-int8"], marks=needs_lite),
    ],
)
def test_an_exported_file_that_is_float(
    frozen: Path, tmp_path: Path, takes: Callable[[Costs], None], name: str, target: list[str]
) -> None:
    takes(lambda floats: 9 - len(floats))
    words = ("--target", *target, "--no-slower", "--no-check", "-o", tmp_path / name)
    told = outcome("export", frozen, *words)
    assert "no layer stays in int8: what is written for" in told
    assert (tmp_path / name).is_file()
    curve = read(tmp_path / f"{name}.tradeoff.json")
    assert {one["agreement"] for one in curve["candidates"]} == {None}


def test_the_engine_itself(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.EngineClock.__init__, "__defaults__", (2,))
    out = tmp_path / "out"
    assert run(command(place, out, "--target", "paddle-x86", "--no-slower")) == 0
    chosen = check_curve(read(out / "tradeoff.json"), out / "tradeoff.svg")
    assert chosen["cpu_to_float"]["median"] <= 1
    left = len(list(quantized_ops(qcc.load(out / "float").graph)))
    assert left == chosen["int8_ops"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        pytest.param("onnxruntime", marks=needs_onnx),
        pytest.param("openvino", marks=needs_openvino),
        pytest.param("lite-x86", marks=needs_lite),
    ],
)
def test_the_other_engines(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setattr(clock.EngineClock.__init__, "__defaults__", (2,))
    out = tmp_path / "out"
    assert run(command(place, out, "--target", target, "--no-slower")) == 0
    check_curve(read(out / "tradeoff.json"), out / "tradeoff.svg")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--max-latency", "0"], "--max-latency 0 is no time that a run could take: give milliseconds, more"),
        (["--max-latency", "-1"], "--max-latency -1 is no time"),
        (["--max-latency", "nan"], "--max-latency nan is no time"),
        (["--max-latency", "inf"], "--max-latency inf is no time"),
        (["--max-latency", "fast"], "'fast' is not a valid float"),
        (
            ["--no-slower", "--target", "lite-arm"],
            "how fast a model is on lite-arm cannot be measured here: ",
        ),
        (["--no-slower", "--effort", "trained"], "which effort trained does not"),
    ],
)
def test_what_quantize_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    """Before anything is read: neither the model nor the data exist."""
    target = [] if "--target" in words else ["--target", "openvino"]
    assert run([*command(tmp_path, tmp_path / "out", *words), *target]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_target_and_its_engine_are_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(command(tmp_path, tmp_path / "out", "--no-slower")) == 2
    assert "are about an engine: name it with --target" in capsys.readouterr().err
    monkeypatch.setitem(forms._MISSING, "openvino", lambda: "OpenVINO is not installed: `pip install x`.")
    assert run(command(tmp_path, tmp_path / "out", "--no-slower", "--target", "openvino")) == 2
    assert "OpenVINO is not installed: `pip install x`." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--target", "openvino", "--max-latency", "0", "-o", "a.onnx"], "--max-latency 0 is no time"),
        (["--no-slower", "-o", "a.nb"], "on lite-arm cannot be measured here"),
        (["--arch", "x86", "--no-slower", "-o", "a.nb"], "without --x86-int8 no layer runs in int8"),
        (
            ["--target", "openvino", "--no-slower", "--weight-only", "int8", "-o", "a.onnx"],
            "with --weight-only no layer runs in int8",
        ),
    ],
)
def test_what_export_refuses(tmp_path: Path, words: list[str], told: str) -> None:
    assert told in refusal("export", tmp_path / "model", *words)


def test_a_float_model_has_nothing_to_choose_from(place: Path, tmp_path: Path) -> None:
    words = ("--target", "openvino", "--no-slower", "-o", tmp_path / "a.onnx")
    assert "the model is float, and time budgets are about quantized ones" in refusal(
        "export", place / "model", *words
    )
