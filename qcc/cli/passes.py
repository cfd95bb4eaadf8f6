"""`qcc passes`: which passes there are, and what one of them does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from qcc.passes.describe import Description


@click.command()
@click.argument("name", required=False)
def passes(name: str | None) -> None:
    """List the passes with their options, or explain the pass NAME.

    Passes of other packages are marked with the package that they come from. How passes and options are
    written in a pipeline: transform{weight_bits=8,skip_vars=[a,b]},freeze,prune
    """
    from qcc.passes.describe import describe, describe_all

    console = Console()
    show = _show_on_terminal if console.is_terminal else _show_plain
    if name is not None:
        description = describe(name)
        show(console, description, f"{description.text}\n" if description.options else description.text)
        return
    for description in describe_all():
        show(console, description, description.summary)


def _show_plain(console: Console, description: Description, text: str) -> None:
    click.echo(f"{_title(description)}: {text}")
    for option in description.options:
        default = f"={option.default}" if option.default else ""
        click.echo(f"  {option.name}{default}: {option.values}")


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


def _title(description: Description) -> str:
    from qcc.passes.registry import OWN_PACKAGE

    package = description.package
    return description.name if package == OWN_PACKAGE else f"{description.name} (from {package})"
