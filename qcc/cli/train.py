"""`qcc train`: the float weights that quantization starts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.next import tell_next
from qcc.cli.own_files import check_place, is_run
from qcc.cli.training_options import OverridesCommand, TrainingArguments, training_options
from qcc.cli.training_run import run_training
from qcc.errors import ConfigError, OutputError
from qcc.files import refuse_inputs, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from qcc.interrupts import StopRequest
    from qcc.train.loop.loop import Record
    from qcc.train.programs.scope import Arrays
    from qcc.train.tasks.task import Task


@click.command(cls=OverridesCommand)
@training_options
@click.option(
    "--save", "save_path", required=True, type=Path, metavar="FILE.npz", help="Where to put the weights."
)
def train(given: TrainingArguments, save_path: Path) -> None:
    """Train the float network as the configuration's FloatTraining says; run it again to go on.

    The weights are a file that `pretrain_weights` can name; a JSON record of the run is put beside it.
    """
    from qcc.train.config import load_config

    config = load_config(given.config_path, given.overrides)
    training = config.float_training
    if training is None:
        where = config.where("FloatTraining")
        raise ConfigError(f"{where} is missing; it says how long to train, and how fast.")
    if save_path.suffix != ".npz" or save_path.is_dir():
        raise OutputError(f"--save {save_path}: the weights go to a file, whose name ends in .npz.")
    check_place(save_path.parent, (), {save_path.with_suffix(".json").name: is_run})
    if training.backbone_weights is not None:
        refuse_inputs([save_path], [Path(training.backbone_weights)])
    folder = config.save_dir / "float"

    def check(task: Task) -> None:
        from qcc.train.float_training import check_backbone
        from qcc.train.loop.checkpoint import CheckpointStore

        if not CheckpointStore(folder).started():
            check_backbone(task, config)

    def run(task: Task, console: Console, stop: StopRequest) -> tuple[Arrays, list[Record]]:
        from qcc.train.float_training import train_float

        return train_float(
            task,
            training,
            config.optimizer,
            config.seed,
            folder,
            console,
            stop,
            given.tb_folder,
            config.keep_checkpoints,
        )

    console, (weights, records) = run_training(given, config, lambda: folder, check, run)

    from qcc.train.evaluation.report import run_record
    from qcc.train.programs.weights import save_arrays

    save_arrays(save_path, weights)
    settings = config.model_dump(mode="json", by_alias=True)
    write_json(save_path.with_suffix(".json"), run_record(settings, {"epochs": records}))
    console.print(f"saved the weights in {save_path}.")
    tell_next("quantize", "-c", given.config_path, "-o", f"pretrain_weights={save_path}")
