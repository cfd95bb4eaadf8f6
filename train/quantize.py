"""Quantization-aware training from a configuration and a slim file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

from rich.console import Console

import qcc
from qcc._paddle import paddle, static_mode
from qcc.errors import CheckpointError, ConfigError
from qcc.grammar.section import Section
from qcc.interrupts import StopRequest
from qcc.model import Model
from qcc.train.config import QuantizationStrategy, Slim, TrainingConfig
from qcc.train.config.inputs import first_weights_of, refuse_addresses
from qcc.train.config.schema import FloatTraining
from qcc.train.config.slim import Distillation
from qcc.train.epochs import missed
from qcc.train.evaluation.evaluate import RepeatedEvaluation
from qcc.train.float_training import check_backbone, train_float
from qcc.train.loop.agreement import check_weights
from qcc.train.loop.board import board_in
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState, check_digests, read_json
from qcc.train.loop.loop import Loop, Record, best_record
from qcc.train.loop.stepper import Stepper
from qcc.train.models.network import Network
from qcc.train.programs.averages import Averages, split_averages
from qcc.train.programs.programs import Stage, TrainingProgram, TrainingPrograms
from qcc.train.programs.pruning import can_take_shapes, take_shapes
from qcc.train.programs.scheme import check_choice, simulated_outputs, transform_pipeline
from qcc.train.programs.scope import Arrays, persistable_names, write_scope
from qcc.train.programs.teacher import FirstWeights, OwnNetwork, Teacher, find_teacher
from qcc.train.programs.weights import fitting_weights, initialise, load_weights
from qcc.train.saving import SCHEME, Outputs, TestModel
from qcc.train.tasks.task import NetworkTask, Task

# Where, among the checkpoints, those of FloatTraining are.
FLOAT_FOLDER = "float"


class QuantizationPhase:
    """A `Phase` that inserts quantization at the strategy's first epoch and freezes at its last.

    `store`: the checkpoints of the run, from which it does what is asked of epochs that are over.
    """

    def __init__(
        self,
        task: NetworkTask,
        config: TrainingConfig,
        slim: Slim,
        first_weights: FirstWeights,
        console: Console,
        store: CheckpointStore | None = None,
    ) -> None:
        self.epochs = slim.epochs
        self.evaluations = 0
        self._task = task
        self._evaluate = RepeatedEvaluation(task)
        self._config = config
        self._slim = slim
        self._first_weights = first_weights
        self._store = store
        self._console = console
        self._scope = paddle.static.Scope()
        self._network = self._first_network()
        check_choice(self._network.test, slim.strategy)
        simulated = simulated_outputs(self._network, slim.strategy)
        self._pipeline = transform_pipeline(slim.strategy, simulated)
        self._outputs = Outputs(self._network, slim, console, self._pipeline)
        own = config.distiller_optimizer
        self._programs = TrainingPrograms(
            self._network,
            config.optimizer,
            self._pipeline,
            self._teacher,
            distiller_optimizer=(None if own is None else own.optimizer) or config.optimizer,
            processes=task.group.size,
        )
        averaged = persistable_names(self._network.test) if config.use_ema else []
        self._averages = Averages(averaged, config.ema_decay)

    @property
    def quantized(self) -> bool:
        return self._stage.quantized

    @property
    def distiller_optimizer(self) -> bool:
        return self._stage.distiller_optimizer

    def check(self, epoch: int, *, first_weights: bool) -> None:
        """Raise what is wrong with the teachers of `epoch` and later ones, and with the first weights, which
        must be there already."""
        self._check_distillations(epoch)
        if first_weights:
            self._fitting_first_weights()

    def start(self, state: TrainingState | None) -> None:
        # First, since the weights that training starts from may have to be trained themselves.
        self._check_distillations(0 if state is None else state.position.epoch)
        plain = self._programs.plain()
        initialise(plain.network, self._scope, self._config.seed)
        if state is None:
            write_scope(self._scope, self._fitting_first_weights())
            self._averages.start(self._scope)
        else:
            write_scope(self._scope, self._untrained_weights())
        self._use(Stage(), plain)
        if state is not None:
            own = state.distiller_optimizer and self._config.distiller_optimizer is not None
            stage = Stage(quantized=state.quantized, distiller_optimizer=own)
            if stage != self._stage:
                self._enter(stage)
            self._stepper.set_state(state.arrays)
        check_weights(self._task.group, self._stepper.state())
        if state is not None and self._store is not None and self._task.group.rank == 0:
            self._catch_up(state, self._store)

    def begin_epoch(self, epoch: int) -> Stepper:
        norms = self._config.freeze_norm_epoch
        distillation = self._slim.distillation(epoch)
        stage = Stage(
            quantized=self.quantized or epoch >= self._strategy.start_epoch,
            distillation=distillation,
            norms_frozen=norms is not None and epoch >= norms,
            distiller_optimizer=distillation is not None and self._config.distiller_optimizer is not None,
        )
        if stage != self._stage:
            self._enter(stage)
        return self._stepper

    def end_epoch(self, epoch: int, record: Record) -> Callable[[Path], None]:
        model = self._test_model(self._network.test_feeds, self._network.outputs)
        if epoch % self._slim.compressor.eval_epoch == 0 or epoch + 1 == self.epochs:
            record |= self._evaluate(model)
            self.evaluations += 1
        if epoch == self._strategy.end_epoch:
            self._outputs.save_forms(self._test_model)
        return lambda folder: self._outputs.write_eval_model(folder, model, self.quantized, self._test_model)

    # ------------------------------------------------------------------ epochs that are over

    def _catch_up(self, state: TrainingState, store: CheckpointStore) -> None:
        """Do, or tell how to do, what the slim file asks of epochs that were trained before it did."""
        for line in missed(store, state.history, self._slim.compressor, self._task.main_metric):
            self._console.print(line, markup=False, highlight=False)
        if state.position.epoch > self._strategy.end_epoch:
            self._save_missing_forms(state, store)

    def _save_missing_forms(self, newest: TrainingState, store: CheckpointStore) -> None:
        """Save the forms of the strategy's last epoch from its checkpoint, as far as that was not done.

        Raises ConfigError, with the command that saves what can be had, when it cannot be done.
        """
        root, epoch = store.root, self._strategy.end_epoch
        there = epoch in store.epochs()
        state = TrainingState.read(store.epoch(epoch)) if there else newest
        # What was saved in its time and has gone since is saved again, where that can be done.
        missing = sorted({*self._outputs.missing(state.settings), *(self._outputs.lost() if there else [])})
        if not missing:
            return
        where = f"{self._strategy.where(missing[0])}: epoch {epoch}, whose forms are saved, is over"
        command = f"`qcc freeze --checkpoint {root} --epoch {epoch if there else 'best'} --save DIR`"
        if not there:
            raise ConfigError(
                f"{where}, and its checkpoint is gone; {command} saves those of the best epoch."
            )
        if not state.quantized:
            raise ConfigError(
                f"{where}, and was trained before quantization was inserted; let end_epoch be a later one."
            )
        check_digests(store.epoch(epoch), [SCHEME])
        trained = read_json(store.epoch(epoch) / SCHEME)["pipeline"]
        if trained != self._pipeline:
            raise ConfigError(
                f"{where}, and was trained with {trained}, not as the slim file says now; {command} saves its"
                " forms as they were trained."
            )
        self._console.print(
            f"epoch {epoch} is over: its forms are saved from its checkpoint.", highlight=False
        )
        self._outputs.save_forms(self._model_maker(state), missing)

    def _model_maker(self, state: TrainingState) -> TestModel:
        """Makes the test model that was evaluated when quantized training had come to `state`."""
        scope = paddle.static.Scope()
        arrays, averages = split_averages(state.arrays)
        write_scope(scope, self._untrained_weights() | arrays)
        return lambda feeds, fetches: self._model_in(scope, averages, state.quantized, feeds, fetches)

    # ------------------------------------------------------------------ programs

    @property
    def _strategy(self) -> QuantizationStrategy:
        return self._slim.strategy

    def _enter(self, stage: Stage) -> None:
        """Go on with the training program of `stage`, from the values of now."""
        self._use(stage, self._programs.build(stage, self._scope, self._stage))

    def _use(self, stage: Stage, program: TrainingProgram) -> None:
        self._stage = stage
        own = self._config.distiller_optimizer if stage.distiller_optimizer else None
        self._stepper = Stepper(
            program,
            self._scope,
            (own or self._config).learning_rate.schedule(),
            self._averages,
            self._task.group,
            self._config.seed,
        )
        self._evaluate = RepeatedEvaluation(self._task)

    def _first_network(self) -> Network:
        """The configuration's network, with the shapes of `init_model`, which may be that network pruned."""
        network = self._task.network()
        if self._slim.compressor.init_model is None:
            return network
        weights, source = self._first_weights()
        network, changed = take_shapes(network, weights, source)
        if changed:
            self._console.print(
                f"{len(changed)} of {len(persistable_names(network.test))} weights have other shapes in"
                f" {source} than in the configuration's network, which takes them over.",
                markup=False,
                highlight=False,
            )
        return network

    def _fitting_first_weights(self) -> Arrays:
        weights, source = self._first_weights()
        try:
            return fitting_weights(self._network, weights, source)
        except CheckpointError as error:
            if not can_take_shapes(self._network, weights):
                raise
            raise CheckpointError(
                f"{str(error).removesuffix('.')}; given as compressor.init_model of a slim file, it gives its"
                " shapes to the network."
            ) from error

    def _untrained_weights(self) -> Arrays:
        """What the test program alone reads, so that no training state holds it."""
        trained = set(persistable_names(self._network.train))
        if trained.issuperset(persistable_names(self._network.test)):
            return {}
        first = self._fitting_first_weights().items()
        return {name: value for name, value in first if name not in trained}

    def _check_distillations(self, epoch: int) -> None:
        """Refuse those of `epoch` and later ones before any training is spent on them."""
        for distillation in self._slim.distillations:
            if distillation.strategy.end_epoch > epoch:
                self._programs.check(distillation)

    def _teacher(self, distillation: Distillation) -> Teacher:
        own = OwnNetwork(self._network, self._task.network, self._first_weights)
        return find_teacher(distillation.strategy, own)

    def _test_model(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Model:
        """The test graph with the weights of now, transformed if training has come so far."""
        return self._model_in(self._scope, self._averages.values(), self.quantized, feeds, fetches)

    def _model_in(
        self, scope: Any, averages: Arrays, quantized: bool, feeds: tuple[str, ...], fetches: tuple[str, ...]
    ) -> Model:
        model = qcc.from_program(self._network.test, scope, feeds, fetches, for_test=True)
        if quantized:
            model = qcc.PassManager.parse(self._pipeline).run(model)
        model.read_weights(scope, averages)
        return model


@dataclass(frozen=True)
class QuantizeResult:
    """`records`: one per epoch. `best`: the quantized epoch with the highest main metric. `evaluations`: how
    many epochs were evaluated this time."""

    checkpoints: Path
    records: list[Record]
    best: Record | None
    evaluations: int


@static_mode()
def quantize(
    task: Task,
    config: TrainingConfig,
    slim: Slim,
    console: Console,
    stop: StopRequest,
    tb_folder: Path | None = None,
) -> QuantizeResult:
    """Run the whole flow, going on from the newest checkpoint; TensorBoard files go to `tb_folder`.

    Raises Interrupted when `stop` was requested before the end; ConfigError, DataError, CheckpointError and
    TrainingError for what cannot go on.
    """
    root = checkpoints_of(config, slim)
    store = CheckpointStore(root)

    @cache
    def first_weights() -> tuple[Arrays, Path]:
        training = first_weights_of(config, slim)
        if isinstance(training, Path):
            return load_weights(training), training
        folder = root / FLOAT_FOLDER
        tb_inside = None if tb_folder is None else tb_folder / "float"
        keep = config.keep_checkpoints
        weights, _ = train_float(
            task, training, config.optimizer, config.seed, folder, console, stop, tb_inside, keep
        )
        return weights, folder

    lock = store.lock() if task.group.rank == 0 else nullcontext()
    with lock, board_in(tb_folder) as board:
        phase = QuantizationPhase(task, config, slim, first_weights, console, store)
        loop = Loop(task, phase, store, settings(config, slim), console, config.keep_checkpoints, board)
        records = loop.run(stop)
    return QuantizeResult(root, records, best_record(records, task.main_metric), phase.evaluations)


@static_mode()
def check_start(task: Task, config: TrainingConfig, slim: Slim) -> None:
    """Raise what is wrong with the files that a run starts from, and with the names in the slim file, without
    reading any data. What a run that goes on does not need may be missing."""
    if task.group.rank > 0:
        return  # on another machine there are no checkpoints to tell whether the run goes on
    store = CheckpointStore(checkpoints_of(config, slim))
    goes_on, source = store.started(), None
    if goes_on and slim.compressor.init_model is None:
        refuse_addresses(config)
    else:
        source = first_weights_of(config, slim)
    path = source if isinstance(source, Path) else None
    phase = QuantizationPhase(task, config, slim, cache(partial(_read, path)), Console(quiet=True))
    phase.check(
        store.epochs()[-1] + 1 if store.epochs() else 0, first_weights=not goes_on and path is not None
    )
    if isinstance(source, FloatTraining) and not CheckpointStore(store.root / FLOAT_FOLDER).started():
        check_backbone(task, config)


def _read(source: Path | None) -> tuple[Arrays, Path]:
    found = cast(Path, source)
    return load_weights(found), found


def checkpoints_of(config: TrainingConfig, slim: Slim) -> Path:
    return slim.compressor.checkpoint_path or config.save_dir / "checkpoints"


def settings(config: TrainingConfig, slim: Slim) -> dict[str, Any]:
    """The whole configuration as JSON data."""
    return {
        **config.model_dump(mode="json", by_alias=True),
        "slim": {
            "strategy": _plain(slim.strategy),
            "compressor": _plain(slim.compressor),
            "distillations": [
                {**_plain(found.strategy), "distillers": [_plain(one) for one in found.distillers]}
                for found in slim.distillations
            ],
        },
    }


def _plain(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", by_alias=True)
