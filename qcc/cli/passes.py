"""`qcc passes`: which passes there are, and what one of them does."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qcc.cli.next import tell_next
from qcc.cli.stdout import echo

if TYPE_CHECKING:
    from qcc.passes.describe import Description

# Backend -> the heading over the passes that serve it.
_BACKENDS = {
    "engines": "Passes for engines that run Paddle's models; `qcc freeze --target` runs them itself",
    "lite": "Passes for Paddle Lite; `qcc export` runs them itself",
}


@click.command()
@click.argument("name", required=False)
def passes(name: str | None) -> None:
    """List the passes with their options, or explain the pass NAME.

    What a pass makes that is not computed by Paddle can be looked at, and cannot be saved as a Paddle model.
    Passes of other packages are marked with the package that they come from. How passes and options are
    written in a pipeline: transform{weight_bits=8,skip_vars=[a,b]},freeze,prune
    """
    from qcc.passes.describe import describe, describe_all

    console = Console()
    show = _show_on_terminal if console.is_terminal else _show_plain
    if name is not None:
        description = describe(name)
        show(console, description, f"{description.text}\n" if description.options else description.text)
        tell_next("apply", "MODEL", "-p", name, "-o", "OUT")
        return
    for number, (group, descriptions) in enumerate(groupby(describe_all(), _group)):
        click.secho(f"{chr(10) if number else ''}{group}\n", bold=True)
        for description in descriptions:
            show(console, description, description.summary)
    tell_next("passes", "NAME")


def _show_plain(console: Console, description: Description, text: str) -> None:
    echo(f"{_title(description)}: {text}")
    for option in description.options:
        default = f"={option.default}" if option.default else ""
        echo(f"  {option.name}{default}: {option.values}")


def _show_on_terminal(console: Console, description: Description, text: str) -> None:
    console.print(Text.assemble((f"{_title(description)}: ", "bold cyan"), text))
    if not description.options:
        return
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    for heading in ("option", "values", "default"):
        table.add_column(heading, overflow="fold")
    for option in description.options:
        # Texts, since "[text, ...]" is no mark-up.
        table.add_row(Text(option.name, style="bold"), Text(option.values), Text(option.default))
    console.print(table)


def _group(description: Description) -> str:
    from qcc.passes.registry import OWN_PACKAGE

    if description.package != OWN_PACKAGE:
        return "Passes of other packages"
    if description.backend is None:
        return "General passes"
    return _BACKENDS[description.backend]


def _title(description: Description) -> str:
    from qcc.passes.registry import OWN_PACKAGE

    marks = [] if description.package == OWN_PACKAGE else [f"from {description.package}"]
    if not description.runs_in_paddle:
        marks.append("not computed by Paddle")
    return description.name + (f" ({', '.join(marks)})" if marks else "")
