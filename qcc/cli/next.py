"""What comes after a command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import click

from qcc.cli.stdout import echo
from qcc.interrupts import finished


def tell_next(*words: object) -> None:
    """Name the command that comes next, as its last line; words in capitals are for the reader to fill in.

    It goes to standard error, so that what is printed stays what a pipe wants. The command is done, and
    cannot be interrupted any more.
    """
    finished()
    echo(f"next: {shlex.join(['qcc', *map(str, _with_names(words))])}", err=True)


def _with_names(words: Sequence[object]) -> Iterator[object]:
    """The words, but that MODEL, of a folder whose files were named, is the program's file, with the name of
    its parameters where the next command takes one."""
    context = click.get_current_context(silent=True)
    given = {} if context is None else context.params
    model, program, params = (given.get(key) for key in ("model", "model_filename", "params_filename"))
    for word in words:
        if model is None or word != model:
            yield word
            continue
        yield model / program if program else model
        if params and _takes_names(context, str(words[0])):
            yield from ("--params-filename", params)


def _takes_names(context: click.Context | None, command: str) -> bool:
    group = None if context is None else context.find_root().command
    found = group.get_command(context, command) if isinstance(group, click.Group) and context else None
    return found is not None and any(one.name == "params_filename" for one in found.params)
