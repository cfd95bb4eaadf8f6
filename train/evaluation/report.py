"""Tables for people and records for files."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import qcc
from qcc._paddle import paddle
from qcc.targets.processor import processor
from qcc.train.loop.loop import Record

_WIDEST = 10_000


def print_epochs(console: Console, records: Sequence[Record], best: Record | None) -> None:
    """One row per epoch, the best one marked; figures are whole, even where the terminal is narrower."""
    names = list(dict.fromkeys(name for record in records for name in record if name != "epoch"))
    table = Table("epoch", *names)
    for record in records:
        mark = " (best)" if best is not None and record["epoch"] == best["epoch"] else ""
        table.add_row(f"{record['epoch']}{mark}", *(_cell(record.get(name)) for name in names))
    whole = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    Console(file=console.file, width=max(console.width, whole)).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def run_record(settings: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """What a figure needs to be believed: the command, its settings, versions, processor and results."""
    return {
        "command": command_line(),
        "environment": environment(),
        "settings": settings,
        **results,
    }


def command_line() -> str:
    """The running command, as one would type it in the top folder of the repository."""
    program, *arguments = sys.argv
    # Further processes of a run are started as `python -m qcc`.
    own = Path(program).name == "qcc" or Path(program) == Path(qcc.__file__).with_name("__main__.py")
    start = ["qcc"] if own else ["python", os.path.relpath(program)]
    return shlex.join([*start, *arguments])


def environment() -> dict[str, Any]:
    """Versions and processor."""
    return {
        "qcc": qcc.__version__,
        "paddle": paddle.__version__,
        "python": platform.python_version(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }
