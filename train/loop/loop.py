"""The epoch loop: train, evaluate, write a checkpoint; go on where an earlier run stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from qcc.errors import QccError, TrainingError, WorkerError
from qcc.files import write_json
from qcc.interrupts import StopRequest
from qcc.shown import counted
from qcc.train.loop.agreement import check_settings
from qcc.train.loop.board import Board
from qcc.train.loop.checkpoint import INTERRUPTED, METRICS, CheckpointStore, Position, TrainingState
from qcc.train.loop.differences import changed_settings
from qcc.train.loop.interrupt import Interrupted
from qcc.train.loop.journal import Journal
from qcc.train.loop.progress import EpochProgress
from qcc.train.loop.shared_state import shared_state
from qcc.train.loop.stepper import Stepper
from qcc.train.tasks.task import Feeds, Trainable

_STEPS_PER_RECORD = 20
Record = dict[str, Any]


class Phase(Protocol):
    """What is trained. The loop calls `start`, then for each epoch `begin_epoch` and `end_epoch`."""

    epochs: int

    @property
    def quantized(self) -> bool:
        """Whether what is trained has fake quantization in it."""
        ...

    @property
    def distiller_optimizer(self) -> bool:
        """Whether it is trained by the optimizer of DistillerOptimizer."""
        ...

    def start(self, state: TrainingState | None) -> None:
        """Bring every variable to its first value, or to those of an earlier run."""
        ...

    def begin_epoch(self, epoch: int) -> Stepper:
        """What to train this epoch with."""
        ...

    def end_epoch(self, epoch: int, record: Record) -> Callable[[Path], None]:
        """Evaluate, adding to the epoch's record; returns what writes further files of its checkpoint."""
        ...


