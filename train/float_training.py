"""Training the float network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

import qcc
from qcc._paddle import paddle, static_mode
from qcc.interrupts import StopRequest
from qcc.train.config.inputs import backbone_of
from qcc.train.config.optimization import OptimizerBuilder
from qcc.train.config.schema import FloatTraining, TrainingConfig
from qcc.train.evaluation.evaluate import RepeatedEvaluation
from qcc.train.loop.agreement import check_weights
from qcc.train.loop.board import board_in
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.loop.loop import Loop, Record
from qcc.train.loop.stepper import Stepper
from qcc.train.programs.averages import Averages
from qcc.train.programs.optimizer import add_optimizer
from qcc.train.programs.programs import TrainingProgram
from qcc.train.programs.scope import Arrays, persistable_names, read_scope
from qcc.train.programs.weights import initialise, known_weights, load_weights, put_known_weights
from qcc.train.tasks.task import Task


class FloatPhase:
    """A `Phase` that trains the network as it is, from random weights or on a trained backbone."""

    quantized = False
    distiller_optimizer = False

    def __init__(
        self, task: Task, training: FloatTraining, optimizer: OptimizerBuilder, seed: int, console: Console
    ) -> None:
        self._console = console
        self._group = task.group
        self.epochs = training.epochs
        self._evaluate = RepeatedEvaluation(task)
        self._seed = seed
        self._backbone = training.backbone_weights
        self._network = task.network()
        self._program = TrainingProgram(
            self._network, add_optimizer(self._network, optimizer, task.group.size)
        )
        self._schedule = training.learning_rate.schedule()
        self._group = task.group
        self._scope = paddle.static.Scope()
        self._names = persistable_names(self._network.test)
        self._averages = Averages(self._names if training.use_ema else [], training.ema_decay)

    def start(self, state: TrainingState | None) -> None:
        initialise(self._network, self._scope, self._seed)
        if state is None and self._backbone is not None:
            self._take_known_weights(self._backbone)
        self._stepper = Stepper(
            self._program, self._scope, self._schedule, self._averages, self._group, self._seed
        )
        if state is None:
            self._averages.start(self._scope)
        else:
            self._stepper.set_state(state.arrays)
        check_weights(self._group, self._stepper.state())

    def _take_known_weights(self, source: Path) -> None:
        others = put_known_weights(self._network, self._scope, load_weights(source), source)
        if others:
            self._console.print(
                f"{len(others)} of the network's weights are not in {source} and start at random, the first"
                f" is {others[0]}.",
                markup=False,
                highlight=False,
            )

    def begin_epoch(self, epoch: int) -> Stepper:
        return self._stepper

    def end_epoch(self, epoch: int, record: Record) -> Callable[[Path], None]:
        network = self._network
        model = qcc.from_program(
            network.test, self._scope, network.test_feeds, network.outputs, for_test=True
        )
        model.read_weights(self._scope, self._averages.values())
        record |= self._evaluate(model)
        return lambda folder: None

    def weights(self) -> Arrays:
        """The test program's weights, or their averages."""
        return read_scope(self._scope, self._names) | self._averages.values()


def check_backbone(task: Task, config: TrainingConfig) -> None:
    """Raise what is wrong with the weights that FloatTraining starts from, without reading any data."""
    backbone = backbone_of(config)
    if backbone is not None:
        known_weights(task.network(), load_weights(backbone), backbone)


@static_mode()
def train_float(
    task: Task,
    training: FloatTraining,
    optimizer: OptimizerBuilder,
    seed: int,
    folder: Path,
    console: Console,
    stop: StopRequest,
    tb_folder: Path | None = None,
    keep: int | None = None,
) -> tuple[Arrays, list[Record]]:
    """Train the float network, with checkpoints in `folder`, going on from the newest.

    `optimizer` is used when `training` names none. TensorBoard files go to `tb_folder`. `keep`: how many of
    the newest epochs keep their checkpoints, besides the best one; None: all.
    Returns the weights and a record per epoch. Raises Interrupted when `stop` was requested before the end.
    """
    store, optimizer = CheckpointStore(folder), training.optimizer or optimizer
    settings = {"FloatTraining": training.model_dump(mode="json", by_alias=True), "seed": seed}
    settings["OptimizerBuilder"] = optimizer.model_dump(mode="json", by_alias=True)
    lock = store.lock() if task.group.rank == 0 else nullcontext()
    with lock, board_in(tb_folder) as board:
        phase = FloatPhase(task, training, optimizer, seed, console)
        history = Loop(task, phase, store, settings, console, keep, board).run(stop)
    return phase.weights(), history
