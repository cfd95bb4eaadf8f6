"""How the commands that train begin and end, without any training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.exceptions import Exit
from saved_models import MAJOR

from qcc.cli import training_run
from qcc.cli.training_options import TrainingArguments
from qcc.cli.training_run import run_training
from qcc.errors import TrainingError
from qcc.train.loop.interrupt import Interrupted
from qcc.train.tasks import build

CONFIG: Any = SimpleNamespace(use_gpu=False, save_dir=Path("out"))


@dataclass(frozen=True)
class FakeTask:
    group: Any

    def notes(self) -> list[str]:
        return ["before"]

    def left_out(self) -> list[str]:
        return ["after"]


def given(nproc: int = 1) -> TrainingArguments:
    return TrainingArguments(["a", "b"], Path("c.yml"), Path("data"), (), True, nproc, None)


def build_in_rank(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the task be that of the process of that rank."""

    def build_task(config: Any, *options: Any) -> FakeTask:
        assert (config, options[:3]) == (CONFIG, (Path("data"), True, None))
        return FakeTask(SimpleNamespace(rank=rank))

    monkeypatch.setattr(build, "build_task", build_task)


def checkpoints() -> Path:
    return Path("run")


def check(task: Any) -> None:
    print("checked")


def finish(task: Any, console: Any, stop: Any) -> str:
    console.print("trained")
    return "result"


def interrupt(task: Any, console: Any, stop: Any) -> str:
    raise Interrupted


def test_the_first_process_gets_the_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_in_rank(0, monkeypatch)
    assert run_training(given(), CONFIG, checkpoints, check, finish)[1] == "result"
    assert capsys.readouterr().out.split() == ["checked", "before", "trained", "after"]


def test_the_others_end(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    build_in_rank(1, monkeypatch)
    with pytest.raises(Exit) as end:
        run_training(given(), CONFIG, checkpoints, check, finish)
    assert end.value.exit_code == 0
    assert capsys.readouterr().out.split() == ["checked", "before", "trained", "after"]


def test_an_interrupted_run_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    build_in_rank(0, monkeypatch)
    with pytest.raises(Exit) as end:
        run_training(given(), CONFIG, checkpoints, check, interrupt)
    assert end.value.exit_code == 130
    assert capsys.readouterr().out.split() == ["checked", "before"]


@pytest.mark.skipif(MAJOR >= 3, reason="Paddle 3 trains in one process")
def test_the_process_that_starts_the_others_only_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training_run,
        "launch",
        lambda command, count, logs: (command[-2:], count, logs) == (["a", "b"], 3, Path("out/log")),
    )
    with pytest.raises(Exit) as end:
        run_training(given(3), CONFIG, checkpoints, check, finish)
    assert end.value.exit_code == 1  # that of launch, which has got what it should


@pytest.mark.skipif(MAJOR >= 3, reason="Paddle 3 trains in one process")
def test_when_one_is_killed_the_last_good_checkpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*given: object) -> int:
        raise TrainingError("process 1 of 3 was ended by SIGKILL, and the others were ended.")

    monkeypatch.setattr(training_run, "launch", killed)
    with pytest.raises(
        TrainingError,
        match=r"process 1 of 3 was ended by SIGKILL, .*; the last good checkpoint is none: this was the first"
        r" epoch\.$",
    ):
        run_training(given(3), CONFIG, checkpoints, check, finish)
