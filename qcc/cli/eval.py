"""`qcc eval`: the accuracy of a saved model in any form."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("eval")
@click.argument("model_path", metavar="MODEL", type=Path)
@click.option("-c", "--config", "config_path", required=True, type=Path, help="Training configuration.")
@click.option("-d", "--dataset_dir", type=Path, help="Folder of the data set; else it is fetched.")
@click.option(
    "-o", "--override", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a configuration value."
)
@click.option("--model_name", help="File name of the program, when it cannot be told from the folder.")
@click.option("--params_name", help="File name of the parameters, likewise.")
def evaluate(
    model_path: Path,
    config_path: Path,
    dataset_dir: Path | None,
    overrides: tuple[str, ...],
    model_name: str | None,
    params_name: str | None,
) -> None:
    """Evaluate MODEL, a folder or prefix in any form, on the configuration's test set."""
    from qcc.train.config import load_config

    config = load_config(config_path, overrides)

    import qcc
    from qcc.train.evaluate import evaluate as run
    from qcc.train.tasks.classifier import ClassifierTask

    model = qcc.load(str(model_path), model_filename=model_name, params_filename=params_name)
    for name, value in run(model, ClassifierTask(config, dataset_dir)).items():
        click.echo(f"{name} {value:.4f}")
