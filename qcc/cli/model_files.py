"""Naming the files of a saved model, for the folders that do not tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def model_files(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the names of the program and its parameters, under PaddleDetection's flags, too."""
    program = click.option(
        "--model-filename",
        "--model_name",
        "model_filename",
        help="The program's name inside the folder MODEL, when it cannot be told.",
    )
    params = click.option(
        "--params-filename",
        "--params_name",
        "params_filename",
        help="The parameters' name inside the folder MODEL, likewise.",
    )
    return program(params(command))
