"""qcc.train.fit: quantization-aware training of a network of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from rich.console import Console

from qcc._paddle import paddle, static_mode
from qcc.backends import Saved
from qcc.errors import CheckpointError, ConfigError
from qcc.frontend.alignment import align
from qcc.frontend.layer import Loss, Specs, like_returned, trace
from qcc.frontend.reshaped import reshaped
from qcc.model import Model
from qcc.shown import counted, plain
from qcc.train.config import QuantizationStrategy, default_slim
from qcc.train.config.optimization import CosineDecay, LearningRate, LinearWarmup, OptimizerBuilder
from qcc.train.config.schema import TrainingConfig
from qcc.train.config.slim import Compressor, Slim
from qcc.train.data.digest import digest_of
from qcc.train.freeze import checkpoint_model, freeze_to, metrics_among
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.loop.interrupt import interruptible
from qcc.train.loop.loop import Loop, Record, best_record
from qcc.train.loop.origin import check_origin
from qcc.train.models.network import Network, is_one_size
from qcc.train.programs.float_layers import float_weights, shown
from qcc.train.programs.scheme import SCHEME_KEYS, freeze
from qcc.train.programs.scope import Arrays
from qcc.train.quantize import QuantizationPhase, settings
from qcc.train.tasks.given import Batches, GivenTask, Metric, Returned, one_or_all

_WARM_UP = 0.1
_SCHEME = {*SCHEME_KEYS, "target"}
_OPTIMIZER = OptimizerBuilder()


@dataclass(frozen=True)
class FitResult:
    """`model`: the best epoch's, frozen, as it is evaluated and saved. `records`: one per epoch, with the
    metric under its function's name; `best`: that of the best one. `checkpoints`: the folder."""

    model: Model
    weights: Arrays
    records: list[Record]
    best: Record
    checkpoints: Path

    def save(self, folder: str | Path, *, check: bool = True) -> list[Saved]:
        """Write the frozen model to float/, int8/ and qdq/ of a folder, as `qcc freeze` does; `check`: see
        `qcc.save`."""
        best = checkpoint_model(CheckpointStore(self.checkpoints), self.best["epoch"])
        return freeze_to(best, Path(folder), check=check)


