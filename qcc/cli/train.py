"""`qcc train`: the float weights that quantization starts from."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from qcc.cli.training_options import (
    OverridesCommand,
    config_option,
    dataset_option,
    nproc_option,
    overrides_option,
    skip_bad_option,
    tb_log_dir_option,
    use_tb_option,
)
from qcc.errors import ConfigError
from qcc.train.interrupt import INTERRUPTED_EXIT_CODE
from qcc.train.parallel.environment import place
from qcc.train.parallel.launch import launch, qcc_command


@click.command(cls=OverridesCommand)
@config_option
@dataset_option
@overrides_option
@skip_bad_option
@nproc_option
@use_tb_option
@tb_log_dir_option
@click.option("--save", "save_path", required=True, type=Path, metavar="FILE.npz", help="Where to put them.")
@click.argument("more_overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.pass_obj
def train(
    arguments: list[str],
    config_path: Path,
    dataset_dir: Path | None,
    skip_bad: bool,
    overrides: tuple[str, ...],
    nproc: int,
    use_tb: bool,
    tb_log_dir: Path,
    save_path: Path,
    more_overrides: tuple[str, ...],
) -> int:
    """Train the float network as the configuration's FloatTraining says; run it again to go on.

    The weights are a file that `pretrain_weights` can name; a JSON record of the run is put beside it.
    """
    from qcc.train.config import load_config

    config = load_config(config_path, (*overrides, *more_overrides))
    if config.float_training is None:
        raise ConfigError(f"{config_path}: key 'FloatTraining' is missing; it says how long and how fast.")

    if nproc > 1 and place() is None:
        return launch(qcc_command(arguments), nproc, config.save_dir / "log")

    from qcc.files import check_folder, write_json
    from qcc.train.float_training import train_float
    from qcc.train.interrupt import Interrupted, StopRequest
    from qcc.train.parallel.group import join
    from qcc.train.parallel.watched import stop_with_launcher
    from qcc.train.report import run_record
    from qcc.train.tasks.build import build_task
    from qcc.train.weights import save_arrays

    check_folder(save_path.parent)
    console, stop = Console(soft_wrap=True), StopRequest()
    stop_with_launcher()
    task, folder = (
        build_task(config, dataset_dir, skip_bad, group=join(config.use_gpu)),
        config.save_dir / "float",
    )
    for note in task.notes():
        console.print(note)
    try:
        with stop.listening():
            weights, records = train_float(
                task,
                config.float_training,
                config.optimizer,
                config.seed,
                folder,
                console,
                stop,
                tb_log_dir if use_tb else None,
                config.keep_checkpoints,
            )
    except Interrupted:
        return INTERRUPTED_EXIT_CODE
    for note in task.left_out():
        console.print(note)
    if task.group.rank > 0:
        return 0
    save_arrays(save_path, weights)
    settings = config.model_dump(mode="json", by_alias=True)
    write_json(save_path.with_suffix(".json"), run_record(settings, {"epochs": records}))
    console.print(f"saved the weights in {save_path}.")
    return 0
