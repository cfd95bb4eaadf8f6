"""What comes after a command."""

from __future__ import annotations

import shlex

from qcc.cli.stdout import echo
from qcc.interrupts import finished


def tell_next(*words: object) -> None:
    """Name the command that comes next, as its last line; words in capitals are for the reader to fill in.

    It goes to standard error, so that what is printed stays what a pipe wants. The command is done, and
    cannot be interrupted any more.
    """
    finished()
    echo(f"next: {shlex.join(['qcc', *map(str, words)])}", err=True)