@static_mode()
def fit(
    network: paddle.nn.Layer | Network,
    train: Batches,
    metric: Metric,
    *,
    folder: str | Path,
    epochs: int,
    input_spec: Specs = (),
    label_spec: Specs = (),
    loss: Loss | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    learning_rate: float | LearningRate = 1e-3,
    optimizer: OptimizerBuilder = _OPTIMIZER,
    quantization: QuantizationStrategy | None = None,
    skip_vars: Iterable[str] = (),
    freeze_norm_epoch: int | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> FitResult:
    """Train a network with quantization inserted, evaluate and keep every epoch, and freeze the best one.

    `network`: a `paddle.nn.Layer` that is trained already, with `input_spec`, `loss` and `label_spec` as in
    `qcc.from_layer`; or static programs without a backward part, with the values of their variables in
    `weights`. `train`: the batches, see `GivenTask`, as is `metric`. `learning_rate`: grows over the first
    tenth of the steps and falls along half a cosine, or has its own schedulers. `quantization`: types, bits
    and what to skip, its `end_epoch` the last one; by default a scale per channel of weights, moving averages
    for activations. `skip_vars`: ops that read or write one of these variables (names or globs) stay float.
    `freeze_norm_epoch`: from this epoch on batch norms keep their statistics. `seed`: of what training draws,
    such as dropouts; Paddle's own generators are left as they were.

    Checkpoints go to `folder`. Called again after an interruption, with the same weights, as many batches and
    the same quantization, it goes on from the newest, and gives the same weights bit for bit where `train`
    gives the same batches: of data that is shuffled, let `train` be a function of the epoch. The layer is
    left as it was; `qcc.into_layer(result.weights, layer)` trains it.

    Layers with a weight that stay float, such as those whose weight each run computes, are told first.

    Raises GraphError for a layer that cannot be traced, CheckpointError where `folder` is that of another
    training, DataError for what `GivenTask` refuses and for what `train` and `metric` raise, ConfigError,
    CheckpointError and TrainingError for what cannot go on, KeyboardInterrupt after Ctrl-C, when everything
    is kept. After a DataError, what was trained is kept, too.
    """
    _check_kinds(folder, loss, optimizer, quantization, skip_vars)
    console = console or Console(soft_wrap=True)
    root = Path(folder)
    if type(epochs) is not int or epochs < 1:
        raise ConfigError(f"epochs is {epochs!r}, where a whole number from 1 on is wanted.")
    given = _given(network, input_spec, label_spec, loss, weights)
    task = GivenTask(given.network, train, metric, given.returned)
    slim = _slim(quantization, skip_vars, epochs)
    if freeze_norm_epoch is not None and freeze_norm_epoch >= epochs:
        raise ConfigError(
            f"freeze_norm_epoch is {freeze_norm_epoch}, and there are {counted(epochs, 'epoch')}: let it be"
            " one of them, from 0 on."
        )
    stay_float = float_weights(given.network, slim.strategy)
    with _checked():
        config = TrainingConfig(
            LearningRate=_rate(learning_rate, task.steps_per_epoch * epochs),
            OptimizerBuilder=optimizer,
            epochs=epochs,
            save_dir=root,
            seed=seed,
            freeze_norm_epoch=freeze_norm_epoch,
        )
    store = CheckpointStore(root)
    with store.lock(), interruptible() as stop:
        origin = {
            "first weights": digest_of(given.values),
            "batches": task.steps_per_epoch,
            # Epochs of two schemes cannot be compared.
            "quantization": slim.strategy.model_dump(mode="json", include=_SCHEME),
        }
        check_origin(store, origin)
        _check_metric(store, task.main_metric)
        if stay_float:
            console.print(plain(f"these weights stay float: {shown(stay_float)}."), markup=False)
        phase = QuantizationPhase(
            task, config, slim, lambda: (given.values, Path("the layer")), console, store
        )
        records = Loop(task, phase, store, settings(config, slim), console).run(stop)
    best = best_record(records, task.main_metric)
    if best is None:  # of an earlier call, of which quantization.start_epoch was a later one
        raise CheckpointError(
            f"{root} has {counted(len(records), 'epoch')} already, none of them quantized, and {epochs} in"
            " all are asked for: let `epochs` be more, or give another folder."
        )
    transformed = checkpoint_model(store, best["epoch"])
    state = TrainingState.read(store.epoch(best["epoch"]))
    return FitResult(
        model=freeze(transformed, "float"),
        weights=given.as_given({**given.values, **state.arrays, **transformed.weights}),
        records=records,
        best=best,
        checkpoints=root,
    )


def _check_metric(store: CheckpointStore, metric: str) -> None:
    """Raise CheckpointError where epochs were evaluated by another metric, with which those to come cannot be
    compared."""
    newest = store.newest()
    for record in [] if newest is None else newest.history:
        if metric not in record:
            known = ", ".join(sorted(metrics_among(record)))
            raise CheckpointError(
                f"{store.root} has epochs that were evaluated by {known}, and the metric is now {metric}:"
                " give the function of then, under its name, or another folder."
            )


def _check_kinds(folder: Any, loss: Any, optimizer: Any, quantization: Any, skip_vars: Any) -> None:
    a_loss = loss is None or (callable(loss) and not isinstance(loss, type))
    a_strategy = quantization is None or isinstance(quantization, QuantizationStrategy)
    for name, given, fits, wanted in (
        ("folder", folder, isinstance(folder, str | PathLike), "a path"),
        ("loss", loss, a_loss, "a function, or a layer that is made already,"),
        (
            "optimizer",
            optimizer,
            isinstance(optimizer, OptimizerBuilder),
            "a qcc.train.config.optimization.OptimizerBuilder",
        ),
        ("quantization", quantization, a_strategy, "a qcc.train.config.QuantizationStrategy"),
        ("skip_vars", skip_vars, not isinstance(skip_vars, str), "a list of names"),
    ):
        if not fits:
            kind = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
            raise ConfigError(f"{name} is {kind}, where {wanted} is wanted.")


def _slim(quantization: QuantizationStrategy | None, skip_vars: Iterable[str], epochs: int) -> Slim:
    strategy = default_slim(epochs).strategy if quantization is None else quantization
    if strategy.start_epoch >= epochs:
        raise ConfigError(
            f"quantization.start_epoch is {strategy.start_epoch}, and there are {counted(epochs, 'epoch')}:"
            " let it be one of them, from 0 on."
        )
    if "end_epoch" in strategy.model_fields_set and strategy.end_epoch != epochs - 1:
        raise ConfigError(
            f"quantization.end_epoch is {strategy.end_epoch}, and of {counted(epochs, 'epoch')} the best one"
            f" is frozen when all are over: let it be {epochs - 1}, the last one."
        )
    skipped = (*strategy.skip_vars, *skip_vars)
    update = {"end_epoch": epochs - 1, "skip_vars": skipped}
    return Slim(strategy.model_copy(update=update), Compressor(epoch=epochs))


@dataclass(frozen=True)
class _Given:
    """The programs, the values that training starts from, the shapes that these have where they come from,
    and what outputs are returned as."""

    network: Network
    values: Arrays
    shapes: Mapping[str, tuple[int, ...]]
    returned: Returned

    def as_given(self, trained: Mapping[str, np.ndarray]) -> Arrays:
        """Of what was trained, and what no op reads, copies of what was given, in the shapes of then."""
        names = sorted(self.shapes.keys() & trained.keys())
        return {name: np.array(trained[name]).reshape(self.shapes[name]) for name in names}


def _given(
    given: paddle.nn.Layer | Network,
    input_spec: Specs,
    label_spec: Specs,
    loss: Loss | None,
    weights: Mapping[str, np.ndarray] | None,
) -> _Given:
    if isinstance(given, Network):
        if weights is None:
            raise ConfigError("the programs come without values: give their `weights`, by name.")
        return _Given(given, dict(weights), _shapes(weights), one_or_all)
    if loss is None:
        raise ConfigError(f"{type(given).__name__} is to be trained by a `loss`, and none is given.")
    if weights is not None:
        raise ConfigError("a layer has its weights: leave `weights` out, or give them by qcc.into_layer.")
    traced = trace(given, input_spec, loss, label_spec)
    shapes = _shapes(traced.values)
    train, test = reshaped(traced, trace(given, input_spec))
    test = align(train, test)
    assert train.loss is not None
    network = Network(
        train=train.program,
        test=test.program,
        startup=_startup(train.program),
        train_feeds=train.feeds,
        loss=train.loss,
        train_outputs=train.outputs,
        test_feeds=test.feeds,
        outputs=test.outputs,
        one_size=is_one_size(train.program.global_block().var(name).shape for name in train.feeds),
    )
    return _Given(network, train.values, shapes, partial(like_returned, test.returned))


def _shapes(values: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in values.items()}


def _startup(program: paddle.static.Program) -> paddle.static.Program:
    """A program that makes all that outlives a run of another one; its values are given later."""
    startup = paddle.static.Program()
    block = startup.global_block()
    for var in program.list_vars():
        if var.persistable:
            made = block.create_var(name=var.name, shape=var.shape, dtype=var.dtype, persistable=True)
            attrs = {"shape": list(var.shape), "dtype": var.dtype, "value": 0.0}
            block.append_op(type="fill_constant", outputs={"Out": made}, attrs=attrs)
    return startup


@contextmanager
def _checked() -> Iterator[None]:
    """Let what a configuration does not take be one sentence that names the argument."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        name = {"base_lr": "learning_rate"}.get(str(first["loc"][0]), first["loc"][0])
        rule = first["msg"].replace("Input should", "it should")
        raise ConfigError(f"{name} is {first['input']!r}: {rule}.") from error


def _rate(given: float | LearningRate, steps: int) -> LearningRate:
    if isinstance(given, LearningRate):
        return given
    warm_up = LinearWarmup(type="LinearWarmup", steps=max(1, round(_WARM_UP * steps)))
    return LearningRate(base_lr=given, schedulers=(warm_up, CosineDecay(type="CosineDecay", max_iters=steps)))
