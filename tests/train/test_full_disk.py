"""What the commands on data and training say when their output goes to a disk that is full."""

from __future__ import annotations

from pathlib import Path

import pytest
from full_disk import SENTENCE, run_on_full_disk
from tiny import write_config, write_slim

from qcc.cli.main import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """tiny.yml, run.yaml and the checkpoint of an epoch in run/."""
    folder = tmp_path_factory.mktemp("full")
    config, slim = write_config(folder, tiny_images), write_slim(folder / "run", 1)
    assert run(["quantize", "-c", str(config), "-s", str(slim)]) == 0
    return folder


COMMANDS = [
    "train -c tiny.yml --save w.npz",
    "quantize -c tiny.yml -s run.yaml",
    "quantize -c tiny.yml -o epochs=1",
    "eval run/0/eval_model -c tiny.yml",
    "eval run -c tiny.yml --all-epochs",
    "freeze --checkpoint run --save forms",
    "inspect run/0/eval_model",
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_full_disk_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.chdir(folder)
    assert run_on_full_disk(line.split()) == 2
    assert capsys.readouterr().err == SENTENCE
