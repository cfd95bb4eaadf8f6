"""`qcc eval`: the accuracy of a saved model in any form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.next import tell_next
from qcc.cli.stdout import echo
from qcc.cli.training_options import (
    OverridesCommand,
    config_option,
    dataset_option,
    model_options,
    output_eval_option,
    overrides_option,
    skip_bad_option,
)

if TYPE_CHECKING:
    from qcc.train.config import ClassifierConfig, DetectorConfig
    from qcc.train.tasks.task import Task


@click.command("eval", cls=OverridesCommand)
@model_options()
@config_option
@dataset_option
@overrides_option
@output_eval_option
@skip_bad_option
@click.option("--all-epochs", is_flag=True, help="MODEL is a folder of checkpoints: compare all of them.")
def evaluate(
    model: Path,
    config_path: Path,
    dataset_dir: Path | None,
    skip_bad: bool,
    overrides: tuple[str, ...],
    output_eval: Path | None,
    model_filename: str | None,
    params_filename: str | None,
    all_epochs: bool,
) -> None:
    """Evaluate MODEL, a folder or prefix in any form, on the configuration's test set.

    MODEL may also be a Paddle Lite file for x86, FILE.nb; that runs where Paddle Lite's runtime is installed.

    With --all-epochs it is the folder of a run's checkpoints; the table of its epochs tells the best one.
    """
    from qcc.train.config import load_config

    config = load_config(config_path, overrides)

    import qcc
    from qcc.frontend.suffixes import LITE_SUFFIX
    from qcc.train.evaluation.evaluate import evaluate as run
    from qcc.train.evaluation.evaluate import evaluate_lite
    from qcc.train.evaluation.fits import check_fits
    from qcc.train.tasks.build import build_task

    task = build_task(config, dataset_dir, skip_bad, output_eval)
    if all_epochs:
        _compare_epochs(model, config, task)
        metrics = {}
    elif model.suffix == LITE_SUFFIX:
        metrics = evaluate_lite(model, task)
    else:
        loaded = qcc.load(model, model_filename=model_filename, params_filename=params_filename)
        check_fits(loaded, config)
        metrics = run(loaded, task)
    for name, value in metrics.items():
        echo(f"{name} {value:.4f}")
    for note in task.left_out():
        echo(note)
    if all_epochs:
        tell_next("freeze", "--checkpoint", model, "--epoch", "best", "--save", "OUT")
    else:
        tell_next("bench", model)


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
