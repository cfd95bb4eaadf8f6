"""`qcc quantize MODEL --data PHOTOS`: a float inference model quantized without its training code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qcc.cli.accurate import Improving, accurate_options, check_accurate, held_back, steps_folder
from qcc.cli.budget import Wanted, budget_options, meet
from qcc.cli.export_onnx import require_onnx, takes_onnx
from qcc.cli.measuring import measured
from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.own_files import check_place, keep_models_record, refuse_folder
from qcc.cli.paths import FILE, FOLDER
from qcc.cli.quantize_in_time import budgets_in_time
from qcc.cli.quantize_outcome import Outcome, own_files
from qcc.cli.time_budget import CURVE, DRAWING, WantedTime, time_budget_options
from qcc.cli.trained import TRAINED, budget_of, forget, train, training_data, training_options

if TYPE_CHECKING:
    from qcc.calibrate.collection import State
    from qcc.calibrate.data.sources import Source
    from qcc.calibrate.observers import Calibrator
    from qcc.calibrate.report import Section

# As in qcc.calibrate.observers, which imports more than a command line that is wrong should wait for.
_CALIBRATORS: tuple[Calibrator, ...] = ("mse", "abs_max", "moving_average", "avg", "percentile", "kl", "emd")
_STATE = ".calibration"


@click.command("quantize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="What to measure activations on: a folder of images or a text file that lists them; .npz or .npy"
    " files;"
    " a training configuration (.yml); a Python function, as module:function, that yields arrays by feed; or"
    " random.",
)
@click.option("-o", "--output", required=True, type=FOLDER, help="Where to write.")
@click.option(
    "--effort",
    type=click.Choice(["calibrated", "accurate", TRAINED]),
    default="calibrated",
    show_default=True,
    help="calibrated: scales are measured. accurate: then ranges, biases and rounding are made better, step"
    " by step. trained: instead, weights are trained to compute what the float model does on the data, which"
    " needs no labels.",
)
@training_options
@click.option(
    "--calibrator",
    type=click.Choice(_CALIBRATORS),
    default="mse",
    show_default=True,
    help="What chooses the scales of activations: mse, by the least mean square error.",
)
@click.option("--compare", is_flag=True, help="Tell in the report what the other calibrators would lose.")
@click.option(
    "--preprocess",
    type=FILE,
    metavar="FILE.yml",
    help="How images are prepared (`qcc config help Preprocess`), where no file of Paddle's suites beside"
    " the model says so.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="How many images or batches to use at most, spread evenly.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out what cannot be read, named at the end.")
@click.option(
    "--nproc",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Measure in so many processes; the result is the same.",
)
@click.option(
    "--target",
    metavar="NAME",
    help="Quantize what this engine runs in int8, and write its file as well: lite-arm, lite-x86, paddle-x86,"
    " openvino, onnxruntime, tensorrt, or one of another package; NAME+vnni for processors with VNNI.",
)
@click.option(
    "--skip-vars",
    multiple=True,
    metavar="NAME",
    help="Leave ops float that read or write this variable, such as a weight, or what `qcc analyze` calls the"
    " op; may hold *, and be given again.",
)
@accurate_options
@budget_options
@time_budget_options
@click.option("--no-check", is_flag=True, help="Do not run what is written in the engines.")
@model_files
def quantize_model(
    model: Path,
    data: str,
    output: Path,
    effort: str,
    steps: int | None,
    minutes: float | None,
    calibrator: Calibrator,
    compare: bool,
    preprocess: Path | None,
    samples: int,
    skip_bad: bool,
    nproc: int,
    target: str | None,
    skip_vars: tuple[str, ...],
    without: tuple[str, ...],
    max_drop: float | None,
    evaluate: str | None,
    min_agreement: float | None,
    no_slower: bool,
    max_latency: float | None,
    no_check: bool,
    model_filename: str | None,
    params_filename: str | None,
) -> None:
    """Quantize the float inference model in MODEL without training it; or, with -c CONFIG, by training.

    MODEL is what Paddle saves for inference: a folder, a .pdmodel with its .pdiparams, a .json of Paddle 3,
    or `__model__`.

    Writes float/ (frozen), int8/ and qdq/ to a folder, as `qcc freeze` does, with qcc.json and report.md.
    How images are prepared is read from what Paddle's tools leave beside a model. Interrupted, it goes on
    when it is run again.

    \b
    qcc quantize MODEL --data PHOTOS -o OUT
    qcc quantize MODEL --data PHOTOS -o OUT --target lite-arm
    qcc quantize -c CONFIG [-s SLIM]        trains; `qcc quantize -c CONFIG --help` has the options of that
    """
    began = time.monotonic()
    import qcc
    from qcc.backends.fluid import FORMS
    from qcc.backends.readable import require_runs
    from qcc.calibrate.plan import check_skipped, check_target, make_plan
    from qcc.cli.data import open_source
    from qcc.files import check_folder
    from qcc.frontend.layout import find_program

    training = budget_of(effort, steps, minutes)
    check_accurate(effort, without)
    wanted = Wanted(max_drop, evaluate, min_agreement)
    wanted.check(effort)
    check_target(target)
    if takes_onnx(target):
        require_onnx()
    in_time = budgets_in_time(WantedTime(no_slower, max_latency), wanted, target, effort)
    check_folder(output)  # before a large model is read
    loaded = qcc.load(model, model_filename, params_filename)
    plan = make_plan(loaded, skip_vars, target)
    check_skipped(plan, skip_vars)
    wanted.check_metric(loaded)
    program = find_program(model, model_filename)
    _check_forms(output, program, data)
    check_place(output, (*FORMS, *([] if target is None else [target])), own_files(bool(in_time)))
    keep_models_record(output)
    source = open_source(loaded, program, data, preprocess, samples)
    if target is not None:
        require_runs(plan.transformed, target, read=not no_check)
    if effort == "accurate" or wanted or in_time or takes_onnx(target):
        source = source.repeatable()
    # Effort accurate finds that by itself, and judges it.
    balance = effort != "accurate" and "equalization" not in without
    found = measured(plan, source, output / _STATE, balance=balance, nproc=nproc, skip_bad=skip_bad)
    plan, source, state, statistics = found.plan, found.source, found.state, found.statistics

    from qcc.calibrate.accurate.steps import Attempt
    from qcc.calibrate.choose import choose

    compared = _CALIBRATORS if compare else ()
    sections: list[Section] = []
    notices = list(found.notices)
    if effort == "accurate":
        improving = Improving(source, steps_folder(state, source), calibrator, compared, without)
        attempt, section = improving.run(plan, statistics)
        sections.append(section)
    else:
        correct = "bias-correction" not in without
        attempt = Attempt(choose(plan, statistics, calibrator, compared, correct=correct))
    curve = None
    if wanted or in_time:
        judged_by = held_back(loaded, source, statistics, effort)
        left = steps_folder(state, source)
        if in_time:
            quantized, curve, section, met = in_time.meet(loaded, attempt, judged_by, left)
        else:
            attempt, section, met = meet(wanted, loaded, attempt, judged_by, left)
            quantized = attempt.freeze()
        sections.append(section)
        notices += met
    else:
        quantized = attempt.freeze()
    if effort == TRAINED:

        def reopen(count: int) -> Source:
            return open_source(loaded, program, data, preprocess, count)

        drawn = training_data(loaded, reopen, samples, skip_bad)
        quantized, section = train(plan, quantized, drawn, output, training)
        sections.append(section)
    outcome = Outcome(plan, source, statistics, quantized, output, sections, notices, curve, params_filename)
    # Of a folder that may hold several programs, the one that it is.
    named = model if model_filename is None else program
    with _told_of(state):
        outcome.write(target, str(named), effort, calibrator, began, check=not no_check)
    if curve is not None:
        curve.end(output / CURVE, output / DRAWING)
    state.remove()
    forget(output)
    how = () if preprocess is None else ("--preprocess", preprocess)
    tell_next(*_next(outcome, model, target if in_time else None, ("--data", data, *how)))


def _check_forms(output: Path, program: Path, data: str) -> None:
    """Raise OutputError for a folder of which the model is a form, which would be replaced, or that holds the
    data."""
    from qcc.backends.fluid import FORMS
    from qcc.errors import OutputError

    refuse_folder(program, output, *(output / form for form in FORMS))
    if output.exists() and os.path.exists(data) and output.samefile(data):  # data may be no name of a file
        raise OutputError(f"{output} holds the data that is read: give -o another folder.")


@contextmanager
def _told_of(state: State) -> Iterator[None]:
    """Whoever interrupts the block is told where what was measured stays."""
    try:
        yield
    except KeyboardInterrupt as error:
        stays = f"what was measured stays in {state.folder}"
        error.args = (f"{error}; {stays}" if str(error) else stays,)
        raise


def _next(outcome: Outcome, model: Path, timed: str | None, data: Sequence[object]) -> Sequence[object]:
    """The command that comes next; `timed`: the target, where there was a budget of time."""
    if not outcome.is_float:
        return "bench", model, outcome.output
    if timed is not None:
        return "check", outcome.output / "float", "--target", timed
    return "analyze", model, *data, "-o", "report.html"
