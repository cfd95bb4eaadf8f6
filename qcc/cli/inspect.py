"""`qcc inspect`: what a model is made of."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qcc.cli.model_files import model_files
from qcc.cli.next import tell_next
from qcc.cli.stdout import echo
from qcc.shown import plain

if TYPE_CHECKING:
    from qcc.analyze.inspection import Inspection

# Lists of options, such as a scale for each activation, that are too long to be read; --json has them.
_LONG = re.compile(r"\[[^\[\]]{80,}\]")
# A title and its rows: a name and what there is to say about it.
Section = tuple[str, list[tuple[str, str]]]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@model_files
def inspect(model: Path, as_json: bool, model_filename: str | None, params_filename: str | None) -> None:
    """Show what the model in MODEL is made of: a folder, a program file or the prefix of one, or a .nb file.

    Feeds and fetches, ops, weights, which ops are quantized and which stay float, and the variables that
    `save_out_nodes` could name. Of a Paddle Lite file: ops with their kernels, which run in int8, parameters.
    """
    from qcc.cli import inspect_lite

    if inspect_lite.is_lite(model):
        if as_json:
            echo(inspect_lite.as_json(model))
        else:
            _show(inspect_lite.sections(model))
            tell_next("check", model)
        return
    import qcc
    from qcc.analyze.inspection import inspect as look
    from qcc.frontend.saved import has_stale_record

    loaded = qcc.load(model, model_filename, params_filename)
    found = look(loaded)
    stale = has_stale_record(model, model_filename, params_filename)
    if as_json:
        history = {**dataclasses.asdict(loaded.provenance), "stale_record": stale}
        echo(json.dumps({**dataclasses.asdict(found), "provenance": history}, indent=2))
        return
    _show([_summary(found, loaded.provenance.pipelines, stale), *_sections(found)])
    tell_next("check", model, "--target", "lite-arm")


def _summary(found: Inspection, pipelines: tuple[str, ...], stale: bool) -> Section:
    rows = [("form", _form(found))]
    if found.dynamic_scales:
        rows.append(("scales", f"{found.dynamic_scales} measured at every run; `--calibrate` fixes them"))
    if found.unobserved_scales:
        advice = "train the model, or measure them by `qcc freeze --calibrate`"
        rows.append(("scales", f"{found.unobserved_scales} never observed; {advice}"))
    if pipelines:
        rows.append(("made by", _LONG.sub("[...]", " | ".join(pipelines))))
    if stale:
        rows.append(("made by", "unknown: the qcc.json beside it is of other files"))
    rows.append(("ops", str(sum(found.ops.values()))))
    sizes = [f"{count} {dtype} ({_megabytes(size)})" for dtype, (count, size) in found.weights.items()]
    rows.append(("weights", ", ".join(sizes) or "none"))
    return "Model", rows


def _form(found: Inspection) -> str:
    if found.state == "float":
        return "float"
    values = {key: "/".join(map(str, found.scheme[key])) for key in found.scheme if key != "ops"}
    return (
        f"{found.state}, weights {values['weight_type']} {values['weight_bits']} bits,"
        f" activations {values['activation_type']} {values['activation_bits']} bits"
    )


def _sections(found: Inspection) -> Iterator[Section]:
    for title, ports in (("Feeds", found.feeds), ("Fetches", found.fetches)):
        yield title, [(port.name, f"{port.dtype}{list(port.shape)}") for port in ports]
    yield "Ops", [(name, _of_type(found, name, count)) for name, count in found.ops.items()]
    yield "Float, of a type that can be quantized", _float_ops(found)
    for block in found.blocks:
        yield (
            f"Block {block.index}, whose ops stay float",
            [(name, str(count)) for name, count in block.ops.items()],
        )
    yield (
        "Candidates for save_out_nodes",
        [
            (item.port.name, f"{item.port.dtype}{list(item.port.shape)} of {item.op}: {item.why}")
            for item in found.candidates
        ],
    )


def _of_type(found: Inspection, name: str, count: int) -> str:
    quantized = sum(status.quantized for status in found.quantizable if status.type == name)
    return f"{count}, {quantized} quantized" if quantized else str(count)


def _float_ops(found: Inspection) -> list[tuple[str, str]]:
    """Why ops of quantizable types are float: one by one, or counted where none is quantized."""
    left = [status for status in found.quantizable if not status.quantized]
    if found.state == "float":
        counts = Counter((status.type, status.how) for status in left)
        return [(op_type, f"{count}: {how}") for (op_type, how), count in counts.items()]
    return [(f"{status.type} -> {status.output}", status.how) for status in left]


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 10_000 else f"{size} bytes"


def _show(sections: list[Section]) -> None:
    """Tables on a terminal; lines that are easy to search in a pipe or file."""
    console = Console()
    for title, rows in sections:
        if not rows:
            continue
        if console.is_terminal:
            table = Table(title=title, title_justify="left", show_header=False)
            for row in rows:
                table.add_row(*_texts(row))
            console.print(table)
        else:
            echo(f"{title}:")
            for name, text in rows:
                echo(f"  {name}: {text}")


def _texts(row: tuple[str, str]) -> tuple[Any, ...]:
    # Texts, since "[1, 3]" is no mark-up.
    return tuple(Text(plain(cell)) for cell in row)
