"""`qcc quantize -c CONFIG`: quantization-aware training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.next import tell_next
from qcc.cli.training_options import (
    OverridesCommand,
    TrainingArguments,
    output_eval_option,
    training_options,
)
from qcc.cli.training_run import run_training
from qcc.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from qcc.interrupts import StopRequest
    from qcc.train.config import Slim, TrainingConfig
    from qcc.train.quantize import QuantizeResult
    from qcc.train.tasks.task import Task


@click.command("quantize", cls=OverridesCommand)
@training_options
@click.option("-s", "--slim_file", type=Path, help="What to quantize, when, and where results go.")
@output_eval_option
def quantize_training(given: TrainingArguments, slim_file: Path | None, output_eval: Path | None) -> None:
    """Train a network quantization-aware, with a checkpoint per epoch; run it again to go on.

    Without a slim file all epochs of the configuration train with per-channel weights (channel_wise_abs_max)
    and moving-average activations.
    """
    from qcc.train.config import default_slim, load_config, load_slim

    config = load_config(given.config_path, given.overrides)
    slim = default_slim(config.epochs) if slim_file is None else load_slim(slim_file)

    def check(task: Task) -> None:
        from qcc.train.quantize import check_start

        check_start(task, config, slim)

    def run(task: Task, console: Console, stop: StopRequest) -> QuantizeResult:
        from qcc.train.quantize import quantize

        for note in _notes(config, slim, slim_file):
            console.print(note)
        return quantize(task, config, slim, console, stop, given.tb_folder)

    def checkpoints() -> Path:
        from qcc.train.quantize import checkpoints_of

        return checkpoints_of(config, slim)

    console, result = run_training(given, config, checkpoints, check, run, output_eval)

    from qcc.train.evaluation.report import print_epochs
    from qcc.train.tasks.detector import DETECTIONS

    print_epochs(console, result.records, result.best)
    root, last = result.checkpoints, result.records[-1]["epoch"]
    if output_eval is not None and not result.evaluations and not (output_eval / DETECTIONS).exists():
        raise ConfigError(
            f"--output_eval: no epoch was left to evaluate; `qcc eval {root / str(last) / 'eval_model'} -c"
            f" {given.config_path} --output_eval {output_eval}` writes the detections of the last one."
        )
    epoch = "best" if result.best is not None else last
    console.print(f"checkpoints are in {root}.")
    if slim.compressor.save_eval_model:
        tell_next("freeze", "--checkpoint", root, "--epoch", epoch, "--save", "OUT")


def _notes(config: TrainingConfig, slim: Slim, slim_file: Path | None) -> Iterator[str]:
    """What of the configuration does not count."""
    if "epochs" in config.model_fields_set and config.epochs != slim.epochs:
        yield f"epochs is {config.epochs}, but {slim_file} says {slim.epochs}, which counts."
    if config.distiller_optimizer is not None and not slim.distillations:
        yield "DistillerOptimizer has no effect: there is no DistillationStrategy."
    norms = config.freeze_norm_epoch
    if norms is not None and norms >= slim.epochs:
        yield f"freeze_norm_epoch is {norms} and has no effect: the last epoch is {slim.epochs - 1}."
