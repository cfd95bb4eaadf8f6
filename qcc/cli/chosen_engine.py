"""`--engine` of the commands that run a model where it will be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.engine_names import ENGINES
from qcc.frontend.suffixes import LITE_SUFFIX, ONNX_SUFFIX

if TYPE_CHECKING:
    from qcc.measure.engines import Case

engine_option = click.option(
    "--engine",
    type=click.Choice(ENGINES),
    help="What runs the model, as `qcc bench --engines` has it: paddle is Paddle Inference with oneDNN, in"
    " int8 for a quantized model. Without it Paddle computes op for op, with the integers of the quantized"
    " network; a .nb file runs in lite, an .onnx file in onnxruntime.",
)
_RUN_BY = {LITE_SUFFIX: "lite", ONNX_SUFFIX: "onnxruntime"}
"""What runs a file that is no model of Paddle, where no engine is named."""


def chosen_engine(
    engine: str | None, model: Path, model_filename: str | None, params_filename: str | None
) -> str | None:
    """The engine that is named, or that a file is for; None where Paddle is to compute op for op."""
    chosen = engine or _RUN_BY.get(model.suffix)
    if chosen is not None and (model_filename or params_filename):
        raise click.UsageError(
            "An engine finds a model by its usual names: --model-filename and --params-filename go without"
            " --engine."
        )
    return chosen


def only_one(command: str, cases: Sequence[Case]) -> Case:
    if len(cases) > 1:
        names = ", ".join(case.subject.shown for case in cases)
        raise click.UsageError(f"{command} takes one model: name one of {names}.")
    return cases[0]
