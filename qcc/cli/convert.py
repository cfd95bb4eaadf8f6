"""`qcc convert`: a model of any layout, Paddle 3's among them, as `.pdmodel` and `.pdiparams`."""

from __future__ import annotations

from pathlib import Path

import click

from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.own_files import check_model_place, refuse_folder
from qcc.cli.paths import FOLDER
from qcc.cli.stdout import echo


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=FOLDER,
    required=True,
    help="The folder that gets the files.",
)
@click.option(
    "--name",
    default="inference.pdmodel",
    show_default=True,
    help="The program's name: NAME.pdmodel with NAME.pdiparams beside, `__model__` with `__params__`, or"
    " `model` with `weights`.",
)
@model_files
def convert(
    model: Path, output: Path, name: str, model_filename: str | None, params_filename: str | None
) -> None:
    """Write the model in MODEL for who reads `.pdmodel` and `.pdiparams`: Paddle 2, and tools of its time.

    MODEL may be a program of Paddle 3 (`inference.json`), which needs no Paddle 3 here, or any other layout.
    The files are read back and run by Paddle before they appear, all of them or none. What says how images
    are prepared (`inference.yml`, `infer_cfg.yml`, `deploy.yaml`) goes along.

    \b
    qcc convert PP-OCRv5_mobile_det -o OUT
    """
    import qcc
    from qcc.backends.fluid import file_names
    from qcc.calibrate.data.beside import copy_beside
    from qcc.files import one_change
    from qcc.frontend.layout import find_program
    from qcc.quantization import stored_form

    loaded = qcc.load(model, model_filename, params_filename)
    program = find_program(model, model_filename)
    refuse_folder(program, output)
    check_model_place(output, program, file_names(name))
    with one_change(output):
        saved = qcc.save(loaded, output, form=stored_form(loaded.graph), model_filename=name)
        copies = copy_beside(program, output)
    for path in (*saved.files, *copies):
        echo(path)
    for warning in saved.warnings:
        echo(f"warning: {warning}", err=True)
    tell_next("check", output, "--target", "lite-arm")
