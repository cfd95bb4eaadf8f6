"""`qcc freeze`: from what was trained to the forms that are deployed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from qcc.cli.calibration import calibration_data, calibration_options
from qcc.cli.next import tell_next
from qcc.cli.own_files import check_place, is_page
from qcc.cli.stdout import echo
from qcc.cli.training_options import (
    OverridesCommand,
    dataset_option,
    model_options,
    output_eval_option,
    overrides_option,
    skip_bad_option,
)
from qcc.shown import metric_value

if TYPE_CHECKING:
    from qcc.backends.report import Saved
    from qcc.model import Model


class EpochOrBest(click.ParamType):
    """The number of an epoch, or `best`."""

    name = "N|best"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == "best":
            return None
        if not str(value).isdecimal():
            self.fail(f"'{value}' is neither the number of an epoch nor 'best'.", param, ctx)
        return int(str(value))


@click.command(cls=OverridesCommand)
@model_options(required=False)
@click.option("--checkpoint", type=Path, metavar="DIR", help="Folder of the checkpoints, instead of MODEL.")
@click.option(
    "--epoch",
    default="best",
    show_default=True,
    type=EpochOrBest(),
    metavar="N|best",
    help="Which checkpoint.",
)
@click.option(
    "--save",
    "--save_path",
    "save_path",
    type=Path,
    metavar="DIR",
    default=Path("output"),
    show_default=True,
    help="Where to write.",
)
@click.option(
    "--weight-quant-type",
    "--weight_quant_type",
    "weight_quant_type",
    type=click.Choice(["abs_max", "channel_wise_abs_max"]),
    help="How to round weights, instead of as they were trained.",
)
@calibration_options
@click.option(
    "--target",
    metavar="NAME",
    help="Write qdq/ as this engine computes it rightly, paddle-x86 or openvino, with +vnni for processors"
    " with VNNI, or refuse.",
)
@click.option("--no-check", is_flag=True, help="Do not run what is written in the engines.")
@click.option("-c", "--config", "config_path", type=Path, help="Evaluate with this training configuration.")
@dataset_option
@overrides_option
@output_eval_option
@skip_bad_option
def freeze(
    model: Path | None,
    model_filename: str | None,
    params_filename: str | None,
    checkpoint: Path | None,
    epoch: int | None,
    save_path: Path,
    weight_quant_type: str | None,
    calibrate: Path | None,
    preprocess: Path | None,
    target: str | None,
    no_check: bool,
    config_path: Path | None,
    dataset_dir: Path | None,
    overrides: tuple[str, ...],
    output_eval: Path | None,
    skip_bad: bool,
) -> None:
    """Freeze a network that was trained quantization-aware, after evaluating it where -c is given.

    The forms go to float/ (frozen, with integers stored as float32), int8/ and qdq/ of a folder; qdq needs
    fixed activation scales, so for activation type abs_max there is one with --calibrate only, and of weights
    of more than 8 bits there is float/ alone. What is frozen is a checkpoint of `qcc quantize`, or MODEL,
    such as the eval_model/ of one or a model that another tool has quantized, in any form. The forms of MODEL
    get the original's file names, `model` and `weights`.

    \b
    qcc freeze -m checkpoints/1/eval_model -c CONFIG --weight_quant_type channel_wise_abs_max
    qcc freeze --checkpoint checkpoints --epoch best --save forms
    """
    if config_path is None and (dataset_dir or overrides or output_eval or skip_bad):
        raise click.UsageError("-d, -o, --output_eval and --skip-bad are about evaluating, which needs -c.")
    source = click.get_current_context().get_parameter_source("epoch")
    if checkpoint is None and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--epoch says which checkpoint of --checkpoint DIR, and there is none.")
    from qcc.targets.table import find_target

    given = calibration_data(calibrate, config_path, preprocess, model, model_filename)
    if target is not None:
        find_target(target)
    from qcc.analyze.page.frame import PAGE
    from qcc.analyze.page.frozen import write_frozen
    from qcc.backends.deploy.options import told
    from qcc.backends.fluid import FORMS
    from qcc.files import check_folder, one_change, refuse_inputs
    from qcc.frontend.saved import model_files as files_of
    from qcc.train.config import load_config

    check_folder(save_path)
    config = None if config_path is None else load_config(config_path, overrides)

    from qcc.train.evaluation.evaluate import evaluate
    from qcc.train.evaluation.fits import check_fits
    from qcc.train.freeze import check_form, freeze_to
    from qcc.train.tasks.build import build_task

    loaded, metrics = _load(model, model_filename, params_filename, checkpoint, epoch)
    if model is not None:
        replaced = [path for form in FORMS for path in (save_path / form).glob("*")]
        refuse_inputs(replaced, files_of(model, model_filename, params_filename))
    check_form(loaded, weight_quant_type)
    old_names = model is not None
    check_place(save_path, FORMS, {PAGE: is_page}, _names(old_names, target))
    if config is not None:
        check_fits(loaded, config)
        task = build_task(config, dataset_dir, skip_bad, output_eval)
        metrics = evaluate(loaded, task)
        for name, value in metrics.items():
            echo(f"{name} {metric_value(value)}")
        for note in task.left_out():
            echo(note)
    data = None
    if given is not None:
        calibrated = given.calibrated(loaded, is_run=target is not None and not no_check)
        metrics = metrics if calibrated is loaded else {}  # what was evaluated had other scales
        loaded = calibrated
        data = given.one_batch(loaded)
    check = False if no_check else True if data is None else data
    facts = {"frozen from": str(model or checkpoint)}
    with one_change(save_path):
        forms = freeze_to(
            loaded, save_path, weight_quant_type, old_names=old_names, target=target, check=check
        )
        page = write_frozen(save_path, save_path.absolute().name, loaded, forms, metrics, facts, target)
    lines = chain.from_iterable(lines_about(saved, target) for saved in forms)
    pasted = [] if target is None else told(find_target(target), forms[0].files[0])
    for line, err in (*lines, *((line, False) for line in (*pasted, page))):
        echo(line, err=err)
    tell_next("bench", "MODEL", save_path)


def _names(old_names: bool, target: str | None) -> dict[str, tuple[str, str]]:
    """What the files of each form are called."""
    from qcc.backends.fluid import FORMS, file_names
    from qcc.train.programs.scheme import OLD_PROGRAM

    found = dict.fromkeys(FORMS, file_names(OLD_PROGRAM if old_names else None))
    return found if target is None else {**found, "qdq": file_names()}


def lines_about(saved: Saved, target: str | None) -> Iterator[tuple[str, bool]]:
    """What was written, and the checks that a user must hear of: lines, and whether they are warnings."""
    from qcc.train.programs.scheme import frozen_name

    yield f"saved the {frozen_name(saved.form)} form in {saved.files[0].parent}.", False
    for check in saved.checks:
        if check.what == target:
            yield f"  {check.outcome}", False
    for warning in saved.warnings_for(target):
        yield f"  warning: {warning}", True


def _load(
    model: Path | None,
    model_filename: str | None,
    params_filename: str | None,
    checkpoint: Path | None,
    epoch: int | None,
) -> tuple[Model, dict[str, float]]:
    """The model, and the metrics of the epoch that it is."""
    import qcc
    from qcc.train.freeze import checkpoint_metrics, checkpoint_model
    from qcc.train.loop.checkpoint import CheckpointStore

    if checkpoint is not None and model is None:
        store = CheckpointStore(checkpoint)
        return checkpoint_model(store, epoch), checkpoint_metrics(store, epoch)
    if model is not None and checkpoint is None:
        return qcc.load(model, model_filename=model_filename, params_filename=params_filename), {}
    raise click.UsageError("Give one thing to freeze: MODEL, -m MODEL or --checkpoint DIR.")
