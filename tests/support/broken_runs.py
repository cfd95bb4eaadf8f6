"""Runs of `quantize` that end before their time, and the states that they leave behind."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from qcc.interrupts import StopRequest
from qcc.train.config import load_config, load_slim
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.loop.interrupt import Interrupted
from qcc.train.loop.stepper import Step, Stepper
from qcc.train.programs.scope import write_scope
from qcc.train.quantize import quantize
from qcc.train.tasks.classifier import ClassifierTask
from qcc.train.tasks.task import Feeds


class StoppingTask(ClassifierTask):
    """Asks for a stop, or fails, while batch number `batch` of `epoch` is trained on."""

    def __init__(self, config: Any, epoch: int, batch: int, stop: StopRequest | None) -> None:
        super().__init__(config)
        self._where = (epoch, batch)
        self.stop = stop

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        for batch, feeds in enumerate(super().train_batches(epoch, first), start=first):
            if (epoch, batch) == self._where:
                if self.stop is None:
                    raise RuntimeError("killed")
                self.stop.requested = True
            yield feeds


def losing(monkeypatch: pytest.MonkeyPatch, name: str, size: int, number: int) -> None:
    """Let a variable of so many elements be no number any more behind the step of this number."""
    step = Stepper.step

    def spoilt(stepper: Stepper, feeds: Feeds, current: int) -> Step:
        done = step(stepper, feeds, current)
        if current == number:
            write_scope(stepper.scope, {name: np.full(size, np.nan, np.float32)})
        return done

    monkeypatch.setattr(Stepper, "step", spoilt)


def run(
    config_path: Path,
    slim_path: Path,
    where: tuple[int, int] | None = None,
    *,
    kill: bool = False,
    overrides: Sequence[str] = (),
) -> str:
    """Run to the end, or until `where`; returns what was printed."""
    config, stop, output = load_config(config_path, overrides), StopRequest(), io.StringIO()
    task = ClassifierTask(config) if where is None else StoppingTask(config, *where, None if kill else stop)
    try:
        quantize(task, config, load_slim(slim_path), Console(file=output, width=200), stop)
    except Interrupted:
        assert where is not None
        assert not kill
    except RuntimeError:
        assert kill
    return output.getvalue()


def final_state(root: Path) -> TrainingState:
    state = CheckpointStore(root).newest()
    assert state is not None
    return state


def assert_equal_states(one: TrainingState, two: TrainingState) -> None:
    assert one.position == two.position
    assert one.arrays.keys() == two.arrays.keys()
    for name, array in one.arrays.items():
        assert array.tobytes() == two.arrays[name].tobytes(), name
    for first, second in zip(one.history, two.history, strict=True):
        assert {**first, "seconds": 0} == {**second, "seconds": 0}
