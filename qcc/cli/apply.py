"""`qcc apply`: run a pipeline on a model, and say what every pass did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.own_files import check_model_place
from qcc.cli.paths import FOLDER
from qcc.cli.stdout import echo
from qcc.shown import plain

if TYPE_CHECKING:
    from qcc.backends.report import Saved
    from qcc.model import Model
    from qcc.passes.instruments import Instrument, OpChange, Progress


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-p", "--pipeline", required=True, help="Passes and their options; see `qcc passes`.")
@click.option("-o", "--output", type=FOLDER, help="Where to save the model; without it, nothing is saved.")
@click.option(
    "--form",
    type=click.Choice(["float", "int8", "qdq"]),
    help="How to save the model: as it is, with weights stored as float32, as INT8, or as qdq; by default as"
    " the pipeline ends.",
)
@click.option(
    "--dump-dir", type=FOLDER, help="Write the graph's text to this folder, before and after each pass."
)
@click.option("--timing", is_flag=True, help="Show the seconds that each pass took.")
@click.option("--no-verify", is_flag=True, help="Do not check the graph after each pass.")
@model_files
def apply(
    model: Path,
    pipeline: str,
    output: Path | None,
    form: str | None,
    dump_dir: Path | None,
    timing: bool,
    no_verify: bool,
    model_filename: str | None,
    params_filename: str | None,
) -> None:
    """Run a pipeline on the model in MODEL, a folder, a program file or the prefix of one.

    Tells what each pass added, removed, changed and has to say, and saves the result in the folder given by
    -o: all files of it, or none. What says how images are prepared (`inference.yml`, `infer_cfg.yml`) goes
    along.

    \b
    qcc apply MODEL -p 'transform{activation_type=abs_max},freeze,int8,prune' -o OUT
    """
    if form is not None and output is None:
        raise click.UsageError("--form says how to save the model, so it needs -o.")
    import qcc
    from qcc.backends.fluid import file_names
    from qcc.calibrate.data.beside import copy_beside
    from qcc.files import check_outputs, one_change
    from qcc.frontend.layout import find_program
    from qcc.frontend.saved import model_files as files_of
    from qcc.ir.text import print_graph
    from qcc.passes.instruments import Dump, OpCount, Timing, Verification
    from qcc.quantization import stored_form
    from qcc.record import FILE_NAME

    manager = qcc.PassManager.parse(pipeline)
    loaded = qcc.load(model, model_filename, params_filename)
    if output is not None:
        read = files_of(model, model_filename, params_filename)
        check_outputs([output / name for name in (*file_names(), FILE_NAME)], read)
        check_model_place(output, find_program(model, model_filename), file_names())
    counts, times = OpCount(), Timing()
    # The first stands outermost: what is timed is the pass alone, and a graph is dumped before it is checked.
    instruments: list[Instrument] = [counts]
    instruments += [] if no_verify else [Verification()]
    instruments += [] if dump_dir is None else [Dump(dump_dir, print_graph)]
    with _progress(Console(stderr=True)) as progress:
        result = manager.run(loaded, [progress, *instruments, times])
    _show_changes(Console(), counts.changes, [seconds for _, seconds in times.seconds] if timing else None)
    for change in counts.changes:
        for note in change.result.notes:
            echo(f"{change.name}: {note}")
    if output is None:
        echo("nothing was saved.")
        tell_next("apply", model, "-p", pipeline, "-o", "OUT")
    else:
        with one_change(output):
            saved = qcc.save(result, output, form=form or stored_form(result.graph))
            copy_beside(find_program(model, model_filename), output)
        _tell_saved(saved, result, output)
        tell_next("inspect", output)


def _tell_saved(saved: Saved, model: Model, output: Path) -> None:
    from qcc.quantization import state

    name = state(model.graph) if saved.form == "float" else saved.form
    echo(f"saved the {name} form in {output}.")
    for warning in saved.warnings:
        echo(f"warning: {warning}", err=True)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """An instrument that moves a bar, which is seen while it moves and only on a terminal."""
    from qcc.passes.instruments import Progress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def report(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        yield Progress(report)


def _show_changes(console: Console, changes: list[OpChange], seconds: list[float] | None) -> None:
    """What each pass did, with its seconds if they are given."""
    times = [""] * len(changes) if seconds is None else [f"{value:.3f}" for value in seconds]
    if not console.is_terminal:
        for change, time in zip(changes, times, strict=True):
            echo(f"{change.name}: {_sentence(change)}{f' in {time} s' if time else ''}")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("pass", style="bold")
    table.add_column("op", overflow="fold")
    for heading in ("added", "removed", "changed", *(["seconds"] if seconds is not None else [])):
        table.add_column(heading, justify="right")
    for change, time in zip(changes, times, strict=True):
        types = sorted({*change.added, *change.removed, *change.changed})
        first, *others = types or [f"({_sentence(change)})"]
        table.add_row(change.name, Text(plain(first)), *_numbers(change, first), *([time] if time else []))
        for op_type in others:
            table.add_row("", Text(plain(op_type)), *_numbers(change, op_type))
    console.print(table)


def _sentence(change: OpChange) -> str:
    if not change.result.modified:
        return "changed nothing"
    done = (("added", change.added), ("removed", change.removed))
    clauses = [f"{verb} {_counted(ops)}" for verb, ops in done if ops]
    if count := change.changed.total():
        clauses.append("1 op changed" if count == 1 else f"{count} ops changed")
    return "; ".join(clauses) or "no op changed, only variables"


def _counted(ops: Counter[str]) -> str:
    return ", ".join(f"{count} {op_type}" for op_type, count in sorted(ops.items()))


def _numbers(change: OpChange, op_type: str) -> tuple[str, ...]:
    return tuple(str(ops[op_type] or "") for ops in (change.added, change.removed, change.changed))
