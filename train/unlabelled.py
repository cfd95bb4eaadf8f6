"""Training a quantized model on data without labels: its own float model is the teacher."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from qcc._paddle import paddle, static_mode
from qcc.backends.onnx.form import simulating
from qcc.calibrate.accurate.steps import collecting
from qcc.calibrate.balanced import balanced, balanced_statistics, few_of
from qcc.calibrate.choose import Quantized, choose
from qcc.calibrate.collect import numbered
from qcc.calibrate.data.batches import Batch, spread
from qcc.calibrate.observers import Calibrator
from qcc.calibrate.plan import Plan, check_skipped, make_plan
from qcc.errors import CheckpointError, ConfigError, DataError
from qcc.failures import PADDLE_FAILURES
from qcc.files import write_json
from qcc.interrupts import StopRequest
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.passes.freeze import Freeze
from qcc.passes.manager import PassManager
from qcc.passes.out_thresholds import thresholds
from qcc.passes.prune import Prune
from qcc.passes.static_scales import StaticScales
from qcc.shown import counted, plain
from qcc.train.config.schedule import CosineDecay, LinearWarmup, Schedule
from qcc.train.evaluation.evaluate import ModelRunner, RepeatedEvaluation
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState, read_json
from qcc.train.loop.interrupt import interruptible
from qcc.train.loop.loop import Loop, Record, best_record
from qcc.train.loop.origin import check_origin
from qcc.train.loop.stepper import Stepper
from qcc.train.parallel.group import ALONE
from qcc.train.programs.averages import Averages, split_averages
from qcc.train.programs.imitation import Lesson, Student, training_program
from qcc.train.programs.learnable import scales_of
from qcc.train.programs.scope import Arrays, write_scope
from qcc.train.programs.trainable import classes_among
from qcc.train.tasks.imitation import ImitationTask, Samples
from qcc.train.tasks.task import Feeds, Run

EPOCHS = 10
"""How often, evenly spread, the student is evaluated."""
_TIMED_STEPS = 3
_MEASURED = 256
_AVERAGED = 0.98
"""The share of the averages of weights that is kept in a step: steps jump between two rounded values."""
_STEPS = "steps.json"
_DIGITS = 16
"""Of a digest, in what is told of it."""


@dataclass(frozen=True)
class Budget:
    """How long to train: `steps`, rounded up to a multiple of `EPOCHS`, or `minutes`, which are turned into
    steps by timing the first ones.  Raises ConfigError where that is no time to train."""

    steps: int = 500
    minutes: float | None = None

    def __post_init__(self) -> None:
        is_number = isinstance(self.minutes, int | float)
        if self.minutes is not None and not (is_number and 0 < self.minutes < math.inf):
            raise ConfigError(f"minutes is {self.minutes!r}, where a number above 0 is wanted.")
        if type(self.steps) is not int or self.steps < 1:
            raise ConfigError(f"steps is {self.steps!r}, where a whole number from 1 on is wanted.")


@dataclass(frozen=True)
class Rates:
    """`peak`: the largest move of a weight in a step, relative to the largest weight of its channel; it is
    reached after the share `warm_up` of all steps, and falls along half a cosine to zero."""

    peak: float = 3e-5
    warm_up: float = 0.1

    def schedule(self, steps: int) -> Schedule:
        warm_up = LinearWarmup(max(1, round(self.warm_up * steps)), 0.1)
        return Schedule(self.peak, (warm_up, CosineDecay(steps)))


@dataclass(frozen=True)
class TrainedResult:
    """`model`: frozen, the trained one or, where `best` is None, the calibrated one. `before` and `records`:
    the metrics on the `held_back` samples, of the calibrated model and of each epoch. `steps` of batches of
    `batch_size` were trained."""

    model: Model
    before: Record
    records: list[Record]
    best: Record | None
    steps: int
    batch_size: int
    trained_on: int
    held_back: int
    notices: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """What is recorded, as JSON data."""
        return {
            "steps": self.steps,
            "batch_size": self.batch_size,
            "trained_on": self.trained_on,
            "held_back": self.held_back,
            "calibrated": self.before,
            "epochs": self.records,
            "kept": "calibrated" if self.best is None else self.best["epoch"],
            "scales": {name: float(scale[0]) for name, (_, scale) in scales_of(self.model.graph).items()},
        }

    def told(self) -> list[str]:
        """What is told of it, a line for each fact."""
        shown = self.best or max(self.records, key=lambda record: record["snr"])
        lines = [
            f"trained {counted(self.steps, 'step')} of {counted(self.batch_size, 'sample')}, on"
            f" {counted(self.trained_on, 'sample')}; on {self.held_back} held back, against the float model:",
            *_compared(self.before, shown),
        ]
        if self.best is None:
            alone = "; from one sample nothing is sure, give at least 4" if self.held_back == 1 else ""
            lines.append(f"no epoch surely beats calibration alone, so the calibrated model is kept{alone}.")
        return lines


def _compared(before: Record, after: Record) -> Iterator[str]:
    yield f"signal to noise: calibrated {before['snr']:.2f} dB, trained {after['snr']:.2f} dB"
    if "same_class" in before:
        yield f"same class: calibrated {before['same_class']:.1%}, trained {after['same_class']:.1%}"


def quantize_unlabelled(
    model: Model,
    batches: Iterable[Batch],
    folder: str | Path,
    *,
    steps: int = 500,
    minutes: float | None = None,
    calibrator: Calibrator = "mse",
    skip_vars: Iterable[str] = (),
    target: str | None = None,
    console: Console | None = None,
) -> TrainedResult:
    """A float inference model quantized, and trained to compute what it did: `qcc quantize --effort trained`.

    `batches`: mappings of an array for each feed, a sample each, which are held in memory; see `qcc.quantize`
    for the rest. Trains for so many `steps`, rounded up to whole tens, or, where they are given, about so
    many `minutes`, with checkpoints in `folder`, from which the same call goes on.

    Raises ConfigError for steps or minutes in which nothing is trained, what `qcc.quantize` and
    `train_unlabelled` raise, and KeyboardInterrupt after Ctrl-C, when everything is kept.
    """
    budget = Budget(steps, minutes)
    kept, skip_vars, console = list(batches), tuple(skip_vars), console or Console(soft_wrap=True)
    plan = make_plan(model, skip_vars, target)
    check_skipped(plan, skip_vars)
    measured = spread(kept, _MEASURED)
    collect = collecting(list(numbered(measured)))
    plan, statistics, _ = balanced_statistics(balanced(plan, few_of(measured)[0]), collect, once=False)
    calibrated = choose(plan, statistics, calibrator).freeze()
    samples = Samples.of(model, kept)
    with interruptible() as stop:
        return train_unlabelled(plan, calibrated, samples, Path(folder), console, stop, budget)


class ImitationPhase:
    """A `Phase` that trains the weights of the transformed model `start`, whose scales are there, so that it
    computes what the student's float model does."""

    quantized = True
    distiller_optimizer = False
    epochs = EPOCHS

    def __init__(self, task: ImitationTask, student: Student, lesson: Lesson, start: Model) -> None:
        self._evaluate = RepeatedEvaluation(task, one_size=student.has_one_size)
        self._start = start
        self._scope = paddle.static.Scope()
        program = training_program(student, lesson, self._scope)
        self._averages = Averages(sorted(lesson.units), _AVERAGED)
        self._averages.start(self._scope)
        self.stepper = Stepper(program, self._scope, Schedule(0.0), self._averages)
        self._first = self.stepper.state()

    def start(self, state: TrainingState | None) -> None:
        self.stepper.set_state(self._first if state is None else state.arrays)

    def begin_epoch(self, epoch: int) -> Stepper:
        return self.stepper

    def end_epoch(self, epoch: int, record: Record) -> Callable[[Path], None]:
        record |= self._evaluate(_with_weights(self._start, self._scope, self._averages.values()))
        return lambda folder: None

    def seconds_per_step(self, batches: Iterator[Feeds]) -> float:
        """How long a step takes; what it changes is undone by `start`."""
        self.stepper.step(next(batches), 0)
        began = time.monotonic()
        for feeds in islice(batches, _TIMED_STEPS):
            self.stepper.step(feeds, 0)
        return (time.monotonic() - began) / _TIMED_STEPS


