"""`qcc quantize MODEL --effort accurate`, and budgets: what is told, recorded and refused."""

from __future__ import annotations

import importlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_nets import float_with_arrays
from hard_nets import FEED, hard_net

import qcc
from qcc.calibrate.accurate import reconstruction
from qcc.calibrate.accurate.steps import MUCH_LESS, STEPS, Step
from qcc.calibrate.collect import numbered
from qcc.cli import accurate
from qcc.cli.budget import ranked_on
from qcc.cli.main import run
from qcc.interrupts import Stopped
from qcc.quantization import quantized_ops


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model/, and arrays/ of 6 batches."""
    return float_with_arrays(tmp_path_factory.mktemp("accurate"))


def command(place: Path, out: Path, *more: object) -> list[str]:
    words = ["quantize", place / "model", "--data", place / "arrays", "-o", out, "--no-check", *more]
    return [str(word) for word in words]


def result(out: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((out / "qcc.json").read_text())
    return record


def quantized(out: Path) -> int:
    return len(list(quantized_ops(qcc.load(out / "float").graph)))


def test_steps_are_told_and_recorded(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(command(place, out, "--effort", "accurate", "--without", "absorption")) == 0
    text, report, record = capsys.readouterr().out, (out / "report.md").read_text(), result(out)
    assert record["effort"] == "accurate"
    assert [step["name"] for step in record["steps"]] == [step for step in STEPS if step != "absorption"]
    for step in record["steps"]:
        (line,) = (line for line in text.splitlines() if line.startswith(f"{step['name']}: "))
        assert f"- {line}" in report
        share = MUCH_LESS if step["name"] in ("channel-gains", "float-input") else 1.0
        assert step["kept"] == (step["after"] is not None and step["after"] < share * step["before"])
        assert ("undone" in line) == (step["after"] is not None and not step["kept"])
    assert "## Steps, by the outputs' mean error on 2 held-back batches" in report
    assert "## Quantized against float, on 2 of the batches, none of which was learned from\n" in report
    assert "against float, on 2 of the batches, none of which was learned from: " in text
    assert record["compared_on"] == 2
    written = ["float", "int8", "qcc.json", "qdq", "report.html", "report.md"]
    assert sorted(path.name for path in out.iterdir()) == written


def test_too_few_batches_to_hold_any_back(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    few = ["--samples", 3, "--without", "adaround", "--without", "absorption"]
    assert run(command(place, out, "--effort", "accurate", *few)) == 0
    assert "on 3 of the batches, which weights were learned from\n" in (out / "report.md").read_text()


def test_a_budget_of_agreement(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(command(place, out, "--min-agreement", 0)) == 0
    told = capsys.readouterr().out
    assert re.search(
        r"^met: agreement \(equal classes\) \S+% on 6 batches, where 0.00% is wanted$", told, re.MULTILINE
    )
    assert "notice: agreement was measured on 6 batches only, so that one of them makes 17%" in told
    assert "notice: the agreement is about where the largest number of each row of 'fc_" in told
    budget = result(out)["budget"]
    assert (budget["met"], budget["float_layers"], budget["tried"][0]["layers"]) == (True, [], 0)
    assert quantized(out) == 3


def test_a_budget_of_a_function(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_metric.py").write_text(
        "from qcc.quantization import quantized_ops\n"
        "def floats(model):\n    return 1 - len(list(quantized_ops(model.graph))) / 10\n"
        "def text(model):\n    return 'good'\n"
        "def nothing(model):\n    return float('nan')\n"
        "def broken(model):\n    return {}['labels']\n"
    )
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    assert run(command(place, out, "--max-drop", 0.15, "--eval", "my_metric:floats")) == 0
    text = capsys.readouterr().out
    assert "met: my_metric:floats gives 0.9000, the float model 1.0000, and 0.8500 is wanted" in text
    assert "2 of 3 quantized layers stay float for it" in text
    assert quantized(out) == 1
    assert [one["layers"] for one in result(out)["budget"]["tried"]] == [0, 1, 2]

    assert run(command(place, out, "--max-drop", 0.05, "--eval", "my_metric:floats")) == 0
    notice, *_ = result(out)["notices"]
    assert notice.startswith("the budget was not met: my_metric:floats gives 0.9000, the float model 1.0000")
    assert quantized(out) == 1

    assert run(command(place, tmp_path / "o", "--max-drop", 0.1, "--eval", "my_metric:text")) == 2
    assert "--eval my_metric:text gave a str, and not a number" in capsys.readouterr().err
    assert run(command(place, tmp_path / "o", "--max-drop", 0.1, "--eval", "my_metric:nothing")) == 2
    assert "--eval my_metric:nothing gave nan, which is no number to compare by" in capsys.readouterr().err
    assert run(command(place, tmp_path / "o", "--max-drop", 0.1, "--eval", "my_metric:broken")) == 2
    assert "--eval my_metric:broken raised KeyError: 'labels'." in capsys.readouterr().err
    assert run(command(place, tmp_path / "o", "--max-drop", 0.1, "--eval", "my_metric:missing")) == 2
    assert "--eval my_metric:missing is no file or folder, and no function" in capsys.readouterr().err


def test_batches_that_come_once_are_held(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "once.py").write_text(
        "import numpy as np\nfrom pathlib import Path\n"
        f"def batches():\n    for path in sorted(Path({str(place / 'arrays')!r}).iterdir()):\n"
        "        yield {'image': np.load(path)}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run(command(place, tmp_path / "files", "--min-agreement", 0)) == 0
    words = command(place, tmp_path / "once", "--min-agreement", 0)
    words[words.index("--data") + 1] = "once:batches"
    assert run(words) == 0
    assert result(tmp_path / "once")["budget"] == result(tmp_path / "files")["budget"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--without", "adaround"],
            "that is a step of --effort accurate; effort calibrated has equalization and",
        ),
        (["--max-drop", "1"], "--max-drop X and --eval CONFIG.yml (or module:function) go together"),
        (["--eval", "a:b"], "--max-drop X and --eval CONFIG.yml (or module:function) go together"),
        (["--max-drop", "1", "--eval", "a:b", "--min-agreement", "1"], "there is one budget"),
        (["--min-agreement", "2"], "2.0 is not in the range 0<=x<=1"),
    ],
)
def test_what_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(command(place, tmp_path / "out", *words)) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_names_of_the_steps_are_those_that_there_are() -> None:
    assert accurate._STEPS == STEPS


def test_what_is_left_is_named_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = hard_net("one channel 200 times the others", calibration=6)
    qcc.save(net.model, tmp_path / "model", check=False)
    (tmp_path / "arrays").mkdir()
    for number, batch in enumerate(net.calibration):
        np.save(tmp_path / f"arrays/{number}.npy", batch[FEED])
    assert run(command(tmp_path, tmp_path / "out", "--without", "equalization")) == 0
    told = "'relu_0.tmp_0' is off by "
    said = capsys.readouterr().out
    assert f"notice: when quantized, {told}" in said
    # Both divide channels by products of their own, which the default for no target does not put in.
    assert "Try --effort accurate, which brings channels to like ranges, or --target onnxruntime or" in said
    assert result(tmp_path / "out")["notices"][0].startswith(f"when quantized, {told}")
    assert run(command(tmp_path, tmp_path / "default")) == 0
    assert "Weights: channels of 3 activations balanced.\n" in (tmp_path / "default/report.md").read_text()
    only = ["--without", "absorption", "--without", "bias-correction", "--without", "adaround"]
    assert run(command(tmp_path, tmp_path / "better", "--effort", "accurate", *only)) == 0
    assert not [notice for notice in result(tmp_path / "better")["notices"] if told in notice]


@pytest.mark.parametrize(("side", "count"), [(12, 16), (224, 16), (448, 4), (896, 2)])
def test_layers_are_ranked_on_fewer_of_larger_images(side: int, count: int) -> None:
    assert ranked_on(list(numbered([{FEED: np.zeros((1, 3, side, side), np.float32)}]))) == count


def test_what_other_data_have_left_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: object, even: bool) -> None:
        raise Stopped

    qcc.save(
        hard_net("one channel 200 times the others", calibration=6).model, tmp_path / "model", check=False
    )
    (tmp_path / "drawn_batches.py").write_text(
        "import numpy as np\nfactor = 1\ndef batches():\n"
        "    random = np.random.default_rng(0)\n    for number in range(6):\n"
        "        image = factor * random.standard_normal((1, 3, 12, 12))\n"
        f"        yield {{{FEED!r}: image.astype(np.float32)}}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    drawn = importlib.import_module("drawn_batches")

    def words(out: str, *more: str) -> list[str]:
        left_out = ["--effort", "accurate", "--without", "absorption", "--without", "bias-correction", *more]
        found = command(tmp_path, tmp_path / out, *left_out)
        found[found.index("--data") + 1] = "drawn_batches:batches"
        return found

    with monkeypatch.context() as patch:
        patch.setattr(reconstruction, "adaround", stop)
        assert run(words("out")) == 128 + signal.SIGINT
    (left,) = (tmp_path / "out/.calibration/steps").iterdir()
    assert list(left.glob("statistics-*.npz"))
    # What was measured before the steps; of code, it is not known whether it gives the same again.
    for file in (tmp_path / "out/.calibration").glob("*.npz"):
        file.unlink()
    monkeypatch.setattr(drawn, "factor", 3)
    for out in ("out", "whole"):
        assert run(words(out, "--without", "adaround")) == 0
    one, other = (tmp_path / out / "float/model.pdiparams" for out in ("out", "whole"))
    assert one.read_bytes() == other.read_bytes()
    assert result(tmp_path / "out")["steps"] == result(tmp_path / "whole")["steps"]


def test_an_error_that_is_not_finite_is_written_as_none() -> None:
    section = accurate.steps_section([Step("adaround", np.inf, np.nan)], [])
    assert section.content == [{"name": "adaround", "before": None, "after": None, "kept": False, "note": ""}]


@pytest.mark.slow
def test_it_goes_on_where_it_was_interrupted(place: Path, tmp_path: Path) -> None:
    """Interrupted while layers are rounded, it gives what it gives in one run."""
    out = tmp_path / "out"
    words = command(place, out, "--effort", "accurate")
    (tmp_path / "interrupting.py").write_text(
        "import os, signal, sys\nfrom qcc.calibrate.accurate import reconstruction\n"
        "from qcc.cli.main import run\n"
        "solve = reconstruction.adaround\n"
        "def adaround(*given, **named):\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return solve(*given, **named)\n"
        "reconstruction.adaround = adaround\n"
        f"sys.exit(run({words!r}))\n"
    )
    line = [sys.executable, tmp_path / "interrupting.py"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 128 + signal.SIGINT
    assert "interrupted; the same command goes on with what was done." in done.stderr
    assert not (out / "float").exists()
    assert list((out / ".calibration/steps").glob("*/step-*.npz"))
    assert run(words) == 0
    assert not (out / ".calibration").exists()
    assert run(command(place, tmp_path / "whole", "--effort", "accurate")) == 0
    for form in ("float", "int8", "qdq"):
        one, other = (folder / form / "model.pdiparams" for folder in (out, tmp_path / "whole"))
        assert one.read_bytes() == other.read_bytes()
