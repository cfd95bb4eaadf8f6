"""`qcc eval`: the accuracy of a saved model in any form."""

from __future__ import annotations

from pathlib import Path

import click

LITE_SUFFIX = ".nb"


@click.command("eval")
@click.argument("model_path", metavar="MODEL", type=Path)
@click.option("-c", "--config", "config_path", required=True, type=Path, help="Training configuration.")
@click.option("-d", "--dataset_dir", type=Path, help="Folder of the data set; else it is fetched.")
@click.option("--skip-bad", is_flag=True, help="Leave out bad images, counted at the end, not stop at them.")
@click.option(
    "-o", "--override", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a configuration value."
)
@click.option("--model_name", help="File name of the program, when it cannot be told from the folder.")
@click.option("--params_name", help="File name of the parameters, likewise.")
def evaluate(
    model_path: Path,
    config_path: Path,
    dataset_dir: Path | None,
    skip_bad: bool,
    overrides: tuple[str, ...],
    model_name: str | None,
    params_name: str | None,
) -> None:
    """Evaluate MODEL, a folder or prefix in any form, on the configuration's test set.

    MODEL may also be a Paddle Lite file for x86, FILE.nb; that runs where Paddle Lite's runtime is installed.
    """
    from qcc.train.config import load_config

    config = load_config(config_path, overrides)

    import qcc
    from qcc.train.evaluate import evaluate as run
    from qcc.train.evaluate import evaluate_lite
    from qcc.train.tasks.build import build_task

    task = build_task(config, dataset_dir, skip_bad)
    if model_path.suffix == LITE_SUFFIX:
        metrics = evaluate_lite(model_path, task)
    else:
        model = qcc.load(str(model_path), model_filename=model_name, params_filename=params_name)
        metrics = run(model, task)
    for name, value in metrics.items():
        click.echo(f"{name} {value:.4f}")
    for note in task.left_out():
        click.echo(note)
