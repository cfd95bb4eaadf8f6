"""`qcc quantize MODEL --max-drop X --eval CONFIG.yml`: the metric is that of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import qcc
from qcc._paddle import paddle, static_mode
from qcc.cli.main import run
from qcc.train.config import load_config
from qcc.train.evaluation.evaluate import evaluate
from qcc.train.programs.weights import initialise
from qcc.train.tasks.build import build_task


@pytest.fixture
@static_mode()
def command(tiny_config: Path, tmp_path: Path) -> list[str]:
    network, scope = build_task(load_config(tiny_config)).network(), paddle.static.Scope()
    initialise(network, scope, 1)
    model = qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)
    qcc.save(model, tmp_path / "model", check=False)
    words = ["quantize", tmp_path / "model", "--data", tiny_config, "--samples", 4, "-o", tmp_path / "out"]
    return [*map(str, words), "--no-check", "--max-drop", "1", "--eval", str(tiny_config)]


def test_the_metric_of_a_configuration(
    command: list[str], tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 0
    budget = json.loads((tmp_path / "out/qcc.json").read_text())["budget"]
    task = build_task(load_config(tiny_config))
    values = [evaluate(qcc.load(tmp_path / name), task)["top1"] for name in ("model", "out/float")]
    assert [budget["of_float"], budget["value"]] == pytest.approx(values)
    assert f"met: {tiny_config} gives {values[1]:.4f}, the float model {values[0]:.4f}, and" in (
        capsys.readouterr().out
    )


def test_what_is_wrong_with_the_metric_is_told_before_anything_is_measured(
    command: list[str], tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yml"
    other.write_text(tiny_config.read_text().replace("[1, 28, 28]", "[1, 20, 20]"))
    assert run([*command[:-1], str(other)]) == 2
    output = capsys.readouterr()
    assert "image_shape is [1, 20, 20], but the images" in output.err
    assert not output.out
    assert not (tmp_path / "out").exists()
