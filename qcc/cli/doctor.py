"""`qcc doctor`: what is there, and what is missing for which command."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qcc.cli.next import tell_next
from qcc.cli.stdout import echo
from qcc.doctor import PADDLE, examine, missing_for


@click.command()
@click.pass_context
def doctor(ctx: click.Context) -> int:
    """Show what this machine has of all that qcc needs, and what is missing for which command.

    The exit code is 1 when Paddle cannot be used, without which hardly any command works.
    """
    from qcc.cli.main import COMMANDS

    findings = examine()
    rows = [
        (finding.name, finding.found if finding.ok else f"{finding.found}: {finding.remedy}")
        for finding in findings
    ]
    commands = [
        (f"qcc {command}", ", ".join(missing_for(command, findings)) or "ready")
        for command in sorted(COMMANDS)
        if command != "doctor"
    ]
    show("This machine", rows)
    show("Commands", commands)
    tell_next("quantize", "MODEL", "--data", "PHOTOS", "-o", "OUT")
    return int(any(finding.name == PADDLE and not finding.ok for finding in findings))


def show(title: str, rows: list[tuple[str, str]]) -> None:
    """Print a table on a terminal, and lines that are easy to search in a pipe or file."""
    console = Console()
    if not console.is_terminal:
        for name, text in rows:
            echo(f"{name}: {text}")
        return
    table = Table(title=title, title_justify="left", show_header=False)
    for name, text in rows:
        table.add_row(name, Text(text))  # a Text, since "qcc[cpu]" is no mark-up
    console.print(table)