def _with_weights(start: Model, scope: Any, averages: Arrays) -> Model:
    """The transformed model with the weights that a scope has, or their averages."""
    model = start.copy()
    model.read_weights(scope, averages)
    return model


@static_mode()
def train_unlabelled(
    plan: Plan,
    calibrated: Quantized,
    samples: Samples,
    folder: Path,
    console: Console,
    stop: StopRequest,
    budget: Budget = Budget(),
    rates: Rates = Rates(),
    seed: int = 0,
) -> TrainedResult:
    """Train what calibration has made of a plan, with checkpoints in `folder`, going on from the newest.

    Raises ModelFormatError for a model of which nothing can be trained, before anything is read; DataError
    for samples that cannot be read; CheckpointError for a folder with the checkpoints of another training;
    Interrupted when `stop` was requested before the end; TrainingError for what cannot go on.
    """
    began = time.monotonic()
    origin = origin_of(plan, calibrated, samples, budget, rates, seed)
    plan, scales = _narrowed(plan, calibrated)
    simulated = None if plan.table is None else simulating(calibrated.model, plan.table)
    known = thresholds(calibrated.model.graph) | scales
    transform: tuple[Pass, ...] = (plan.transform,)
    if simulated is not None:
        # What was never anything but zero has no scale, and is rounded to itself.
        entries = tuple(one for one in simulated.outputs if one.rpartition("=")[0] in known)
        transform = (*transform, replace(simulated, outputs=entries))
    fixed = StaticScales(scales=tuple(f"{name}={scale!r}" for name, scale in known.items()))
    whole = PassManager((*calibrated.correction, *transform, fixed)).run(plan.folded)
    student = Student(plan.folded, whole)
    lesson = student.lesson()
    samples.check()
    notices = tuple(_notices(lesson))
    for notice in notices:
        console.print(plain(f"notice: {notice}"), markup=False, highlight=False)
    store = CheckpointStore(folder)
    with store.lock():
        check_origin(store, origin)
        sample = samples.first()
        if sample is not None:
            lesson = lesson.with_parts(plan.folded.graph, partial(_values, plan.folded, dict(sample)))
        teacher, start = (_fetching(model, lesson.reach.ends) for model in (plan.folded, whole))
        run, run_start = (
            ModelRunner(model, ALONE.device, one_size=student.has_one_size).run for model in (teacher, start)
        )
        samples = replace(samples, joins=_joins(plan.folded.graph, sample, run))
        task = ImitationTask(samples, seed, run, teacher.fetches, classes_among(teacher.graph))
        measured = time.monotonic()
        task.before = task.measure(run_start)
        seconds = time.monotonic() - measured
        phase = ImitationPhase(task, student, lesson, start)
        steps = _steps(store, budget, phase, task, began, seconds)
        task.steps_per_epoch = max(1, steps // EPOCHS)
        phase.stepper.follow(rates.schedule(task.steps_per_epoch * EPOCHS))
        settings = {"budget": asdict(budget), "rates": asdict(rates), "seed": seed}
        records = Loop(task, phase, store, settings, console, keep=1).run(stop)
        best = best_record(records, task.main_metric)
        model = calibrated.model if best is None else _frozen(whole, store, best["epoch"])
    return TrainedResult(
        model=model,
        before=task.before.result(),
        records=records,
        best=best,
        steps=task.steps_per_epoch * EPOCHS,
        batch_size=task.batch_size,
        held_back=len(samples.held_back),
        trained_on=len(samples.trained_on),
        notices=notices,
    )


def origin_of(
    plan: Plan,
    calibrated: Quantized,
    samples: Samples,
    budget: Budget,
    rates: Rates = Rates(),
    seed: int = 0,
) -> dict[str, Any]:
    """What tells one training from another, as JSON data: the same goes on, another one starts anew."""
    scales = {choice.name: choice.scale for choice in calibrated.choices}
    return {
        "model": plan.identity()[:_DIGITS],
        "scales": _digest(scales),
        "samples": _digest([list(samples.identity), samples.skip_bad]),
        "budget": asdict(budget),
        "rates": asdict(rates),
        "seed": seed,
    }


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_DIGITS]


