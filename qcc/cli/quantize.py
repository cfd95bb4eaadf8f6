"""`qcc quantize`: quantization-aware training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.training_options import (
    OverridesCommand,
    config_option,
    dataset_option,
    nproc_option,
    output_eval_option,
    overrides_option,
    skip_bad_option,
    tb_log_dir_option,
    use_tb_option,
)
from qcc.cli.training_run import run_training

if TYPE_CHECKING:
    from rich.console import Console

    from qcc.train.config import Slim, TrainingConfig
    from qcc.train.loop.interrupt import StopRequest
    from qcc.train.parallel.group import Group
    from qcc.train.quantize import QuantizeResult
    from qcc.train.tasks.task import Task


@click.command(cls=OverridesCommand)
@config_option
@click.option("-s", "--slim_file", type=Path, help="What to quantize, when, and where results go.")
@dataset_option
@overrides_option
@output_eval_option
@skip_bad_option
@nproc_option
@use_tb_option
@tb_log_dir_option
@click.argument("more_overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.pass_obj
def quantize(
    arguments: list[str],
    config_path: Path,
    slim_file: Path | None,
    dataset_dir: Path | None,
    skip_bad: bool,
    overrides: tuple[str, ...],
    output_eval: Path | None,
    nproc: int,
    use_tb: bool,
    tb_log_dir: Path,
    more_overrides: tuple[str, ...],
) -> None:
    """Train a network quantization-aware, with a checkpoint per epoch; run it again to go on.

    Without a slim file all epochs of the configuration train with per-channel weights (channel_wise_abs_max)
    and moving-average activations.
    """
    from qcc.train.config import default_slim, load_config, load_slim

    config = load_config(config_path, (*overrides, *more_overrides))
    slim = default_slim(config.epochs) if slim_file is None else load_slim(slim_file)

    def build(group: Group) -> Task:
        from qcc.train.tasks.build import build_task

        return build_task(config, dataset_dir, skip_bad, output_eval, group)

    def run(task: Task, console: Console, stop: StopRequest) -> QuantizeResult:
        from qcc.train.quantize import quantize

        for note in _notes(config, slim, slim_file):
            console.print(note)
        return quantize(task, config, slim, console, stop, tb_log_dir if use_tb else None)

    console, result = run_training(arguments, nproc, config, build, run)

    from qcc.train.evaluation.report import print_epochs

    print_epochs(console, result.records, result.best)
    console.print(f"checkpoints are in {result.checkpoints}; `qcc freeze` makes the float and int8 forms.")


def _notes(config: TrainingConfig, slim: Slim, slim_file: Path | None) -> Iterator[str]:
    """What of the configuration does not count."""
    if "epochs" in config.model_fields_set and config.epochs != slim.epochs:
        yield f"epochs is {config.epochs}, but {slim_file} says {slim.epochs}, which counts."
    if config.distiller_optimizer is not None and not slim.distillations:
        yield "DistillerOptimizer has no effect: there is no DistillationStrategy."
