"""`qcc analyze`: what quantizing each op costs, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.exceptions import Exit
from rich.console import Console

from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.own_files import check_place, is_analysis, is_page
from qcc.cli.paths import FILE
from qcc.cli.progress import progress
from qcc.cli.stdout import echo

if TYPE_CHECKING:
    from qcc.analyze.findings import Analysis
    from qcc.analyze.metric import Metric
    from qcc.analyze.sources import Given
    from qcc.calibrate.data.sources import Source
    from qcc.calibrate.plan import Plan
    from qcc.calibrate.statistics import Statistics
    from qcc.interrupts import StopRequest
    from qcc.model import Model

_CALIBRATED_ON = 256
_LABELS = {
    "ranges": "looking at ranges",
    "ops": "measuring each op",
    "first effects": "looking for the worst ops",
    "effects": "measuring effects on the output",
    "metric": "computing the metric",
}
_SHOWN = 5
_SCORED = 10


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="As in `qcc quantize MODEL --data`: a folder of images, .npz or .npy files, a"
    " training configuration (.yml), module:function, or random.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=FILE,
    help="Where to write the page (.html); the same for programs is written beside it, as .json.",
)
@click.option(
    "--float",
    "float_path",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="The float model that was quantized, where the folder that `qcc quantize` wrote does not tell.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="How many images or batches to measure on, spread evenly.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    metavar="N",
    help="Measure the effect on the network's output of so many ops only: the worst ones on one image.",
)
@click.option(
    "--eval",
    "evaluate",
    metavar="EVAL",
    help="Tell as well what each op does to a metric, as in `qcc quantize --max-drop`: the main metric of a"
    " training configuration (.yml) on its test set, or what module:function gives for a model. It is"
    f" computed twice for each of the {_SCORED} ops with the largest effect, or of the N of --top.",
)
@click.option(
    "--preprocess",
    type=FILE,
    metavar="FILE.yml",
    help="How images are prepared, where it does not stand beside the float model.",
)
@model_files
def analyze(
    model: Path,
    data: str,
    output: Path,
    float_path: Path | None,
    samples: int,
    top: int | None,
    evaluate: str | None,
    preprocess: Path | None,
    model_filename: str | None,
    params_filename: str | None,
) -> None:
    """Tell what quantizing each op of MODEL costs, the worst first.

    MODEL is a folder that `qcc quantize MODEL` wrote, a quantized model in any form, or a float model, which
    is then quantized first, as `qcc quantize MODEL --data DATA` does. Interrupted, it goes on when it is run
    again.

    \b
    qcc analyze OUT --data PHOTOS -o report.html
    qcc analyze INT8_MODEL --float MODEL --data PHOTOS -o report.html --top 20
    qcc analyze OUT --data PHOTOS --eval CONFIG.yml -o report.html
    """
    if output.suffix != ".html":
        raise click.UsageError(f"-o {output}: the page is a file whose name ends in .html.")
    from qcc.analyze.page import write_page
    from qcc.analyze.page.frame import TIMES
    from qcc.analyze.run import Sample, Wanted
    from qcc.analyze.run import analyze as run
    from qcc.analyze.sources import find_models
    from qcc.cli.data import open_source
    from qcc.files import check_folder, refuse_inputs, write_json
    from qcc.interrupts import StopRequest
    from qcc.quantization import state

    check_folder(output.absolute().parent)
    given = find_models(model, float_path, model_filename, params_filename)
    refuse_inputs([output, output.with_suffix(".json")], given.files)
    check_place(output.parent, (), {output.name: is_page, output.with_suffix(".json").name: is_analysis})
    journal = output.with_name(f".{output.stem}.analysis")
    source = open_source(given.model, given.program, data, preprocess, samples, [model])
    metric = None if evaluate is None else _metric(evaluate, given.model, top)
    stop = StopRequest()
    is_float = state(given.model.graph) == "float"
    with stop.listening(), _going_on():
        if is_float:
            if float_path is not None:
                raise click.UsageError(
                    f"--float {float_path}: {model} is float itself, and is quantized first."
                )
            more = open_source(given.model, given.program, data, preprocess, _CALIBRATED_ON, [model])
            given = _calibrated(given, more, journal.with_name(f"{journal.name}.ranges"), stop)
        found, kept = run(
            given.title,
            given.twins(),
            Sample.of(source, given.model, samples),
            journal,
            Wanted(top, _phase, lambda: stop.requested, metric),
            facts=_facts(given, source),
        )
    if write_page(found, output, kept=TIMES):
        echo(f"{output} keeps the times that `qcc bench` has put there.")
    write_json(output.with_suffix(".json"), found.record())
    kept.remove()
    _tell(found, output)
    of_float = [model] if is_float else _float_words(given)
    how = _prepared(source, given, preprocess)
    tell_next("quantize", *of_float, "--data", data, *how, "-o", "OUT", "--effort", "accurate")


def _float_words(given: Given) -> list[object]:
    """The float model of a quantized one as `qcc quantize` is given it."""
    params = [] if given.float_params is None else ["--params-filename", given.float_params]
    return [given.float_path or "MODEL", *params]


def _prepared(source: Source, given: Given, preprocess: Path | None) -> list[str]:
    """The option by which `qcc quantize` prepares images as here; none where it sees that itself."""
    said_by = source.record.get("preprocess_from")
    if said_by is None or (preprocess is None and Path(said_by).parent == given.program.parent):
        return []
    return ["--preprocess", said_by]


def _metric(evaluate: str, model: Model, top: int | None) -> Metric:
    from qcc.analyze.metric import Metric
    from qcc.cli.budget import metric_of

    function, content = metric_of(evaluate, model)
    return Metric(evaluate, f"metric of {evaluate} {content}", function, _SCORED if top is None else top)


@contextmanager
def _going_on() -> Iterator[None]:
    """Turn a stop into the exit code of an interrupted command."""
    from qcc.interrupts import Stopped
    from qcc.starting import INTERRUPTED_EXIT_CODE

    try:
        yield
    except Stopped:
        echo("interrupted; the same command goes on with what was measured.", err=True)
        raise Exit(INTERRUPTED_EXIT_CODE) from None


def _phase(name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return progress(_LABELS[name], total, Console(stderr=True))


def _calibrated(given: Given, source: Source, folder: Path, stop: StopRequest) -> Given:
    """A float model quantized as `qcc quantize MODEL --data` does with its defaults, and its twin."""
    from qcc.calibrate.balanced import balanced, balanced_statistics, come_once, few_of
    from qcc.calibrate.choose import choose
    from qcc.calibrate.collection import State
    from qcc.calibrate.memo import Memo
    from qcc.calibrate.plan import make_plan

    few, batches = few_of(source.batches)
    memo, key = Memo(folder / "balanced"), [source.record, source.identity]
    source = replace(source, batches=batches)
    found = balanced(make_plan(given.model), few, memo, key, keep=False)
    plan, statistics, notices = balanced_statistics(
        found, partial(_measured, source, folder, stop), memo, key, once=come_once(batches)
    )
    quantized = choose(plan, statistics, "mse").freeze()
    State(folder, plan, source).remove()
    return replace(
        given,
        model=quantized.model,
        float_model=given.model,
        notes=(*given.notes, *notices, *quantized.notices),
    )


def _measured(source: Source, folder: Path, stop: StopRequest, plan: Plan) -> Statistics:
    from qcc.calibrate.collection import State, check_skipped, collect

    kept = State(folder, plan, source)
    kept.gather()
    with progress("measuring", source.total, Console(stderr=True)) as report:
        collect(plan, source, kept, stop=lambda: stop.requested, report=report)
    statistics = kept.gather()
    check_skipped(statistics)
    return statistics


def _facts(given: Given, source: Source) -> dict[str, str]:
    from qcc.calibrate.report import told

    facts = {"model": str(given.path), "data": told(source.record)}
    if given.float_path is not None:
        facts["float model"] = str(given.float_path)
    return facts


def _tell(found: Analysis, output: Path) -> None:
    from qcc.analyze.page.words import decibel, percent
    from qcc.analyze.page.write import verdict

    for note in found.notes:
        echo(f"notice: {note}.")
    echo(verdict(found))
    for one in found.ops[:_SHOWN]:
        alone = "" if one.effect is None else f"alone {percent(one.effect.alone)}, "
        echo(f"  {one.layer.output}: {alone}{decibel(one.damage.both)} dB by itself")
    echo(f"{output} and {output.with_suffix('.json').name} have the rest.")
