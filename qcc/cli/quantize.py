"""`qcc quantize`: quantization-aware training."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

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
from qcc.train.interrupt import INTERRUPTED_EXIT_CODE
from qcc.train.parallel.environment import place
from qcc.train.parallel.launch import launch, qcc_command


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
) -> int:
    """Train a network quantization-aware, with a checkpoint per epoch; run it again to go on.

    Without a slim file all epochs of the configuration train with per-channel weights (channel_wise_abs_max)
    and moving-average activations.
    """
    from qcc.train.config import default_slim, load_config, load_slim

    config = load_config(config_path, (*overrides, *more_overrides))
    slim = default_slim(config.epochs) if slim_file is None else load_slim(slim_file)

    if nproc > 1 and place() is None:
        return launch(qcc_command(arguments), nproc, config.save_dir / "log")

    from qcc.train.interrupt import Interrupted, StopRequest
    from qcc.train.parallel.group import join
    from qcc.train.parallel.watched import stop_with_launcher
    from qcc.train.quantize import quantize as run
    from qcc.train.report import print_epochs
    from qcc.train.tasks.build import build_task

    console, stop = Console(soft_wrap=True), StopRequest()
    stop_with_launcher()
    task = build_task(config, dataset_dir, skip_bad, output_eval, join(config.use_gpu))
    if "epochs" in config.model_fields_set and config.epochs != slim.epochs:
        console.print(f"epochs is {config.epochs}, but {slim_file} says {slim.epochs}, which counts.")
    if config.distiller_optimizer is not None and not slim.distillations:
        console.print("DistillerOptimizer has no effect: there is no DistillationStrategy.")
    for note in task.notes():
        console.print(note)
    try:
        with stop.listening():
            result = run(task, config, slim, console, stop, tb_log_dir if use_tb else None)
    except Interrupted:
        return INTERRUPTED_EXIT_CODE
    for note in task.left_out():
        console.print(note)
    if task.group.rank > 0:
        return 0
    print_epochs(console, result.records, result.best)
    console.print(f"checkpoints are in {result.checkpoints}; `qcc freeze` makes the float and int8 forms.")
    return 0
