"""What a configuration asks of epochs that are over is done when the run is started again, or refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from broken_runs import run
from tiny import write_config, write_slim

import qcc
from qcc.cli.main import run as command
from qcc.errors import ConfigError
from qcc.quantization import state
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.loop.stepper import Stepper
from qcc.train.tasks.classifier import ClassifierTask

SCHEME = {
    "weight_quantize_type": "channel_wise_abs_max",
    "activation_quantize_type": "moving_average_abs_max",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """tiny.yml, a finished run of a float epoch and two quantized ones in run/, of which only the first and
    the last were evaluated, and the forms of epoch 1, saved in their time, in float/."""
    folder = tmp_path_factory.mktemp("finished")
    paths = {"float_model_save_path": folder / "float"}
    slim = write_slim(folder / "run", 3, start_epoch=1, end_epoch=1, **paths, **SCHEME)
    run(write_config(folder, tiny_images), change(slim, "eval_epoch: 3", "save_eval_model: False"))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `finished`, in which nothing is trained."""
    monkeypatch.setattr(Stepper, "step", None)
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def change(slim: Path, *lines: str) -> Path:
    slim.write_text(slim.read_text().replace("compressor:\n", "\n  ".join(("compressor:", *lines)) + "\n"))
    return slim


def slim(folder: Path, **strategy: object) -> Path:
    options = {"start_epoch": 1, "end_epoch": 1, **SCHEME, **strategy}
    return write_slim(folder / "run", 3, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "qcc.json"}


def test_forms_are_saved_from_the_checkpoint(folder: Path, finished: Path) -> None:
    paths = {"float_model_save_path": folder / "new", "int8_model_save_path": folder / "int8"}
    printed = run(folder / "tiny.yml", slim(folder, **paths))
    assert "epoch 1 is over: its forms are saved from its checkpoint." in printed
    # Bit for bit what the run itself saved at the end of the epoch.
    assert contents(folder / "new") == contents(finished / "float")
    assert state(qcc.load(folder / "int8").graph) == "int8"


def test_forms_of_another_epoch_or_with_other_fetches_are_saved_anew(folder: Path, finished: Path) -> None:
    path = {"float_model_save_path": folder / "float"}
    run(folder / "tiny.yml", slim(folder, end_epoch=2, **path))
    assert contents(folder / "float") != contents(finished / "float")
    run(folder / "tiny.yml", slim(folder, save_out_nodes="[fc_0.tmp_1]", **path))
    assert qcc.load(folder / "float").fetches == ("fc_0.tmp_1",)


def test_what_is_there_is_not_saved_again_and_what_was_lost_is(folder: Path, finished: Path) -> None:
    same = slim(folder, float_model_save_path=finished / "float")
    assert "saved" not in run(folder / "tiny.yml", same)
    shutil.move(finished / "float", folder / "kept")
    try:
        assert "saved the frozen form in" in run(folder / "tiny.yml", same)
        assert contents(finished / "float") == contents(folder / "kept")
    finally:
        shutil.rmtree(finished / "float", ignore_errors=True)
        shutil.move(folder / "kept", finished / "float")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"start_epoch": 0, "end_epoch": 0},
            r"save_path: epoch 0, .* is over, and was trained before quantization was inserted; let end",
        ),
        (
            {"activation_bits": 7},
            r"epoch 1, whose forms are saved, is over, and was trained with transform\{.*activation_bits=8\},"
            r" not as .*; `qcc freeze --checkpoint \S*run --epoch 1 --save DIR` saves its forms as they were",
        ),
    ],
)
def test_what_cannot_be_saved_any_more(folder: Path, options: dict[str, int], message: str) -> None:
    path = folder / "new"
    with pytest.raises(ConfigError, match=message):
        run(folder / "tiny.yml", slim(folder, float_model_save_path=path, **options))
    assert not path.exists()


def test_a_checkpoint_that_is_gone(folder: Path, finished: Path) -> None:
    shutil.rmtree(folder / "run/1")
    run(folder / "tiny.yml", slim(folder, float_model_save_path=finished / "float"))
    with pytest.raises(
        ConfigError, match=r"checkpoint is gone; `qcc freeze --checkpoint \S*run --epoch best"
    ):
        run(folder / "tiny.yml", slim(folder, float_model_save_path=folder / "new"))


def test_what_is_only_told(folder: Path) -> None:
    asked = change(slim(folder), "prune_infer_model: [[image], [fc_0.tmp_1]]")
    printed = run(folder / "tiny.yml", asked)
    root = folder / "run"
    assert (
        f"eval_epoch: epoch 1 is over and not evaluated; `qcc eval {root} -c CONFIG --all-epochs`" in printed
    )
    assert "save_eval_model: epochs 0, 1, 2 are over, without an eval_model; float_model_save_path" in printed
    assert "eval_epoch" not in run(folder / "tiny.yml", change(slim(folder), "eval_epoch: 3"))


def test_fewer_checkpoints_are_kept(folder: Path) -> None:
    run(folder / "tiny.yml", slim(folder), overrides=["keep_checkpoints=1"])
    assert CheckpointStore(folder / "run").epochs() == [2]  # the best one, and the newest


def test_detections_of_a_finished_run_are_refused(folder: Path, capfd: Any, monkeypatch: Any) -> None:
    from qcc.train.tasks import build

    monkeypatch.setattr(build, "build_task", lambda config, *_: ClassifierTask(config))
    words = ["quantize", "-c", folder / "tiny.yml", "-s", slim(folder), "--output_eval", folder / "found"]
    assert command([*map(str, words)]) == 2
    model = folder / "run/2/eval_model"
    assert (
        f"`qcc eval {model} -c {folder / 'tiny.yml'} --output_eval {folder / 'found'}`"
        in capfd.readouterr().err
    )
    (folder / "found").mkdir()
    (folder / "found/bbox.json").write_text("[]")
    assert command([*map(str, words)]) == 0


def test_each_epoch_is_evaluated_as_it_was_trained(
    finished: Path, tmp_path: Path, tiny_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, tiny_images)
    shutil.copytree(finished / "run/float", tmp_path / "run/float")
    run(config, write_slim(tmp_path / "run", 1, **SCHEME))
    run(config, write_slim(tmp_path / "run", 2, end_epoch=1, activation_bits=3, **SCHEME))
    programs = list[str]()

    def evaluate(task: ClassifierTask, run: Any) -> dict[str, float]:
        programs.append(str(run.__self__._program))
        return {"top1": 0.5}

    monkeypatch.setattr(ClassifierTask, "evaluate", evaluate)
    assert command(["eval", str(tmp_path / "run"), "-c", str(config), "--all-epochs"]) == 0
    assert [sorted(set(re.findall(r"bit_length = (\d)", text))) for text in programs] == [["8"], ["3", "8"]]


def test_checkpoints_of_float_training_hold_no_model(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "run/float/0 is a checkpoint of float training, which holds no model"
    assert command(["eval", f"{folder}/run/float", "-c", f"{folder}/tiny.yml", "--all-epochs"]) == 2
    assert told in capsys.readouterr().err
    assert command(["freeze", "--checkpoint", f"{folder}/run/float", "--epoch", "0", "--save", "x"]) == 2
    assert told in capsys.readouterr().err
    (folder / "run/2/scheme.json").unlink()
    assert command(["freeze", "--checkpoint", f"{folder}/run", "--epoch", "2", "--save", "x"]) == 2
    assert "run/2/scheme.json is not what was written there" in capsys.readouterr().err