class Loop:
    """Runs a phase. The checkpoint folder must be locked by the caller.

    `keep`: how many of the newest epochs keep their checkpoints, besides the best one; None: all.
    `board`: told the same as metrics.jsonl.
    """

    def __init__(
        self,
        task: Trainable,
        phase: Phase,
        store: CheckpointStore,
        settings: dict[str, Any],
        console: Console,
        keep: int | None = None,
        board: Board | None = None,
    ) -> None:
        self._task = task
        self._phase = phase
        self._store = store
        self._settings = settings
        self._console = console
        self._keep = keep
        self._journal = Journal(store.root / "metrics.jsonl")
        self._board = board
        self._history: list[Record] = []

    def run(self, stop: StopRequest) -> list[Record]:
        """Train to the last epoch; returns a record per epoch.

        Raises Interrupted when `stop` was requested before the end, TrainingError when the loss is not
        finite, when at the end of an epoch a variable is not, and when another process has gone; the message
        names the last good checkpoint.
        Raises ConfigError when the processes that train together were not started alike.
        """
        group = self._task.group
        if group.rank == 0:
            self._task.check()
        check_settings(group, self._settings, self._task.facts)
        state = shared_state(group, self._store.newest() if group.rank == 0 else None)
        position, sums = Position(), {}
        if state is not None:
            state = state.among(self._task.steps_per_epoch)
            position, sums, self._history = state.position, state.sums, state.history
            if group.rank == 0:
                self._tell_resumed(state)
        # First: a state that is refused, such as another network's, leaves the folder as it is.
        self._phase.start(state)
        if group.rank == 0:
            self._rewind(position)
            if self._history:
                self._write_summary()  # a kill may have come between the last checkpoint and this
            if self._keep is not None:
                self._thin_out(self._keep)  # as a run that kept more did not
        with self._naming_last_good():
            while position.epoch < self._phase.epochs:
                position = self._run_epoch(position, sums, stop)
                sums = {}
                if self._agreed(stop, {})[0] and position.epoch < self._phase.epochs:
                    if position.batch == 0 and group.rank == 0:
                        self._tell_stopped(f"epoch {position.epoch - 1}", self._store.root)
                    raise Interrupted
        return self._history

    def _run_epoch(self, position: Position, sums: dict[str, float], stop: StopRequest) -> Position:
        """Returns where to go on: the next epoch, or the middle of this one."""
        stepper = self._phase.begin_epoch(position.epoch)
        began = time.monotonic()
        position, sums = self._train(stepper, position, sums, stop)
        stepper.check_finite(position.step - 1)
        if position.batch < self._task.steps_per_epoch:
            if self._task.group.rank == 0:
                self._write_interrupted(stepper, position, sums)
            return position
        if self._task.group.rank == 0:
            self._finish_epoch(stepper, position, sums, began)
        return Position(position.epoch + 1, 0, position.step)

    def _finish_epoch(
        self, stepper: Stepper, position: Position, sums: dict[str, float], began: float
    ) -> None:
        """Evaluate and write the epoch's checkpoint."""
        epoch = position.epoch
        record: Record = {"epoch": epoch, "quantized": self._phase.quantized}
        record |= {f"train_{name}": total / position.batch for name, total in sums.items()}
        try:
            write_more = self._phase.end_epoch(epoch, record)
        except QccError:
            # What evaluating or saving tripped over can be mended, and the epoch need not be trained again.
            self._write_interrupted(stepper, position, sums)
            raise
        record["seconds"] = round(time.monotonic() - began, 3)
        self._history.append(record)
        position = Position(epoch + 1, 0, position.step)
        self._write_checkpoint(stepper, position, record, write_more)
        self._record(position.step, {"kind": "epoch", **record})
        self._tell_epoch(record)

    def _agreed(self, stop: StopRequest, scores: dict[str, float]) -> tuple[bool, dict[str, float]]:
        """Whether any process was asked to stop, so that all do, and the means of the scores over all."""
        stopping, *means = self._task.group.mean([float(stop.requested), *scores.values()])
        return stopping > 0, dict(zip(scores, means, strict=True))

    def _train(
        self, stepper: Stepper, position: Position, sums: dict[str, float], stop: StopRequest
    ) -> tuple[Position, dict[str, float]]:
        steps = self._task.steps_per_epoch
        # By its number, as folders and tables have it, from 0.
        label = f"epoch {position.epoch} ({position.epoch + 1} of {self._phase.epochs})"
        steps_after = steps * (self._phase.epochs - position.epoch - 1)
        progress = EpochProgress(self._console, label, steps, self._task.batch_size, steps_after)
        batches = self._task.train_batches(position.epoch, position.batch)
        with progress.showing(position.batch):
            while (feeds := self._next(batches, stepper, position, sums, stop)) is not None:
                done = stepper.step(feeds, position.step)
                scores = {"loss": done.loss, **done.parts, **self._task.train_scores(feeds, done.outputs)}
                stopping, scores = self._agreed(stop, scores)
                sums = {name: sums.get(name, 0.0) + value for name, value in scores.items()}
                position = replace(position, batch=position.batch + 1, step=position.step + 1)
                means = {name: total / position.batch for name, total in sums.items()}
                progress.update(position.batch, means)
                if position.step % _STEPS_PER_RECORD == 0 and self._task.group.rank == 0:
                    rate = stepper.rate(position.step - 1)
                    where = {"kind": "step", "epoch": position.epoch, "learning_rate": rate}
                    self._record(position.step, where | means)
                if stopping:
                    break
        return position, sums

    def _next(
        self,
        batches: Iterator[Feeds],
        stepper: Stepper,
        position: Position,
        sums: dict[str, float],
        stop: StopRequest,
    ) -> Feeds | None:
        """The next batch. Where one process has none to be had, the state is kept as after Ctrl-C, if it is
        finite, and all end: that process with its error, the others with a TrainingError that tells it.

        When a process that loads it has ended, TrainingError is raised; Interrupted where the same signal has
        asked this process to stop.
        """
        feeds, error = None, None
        try:
            feeds = next(batches, None)
        except QccError as raised:
            error = raised
        group = self._task.group
        failed = group.mean([float(error is not None and rank == group.rank) for rank in range(group.size)])
        if not any(failed):
            return feeds
        if group.rank == 0:
            # What is not finite is not kept: no run could go on from it.
            stepper.check_finite(position.step - 1)
            self._write_interrupted(stepper, position, sums)
        first = next(rank for rank, share in enumerate(failed) if share)
        # The others wait here until the state is kept: the first that ends has all ended by its launcher.
        told = group.share(str(error).encode(), first).decode()
        if error is None:
            raise TrainingError(f"process {first} of {group.size} has no next batch: {told}")
        if not isinstance(error, WorkerError):
            raise error
        if stop.requested and group.size == 1:  # others would wait for this one
            raise Interrupted from None
        raise TrainingError(str(error)) from error

    @contextmanager
    def _naming_last_good(self) -> Iterator[None]:
        """Complete the message of a TrainingError."""
        try:
            yield
        except TrainingError as error:
            message = str(error).removesuffix(".")
            raise TrainingError(f"{message}; {self._last_good()}.") from error

    def _last_good(self) -> str:
        if self._task.group.rank > 0:
            return "process 0 says which checkpoint is the last good one"
        return self._store.last_good()

    # ------------------------------------------------------------------ checkpoints

    def _state(self, stepper: Stepper, position: Position, sums: dict[str, float]) -> TrainingState:
        return TrainingState(
            stepper.state(),
            position,
            self._phase.quantized,
            sums,
            self._history,
            self._settings,
            self._phase.distiller_optimizer,
            self._task.steps_per_epoch,
        )

    def _write_checkpoint(
        self, stepper: Stepper, position: Position, record: Record, write_more: Callable[[Path], None]
    ) -> None:
        def fill(folder: Path) -> None:
            self._state(stepper, position, {}).write(folder)
            write_json(folder / METRICS, record)
            write_more(folder)

        self._store.write(str(position.epoch - 1), fill)
        self._store.remove(INTERRUPTED)
        self._write_summary()
        if self._keep is not None:
            self._thin_out(self._keep)

    def _write_summary(self) -> None:
        write_json(self._store.root / METRICS, summary(self._history, self._task.main_metric))

    def _thin_out(self, keep: int) -> None:
        best = best_record(self._history, self._task.main_metric, quantized=self._phase.quantized)
        for epoch in self._store.epochs()[:-keep]:
            if best is None or epoch != best["epoch"]:
                self._store.remove(str(epoch))

    def _write_interrupted(self, stepper: Stepper, position: Position, sums: dict[str, float]) -> None:
        folder = self._store.write(INTERRUPTED, self._state(stepper, position, sums).write)
        self._tell_stopped(f"batch {position.batch} of epoch {position.epoch}", folder)

    # ------------------------------------------------------------------ telling

    def _rewind(self, position: Position) -> None:
        """Let the records go on from `position`; a new board is told what came before."""
        self._journal.rewind(position.step)
        records = self._journal.records()
        if self._board is not None and self._board.is_new():
            self._board.rewind(0)
            for record in records:
                self._board.write(record["step"], record)
        elif self._board is not None:
            self._board.rewind(position.step)
        told = [record.get("epoch") for record in records if record.get("kind") == "epoch"]
        if position.batch == 0 and self._history and self._history[-1]["epoch"] not in told:
            # A kill has come between the epoch's checkpoint and this.
            self._record(position.step, {"kind": "epoch", **self._history[-1]})

    def _record(self, step: int, record: Record) -> None:
        self._journal.write(step, record)
        if self._board is not None:
            self._board.write(step, record)

    def _tell_stopped(self, behind: str, folder: Path) -> None:
        self._console.print(
            f"stopped after {behind}; saved in {folder}, the same command goes on from there.", markup=False
        )

    def _tell_resumed(self, state: TrainingState) -> None:
        epoch, epochs, root = state.position.epoch, self._phase.epochs, self._store.root
        if epoch < epochs:
            batch, steps = state.position.batch, self._task.steps_per_epoch
            rest = f", batch {batch + 1} of {steps}" if batch < steps else " is trained, and is evaluated now"
            message = f"going on from {root}: epoch {epoch} ({epoch + 1} of {epochs}){rest}."
        elif epoch == epochs:
            message = (
                f"{root} is finished: {epochs} of {counted(epochs, 'epoch')} done, nothing is left to train."
            )
        else:
            message = (
                f"{root} has {counted(epoch, 'epoch')}, more than the {epochs} asked for: none is trained."
            )
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)
        for line in changed_settings(state.settings, self._settings):
            self._console.print(f"  changed since then: {line}", markup=False)

    def _tell_epoch(self, record: Record) -> None:
        numbers = {name: value for name, value in record.items() if isinstance(value, float)}
        text = "  ".join(f"{name} {value:.4f}" for name, value in numbers.items() if name != "seconds")
        self._console.print(f"epoch {record['epoch']} done: {text}", markup=False, highlight=False)


def summary(history: list[Record], main_metric: str) -> dict[str, Any]:
    """All records and, as `best`, the one that `best_record` finds."""
    return {"epochs": history, "best": best_record(history, main_metric)}


def best_record(history: list[Record], main_metric: str, *, quantized: bool = True) -> Record | None:
    """The quantized (or float) epoch with the highest main metric, the earliest of equals."""
    rated = [record for record in history if record["quantized"] == quantized and main_metric in record]
    return max(rated, key=lambda record: record[main_metric], default=None)