def _narrowed(plan: Plan, calibrated: Quantized) -> tuple[Plan, dict[str, float]]:
    """The plan without the activations that got no scale, and the scales of the others."""
    scales = {choice.name: choice.scale for choice in calibrated.choices}
    unknown = [name for name in plan.activations if name not in scales]
    return plan.without(unknown) if unknown else plan, scales


def _fetching(model: Model, names: tuple[str, ...]) -> Model:
    """A model that computes these variables and nothing else."""
    part = model.copy()
    part.graph.fetches = names
    Prune().apply(part.graph)
    return part


def _values(model: Model, sample: Feeds, names: Sequence[str]) -> Sequence[np.ndarray]:
    return ModelRunner(_fetching(model, tuple(names)), ALONE.device, one_size=True).run(sample)


def _joins(graph: Graph, sample: Batch | None, run: Run) -> bool:
    """Whether the model takes two samples at once."""
    if not all(graph.versions(name)[0].shape[:1] == (-1,) for name in graph.feeds):
        return False
    if sample is None or not all(array.ndim for array in sample.values()):
        return False
    try:
        run({name: np.concatenate([array, array]) for name, array in sample.items()})
    except (DataError, *PADDLE_FAILURES):
        return False
    return True


def _steps(
    store: CheckpointStore,
    budget: Budget,
    phase: ImitationPhase,
    task: ImitationTask,
    began: float,
    evaluation: float,
) -> int:
    """How many steps the budget is. What a run has found stays so for the one that goes on."""
    if budget.minutes is None:
        return -(-budget.steps // EPOCHS) * EPOCHS
    noted = store.root / _STEPS
    if not (store.started() and noted.exists()):
        task.steps_per_epoch = 1 + _TIMED_STEPS
        each = phase.seconds_per_step(task.train_batches(0, 0))
        left = budget.minutes * 60 - (time.monotonic() - began) - EPOCHS * evaluation
        write_json(noted, max(EPOCHS, int(left / each)))
    steps = read_json(noted)
    if not isinstance(steps, int) or steps < 1:
        raise CheckpointError(f"{noted} is damaged: it holds no number of steps; remove {store.root}.")
    return steps


def _frozen(whole: Model, store: CheckpointStore, epoch: int) -> Model:
    """The model with the weights of an epoch, frozen as the calibrated one was."""
    scope = paddle.static.Scope()
    arrays, averages = split_averages(TrainingState.read(store.epoch(epoch)).arrays)
    write_scope(scope, arrays)
    return PassManager((Freeze(), Prune())).run(_with_weights(whole, scope, averages))


def _notices(lesson: Lesson) -> Iterator[str]:
    for op in lesson.reach.without:
        yield (
            f"{op} has no gradient: what stands in front of it is trained by what it reads, not by what it"
            " computes."
        )
