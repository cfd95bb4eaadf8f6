"""Training the float network: what is evaluated, saved and gone on with."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tiny import write_config

from qcc.interrupts import StopRequest
from qcc.train.config import load_config
from qcc.train.evaluation.evaluate import evaluate
from qcc.train.float_training import train_float
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.loop.loop import Record
from qcc.train.programs.scope import Arrays
from qcc.train.programs.weights import float_model
from qcc.train.tasks.classifier import ClassifierTask
from qcc.train.tasks.task import Feeds

AVERAGED = ("FloatTraining.epochs=2", "FloatTraining.use_ema=true", "FloatTraining.ema_decay=0.5")


class KilledTask(ClassifierTask):
    """Fails when batch number 1 of epoch 1 comes."""

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        for batch, feeds in enumerate(super().train_batches(epoch, first), start=first):
            if (epoch, batch) == (1, 1):
                raise KeyError("killed")
            yield feeds


def train(
    config_path: Path, folder: Path, overrides: tuple[str, ...] = (), kind: Any = ClassifierTask
) -> tuple[Arrays, list[Record]]:
    config = load_config(config_path, overrides)
    assert config.float_training is not None
    return train_float(
        kind(config),
        config.float_training,
        config.optimizer,
        config.seed,
        folder,
        Console(file=io.StringIO()),
        StopRequest(),
        keep=config.keep_checkpoints,
    )


def last_state(folder: Path) -> TrainingState:
    state = CheckpointStore(folder).newest()
    assert state is not None
    return state


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """A folder with a configuration, and the checkpoints of training with averages in run/."""
    folder = tmp_path_factory.mktemp("float")
    train(write_config(folder, tiny_images), folder / "run", AVERAGED)
    return folder


def test_averages_are_returned_and_evaluated(averaged: Path) -> None:
    state, config = last_state(averaged / "run").arrays, load_config(averaged / "tiny.yml")
    weights, records = train(averaged / "tiny.yml", averaged / "run", AVERAGED)  # the run has ended already
    for name in ("conv1_weights", "conv1_bn_mean", "fc7_offset"):
        np.testing.assert_array_equal(weights[name], state[f"ema/{name}"])
        assert not np.array_equal(weights[name], state[name])
    task = ClassifierTask(config)
    model = float_model(task.network(), weights, averaged)
    evaluated = evaluate(model, task)
    assert {name: records[-1][name] for name in evaluated} == evaluated


def test_averages_change_what_is_evaluated_and_not_the_training(averaged: Path, tmp_path: Path) -> None:
    _, records = train(averaged / "tiny.yml", tmp_path / "plain", AVERAGED[:1])
    plain, state = last_state(tmp_path / "plain"), last_state(averaged / "run")
    assert state.arrays.keys() - plain.arrays.keys() == {f"ema/{name}" for name in weight_names(state)}
    for name, array in plain.arrays.items():
        np.testing.assert_array_equal(array, state.arrays[name])
    assert records[-1]["train_loss"] == state.history[-1]["train_loss"]


def weight_names(state: TrainingState) -> list[str]:
    return [name.removeprefix("ema/") for name in state.arrays if name.startswith("ema/")]


def test_a_killed_run_goes_on_with_its_averages(averaged: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="killed"):
        train(averaged / "tiny.yml", tmp_path / "run", AVERAGED, KilledTask)
    weights, _ = train(averaged / "tiny.yml", tmp_path / "run", AVERAGED)
    whole, state = last_state(averaged / "run"), last_state(tmp_path / "run")
    assert state.position == whole.position
    assert state.arrays.keys() == whole.arrays.keys()
    for name, array in whole.arrays.items():
        assert array.tobytes() == state.arrays[name].tobytes(), name
    for name, array in weights.items():
        assert array.tobytes() == whole.arrays[f"ema/{name}"].tobytes()


ACCURACIES = [0.4, 0.9, 0.2, 0.3, 0.1]


@pytest.mark.parametrize(("keep", "kept"), [("2", [1, 3, 4]), ("null", [0, 1, 2, 3, 4])])
def test_checkpoints_are_thinned_out_but_for_the_best(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, kept: list[int]
) -> None:
    accuracies = iter(ACCURACIES)
    monkeypatch.setattr(ClassifierTask, "evaluate", lambda self, run: {"top1": next(accuracies)})
    overrides = ("FloatTraining.epochs=5", f"keep_checkpoints={keep}")
    _, records = train(tiny_config, tmp_path / "run", overrides)
    assert CheckpointStore(tmp_path / "run").epochs() == kept
    assert [record["top1"] for record in records] == ACCURACIES


def test_a_record_of_others_is_in_the_way(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from qcc.cli.main import run as command

    (tmp_path / "w.json").write_text('{"images": []}')
    assert command(["train", "-c", str(tiny_config), "--save", str(tmp_path / "w.npz")]) == 2
    assert f"{tmp_path}/w.json is in the way: qcc replaces only what it wrote" in capsys.readouterr().err


@pytest.mark.slow
def test_both_commands_thin_out_float_checkpoints(tiny_config: Path, tmp_path: Path) -> None:
    from qcc.cli.main import run as command

    overrides = ["-o", "FloatTraining.epochs=4", "keep_checkpoints=1"]
    assert command(["train", "-c", str(tiny_config), "--save", str(tmp_path / "w.npz"), *overrides]) == 0
    assert command(["quantize", "-c", str(tiny_config), *overrides]) == 0
    for folder in (tmp_path / "output" / "float", tmp_path / "output" / "checkpoints" / "float"):
        epochs = CheckpointStore(folder).epochs()
        assert len(epochs) <= 2
        assert epochs[-1] == 3
