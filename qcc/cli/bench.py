"""`qcc bench`: whether int8 pays on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qcc.cli.bench_inputs import open_inputs, prepared
from qcc.cli.engine_names import ENGINES, ON_CPUS
from qcc.cli.next import tell_next
from qcc.cli.paths import FILE
from qcc.cli.progress import progress
from qcc.cli.stdout import echo
from qcc.shown import plain, short_paths

if TYPE_CHECKING:
    from qcc.measure.bench import Row
    from qcc.measure.subjects import Subject

_TARGETS = {name: name for name in ENGINES} | {"paddle": "paddle-x86", "lite": "lite-x86"}
_PIPE_WIDTH = 100
_MODEL, _LEAST = 1, 12
"""The column with the path of the model, which may be long, and how much of it is shown at least."""
_SLOWER = 1


class Words(click.ParamType):
    """Some of a set of words, with commas between them."""

    def __init__(self, words: Sequence[str]) -> None:
        self.name = ",".join(words)
        self._words = words

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(str(value).split(",")))
        unknown = [word for word in chosen if word not in self._words]
        if unknown:
            self.fail(f"{unknown[0]!r} is none of {', '.join(self._words)}.", param, ctx)
        return chosen


class Counts(click.ParamType):
    """Numbers above 0, with commas between them."""

    name = "N,N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        words = list(dict.fromkeys(str(value).split(",")))
        wrong = [word for word in words if not word.isdecimal() or int(word) < 1]
        if wrong:
            self.fail(f"{wrong[0]!r} is no number above 0.", param, ctx)
        return tuple(map(int, words))


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--engines",
    type=Words(ENGINES),
    metavar=",".join(ENGINES),
    default=",".join(ON_CPUS),
    show_default=True,
    help="What is to run the models.",
)
@click.option("--threads", type=Counts(), default="1", show_default=True, help="Threads of a run.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Samples of a run.")
@click.option(
    "--data",
    metavar="DATA",
    help="Run on this instead of made-up inputs: images, arrays, or what else `qcc quantize --data` takes.",
)
@click.option(
    "--preprocess",
    type=FILE,
    metavar="FILE.yml",
    help="How the images of --data are prepared, where nothing beside the first MODEL says it.",
)
@click.option(
    "--rounds", type=click.IntRange(min=2), default=20, show_default=True, help="Turns of each model."
)
@click.option(
    "--json",
    "json_path",
    type=FILE,
    metavar="OUT.json",
    help="Write all that was measured.",
)
@click.option(
    "--plot",
    "plot_path",
    type=FILE,
    metavar="OUT.svg",
    help="Draw the times.",
)
@click.option(
    "--report",
    "report_path",
    type=FILE,
    metavar="OUT.html",
    help="Write a page with the times, or put them into the report.html of `qcc quantize`.",
)
@click.pass_context
def bench(
    ctx: click.Context,
    models: tuple[Path, ...],
    engines: tuple[str, ...],
    threads: tuple[int, ...],
    batch: int,
    data: str | None,
    preprocess: Path | None,
    rounds: int,
    json_path: Path | None,
    plot_path: Path | None,
    report_path: Path | None,
) -> None:
    """Time float and int8 forms of a network side by side, in the engines that are installed.

    MODEL is a model of Paddle in any layout, a file of Paddle Lite (.nb) or ONNX (.onnx), or a folder that
    `qcc quantize` or `qcc freeze` has written, with all forms in it. Give the float model first: the others
    are compared with it.

    The models take turns, each in a process of its own. Exit code 1 says that in some engine even the
    fastest int8 form took more processor time than the float model; what cannot be measured has exit code 2.

    \b
    qcc bench MODEL OUT
    qcc bench MODEL OUT --report OUT/report.html
    qcc bench MODEL OUT --engines openvino --threads 1,2 --data PHOTOS --json bench.json --plot bench.svg
    """
    if preprocess is not None and data is None:
        raise click.UsageError(
            "--preprocess says how the images of --data DATA are prepared, and there is none."
        )
    if report_path is not None and report_path.suffix != ".html":
        raise click.UsageError(f"--report {report_path}: the page is a file whose name ends in .html.")
    from qcc.analyze.page.frame import TIMES, put_part, read_page
    from qcc.analyze.page.times import times
    from qcc.cli.data import files_named
    from qcc.errors import EngineError
    from qcc.files import check_outputs, refuse_inputs, write_json, write_text
    from qcc.measure.bench import Bench, slower
    from qcc.measure.inputs import find_inputs
    from qcc.measure.plot import plot
    from qcc.measure.report import MADE_UP, machine, record
    from qcc.measure.subjects import find_subjects, left_over

    outputs = [path for path in (json_path, plot_path, report_path) if path is not None]
    check_outputs(outputs, [*models, *files_named(data, preprocess)])
    if report_path is not None and report_path.exists():
        read_page(report_path)  # one that is none of qcc's is refused before anything is measured
    with tempfile.TemporaryDirectory(prefix="qcc-bench-") as scratch:
        subjects = find_subjects(models, Path(scratch))
        for path in (left for model in models for left in left_over(model)):
            echo(f"notice: {path} is of an earlier run, and left out; name it to measure it.", err=True)
        # Not all that stands in the folders: there an earlier run may have written.
        refuse_inputs(outputs, [file for subject in subjects for file in subject.files])
        batches, source = open_inputs(subjects, data, preprocess, batch, Path(scratch))
        sample = find_inputs(subjects, batches, batch, source)
        total = rounds * len(threads)
        with progress("measuring", total, Console(stderr=True)) as report:
            rows = Bench(subjects, engines, sample.inputs, threads, rounds, Path(scratch), report).run()
    if not any(row.cpu for row in rows):
        raise EngineError("nothing was measured: " + "; ".join(f"{row.engine}: {row.reason}" for row in rows))
    settings = {"batch": batch, "inputs": sample.source, "rounds": rounds}
    if json_path is not None:
        write_json(json_path, record(rows, subjects, **settings))
    if plot_path is not None:
        write_text(plot_path, plot(rows, machine()))
    if report_path is not None:
        facts = {"processor": machine(), "inputs": f"{sample.source}, batch {batch}, {rounds} turns"}
        facts |= {"note": MADE_UP} if data is None else {}
        put_part(report_path, f"{models[0].absolute().name}, measured", TIMES, times(rows, facts))
    echo(machine())
    echo(f"on {sample.source}, batch {batch}, {rounds} turns.")
    _show(rows, subjects, [MADE_UP] if data is None else [])
    worst = slower(rows)
    _tell_next(models[0], subjects, worst, data or "PHOTOS", prepared(subjects, data, preprocess))
    ctx.exit(_SLOWER if worst else 0)


def _tell_next(
    model: Path, subjects: Sequence[Subject], slower: Sequence[Row], data: str, how: Sequence[str]
) -> None:
    """Where int8 does not pay, how to leave float what is slower; else the file for an engine, and what it
    computes where there is one."""
    exported = next((one.shown for one in subjects if one.kind != "paddle"), None)
    if slower:
        subject, engine = slower[0].subject, slower[0].engine
        target = _TARGETS[engine] if subject is None or subject.target is None else subject.target
        float_model = model if subjects[0].is_float and subjects[0].kind == "paddle" else "MODEL"
        tell_next(
            "quantize", float_model, "--data", data, *how, "-o", "OUT", "--target", target, "--no-slower"
        )
    elif exported is not None:
        tell_next("compare", model, exported, "--data", data)
    else:
        frozen = next((one.shown for one in subjects if one.form == "frozen"), "OUT/float")
        tell_next("export", frozen, "--target", "lite", "-o", "model.nb")


def _show(rows: Sequence[Row], subjects: Sequence[Subject], notes: Sequence[str] = ()) -> None:
    """A table for each number of threads, what was not measured, and, after the notes, what comes of it."""
    from qcc.measure.report import COLUMNS, LEGEND, cells, comparisons, refusals, threads_of, verdicts

    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    for threads in dict.fromkeys(row.threads for row in rows):
        table = Table(title=threads_of(threads), title_justify="left", box=None, pad_edge=False)
        for heading in COLUMNS:
            words = heading in ("engine", "model", "form")
            table.add_column(heading, justify="left" if words else "right", no_wrap=True)
        shown = [list(map(plain, cells(row))) for row in rows if row.threads == threads and not row.reason]
        widths = [max(map(len, column)) for column in zip(COLUMNS, *shown, strict=True)]
        # Two spaces stand between the columns.
        others = sum(widths) - widths[_MODEL] + 2 * (len(widths) - 1)
        names = short_paths([row_cells[_MODEL] for row_cells in shown], max(console.width - others, _LEAST))
        for row_cells, name in zip(shown, names, strict=True):
            row_cells[_MODEL] = name
            table.add_row(*map(Text, row_cells))  # texts, since "[1]" is no mark-up
        if console.is_terminal:
            console.print(table)
        else:  # where a line is as wide as it has to be
            Console(width=max(_PIPE_WIDTH, others + max(map(len, names), default=0))).print(table)
    for line in (
        *LEGEND.splitlines(),
        *refusals(rows),
        *comparisons(rows, subjects),
        *notes,
        *verdicts(rows),
    ):
        echo(line)
