"""`qcc eval`: the accuracy of a saved model in any form, in any engine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.chosen_engine import chosen_engine, engine_option, only_one
from qcc.cli.next import tell_next
from qcc.cli.stdout import echo
from qcc.cli.training_options import (
    OverridesCommand,
    dataset_option,
    model_options,
    output_eval_option,
    overrides_option,
    skip_bad_option,
)
from qcc.errors import EngineError, LiteRuntimeError, PaddleError, QccError
from qcc.shown import metric_value

if TYPE_CHECKING:
    from qcc.measure.engines import Case
    from qcc.model import Model
    from qcc.train.config import ClassifierConfig, DetectorConfig
    from qcc.train.tasks.task import Task

Metrics = Mapping[str, float]


@click.command("eval", cls=OverridesCommand)
@model_options()
@click.option(
    "-c", "--config", "config_path", type=Path, help="Training configuration: what is measured, and on what."
)
@click.option(
    "--eval",
    "function",
    metavar="MODULE:FUNCTION",
    help="A metric of your own, instead of -c: a Python function that is given what `run(inputs)` runs, and"
    " gives a number.",
)
@engine_option
@dataset_option
@overrides_option
@output_eval_option
@skip_bad_option
@click.option("--all-epochs", is_flag=True, help="MODEL is a folder of checkpoints: compare all of them.")
def evaluate(
    model: Path,
    config_path: Path | None,
    function: str | None,
    engine: str | None,
    dataset_dir: Path | None,
    skip_bad: bool,
    overrides: tuple[str, ...],
    output_eval: Path | None,
    model_filename: str | None,
    params_filename: str | None,
    all_epochs: bool,
) -> None:
    """Evaluate MODEL in any form, on the test set of a training configuration, or by a function of yours.

    MODEL is a folder or prefix, a file of Paddle Lite for x86 (.nb), an ONNX file (.onnx), or, with --engine,
    a folder that `qcc quantize` or `qcc freeze` has written: all of it that the engine runs.

    With --all-epochs it is the folder of a run's checkpoints; the table of its epochs tells the best one.

    \b
    qcc eval OUT/float -c CONFIG.yml
    qcc eval OUT -c CONFIG.yml --engine openvino
    qcc eval OUT/qdq --eval my_metric:accuracy --engine paddle
    """
    chosen = chosen_engine(engine, model, model_filename, params_filename)
    if (config_path is None) == (function is None):
        raise click.UsageError("Give -c CONFIG, or --eval MODULE:FUNCTION for a metric of your own.")
    if function is not None and (all_epochs or dataset_dir or overrides or output_eval or skip_bad):
        raise click.UsageError("--all-epochs, -d, -o, --output_eval and --skip-bad go with -c.")
    if chosen is not None and all_epochs:
        raise click.UsageError("An engine runs one model: --all-epochs goes without it.")
    measure: _ByFunction | _ByConfig
    if config_path is None:
        measure = _ByFunction(str(function))
    else:
        measure = _ByConfig.open(config_path, overrides, dataset_dir, skip_bad, output_eval)
    if chosen is not None:
        _print_in_engine(chosen, model, measure, one_only=output_eval is not None)
    elif all_epochs and isinstance(measure, _ByConfig):
        _compare_epochs(model, measure.config, measure.task)
    else:
        import qcc

        loaded = qcc.load(model, model_filename=model_filename, params_filename=params_filename)
        _print(measure.of_model(loaded))
    for note in measure.notes():
        echo(note)
    if all_epochs:
        tell_next("freeze", "--checkpoint", model, "--epoch", "best", "--save", "OUT")
    else:
        tell_next("bench", model)


@dataclass(frozen=True)
class _ByFunction:
    """A metric that a user has written."""

    name: str

    def of_model(self, model: Model) -> Metrics:
        from qcc.cli.budget import metric_function

        return {self.name: metric_function(self.name)(model)}

    def in_engine(self, case: Case) -> Metrics:
        from qcc.cli.budget import metric_function
        from qcc.measure.loaded import loaded

        metric = metric_function(self.name)
        with loaded(case, len(os.sched_getaffinity(0))) as model:
            return {self.name: metric(model)}

    def notes(self) -> list[str]:
        return []


@dataclass(frozen=True)
class _ByConfig:
    """What a training configuration measures."""

    config: ClassifierConfig | DetectorConfig
    task: Task

    @classmethod
    def open(
        cls,
        path: Path,
        overrides: tuple[str, ...],
        dataset_dir: Path | None,
        skip_bad: bool,
        output_eval: Path | None,
    ) -> _ByConfig:
        from qcc.train.config import load_config
        from qcc.train.tasks.build import build_task

        config = load_config(path, overrides)
        return cls(config, build_task(config, dataset_dir, skip_bad, output_eval))

    def of_model(self, model: Model) -> Metrics:
        from qcc.train.evaluation.evaluate import evaluate as run
        from qcc.train.evaluation.fits import check_fits

        check_fits(model, self.config)
        return run(model, self.task)

    def in_engine(self, case: Case) -> Metrics:
        from qcc.train.evaluation.evaluate import evaluate_in
        from qcc.train.evaluation.fits import check_fits

        if case.subject.model is not None:
            check_fits(case.subject.model, self.config)
        return evaluate_in(case, self.task)

    def notes(self) -> list[str]:
        return list(self.task.left_out())


def _print_in_engine(engine: str, model: Path, measure: _ByFunction | _ByConfig, *, one_only: bool) -> None:
    """The metrics of all that an engine runs of what a path names: of a folder, with what each is."""
    from qcc.measure.loaded import cases_of

    with tempfile.TemporaryDirectory(prefix="qcc-") as scratch:
        cases = cases_of(engine, model, Path(scratch))
        if one_only:
            only_one("--output_eval", cases)
        refused: dict[str, QccError] = {}
        for case in cases:
            name = f"{case.subject.shown}, {case.subject.label}"
            try:
                metrics = measure.in_engine(case)
            except (EngineError, LiteRuntimeError, PaddleError) as error:
                refused[name] = error
                continue
            if model.is_dir():
                echo(f"{name}:")
            _print(metrics)
    if len(refused) == len(cases):
        raise next(iter(refused.values()))
    for name, refusal in refused.items():
        echo(f"not measured: {name}: {refusal}", err=True)


def _print(metrics: Metrics) -> None:
    for name, value in metrics.items():
        echo(f"{name} {metric_value(value)}")


def _compare_epochs(folder: Path, config: ClassifierConfig | DetectorConfig, task: Task) -> None:
    from rich.console import Console

    from qcc.train.epochs import epochs_without_model, evaluate_epochs
    from qcc.train.evaluation.fits import check_fits
    from qcc.train.evaluation.report import print_epochs
    from qcc.train.loop.checkpoint import CheckpointStore
    from qcc.train.loop.loop import best_record

    store = CheckpointStore(folder)
    records = evaluate_epochs(store, task, lambda loaded: check_fits(loaded, config))
    print_epochs(Console(soft_wrap=True), records, best_record(records, task.main_metric))
    for epoch in epochs_without_model(store):
        echo(f"epoch {epoch} holds no eval_model, since it was trained with save_eval_model: False.")
