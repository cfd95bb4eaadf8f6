"""`qcc check`: whether a model can be deployed, before any training is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from qcc.cli.model_files import model_files

_ARCHS: dict[str, Literal["arm", "x86"]] = {"lite-arm": "arm", "lite-x86": "x86"}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", required=True, type=click.Choice(list(_ARCHS)), help="The runtime and processor.")
@model_files
def check(model: Path, target: str, model_filename: str | None, params_filename: str | None) -> None:
    """Say whether a target runs all ops of the model in MODEL, and which of them in int8.

    The model may be in any form, also the float one that training would start from. An op that the target
    does not run makes the command fail, with all such ops and what there is instead.
    """
    import qcc
    from qcc.backends.lite.check import check as look

    report = look(qcc.load(model, model_filename, params_filename), _ARCHS[target])
    for line in report.lines():
        click.echo(line)
