"""Standard output that says in a sentence why it cannot be written."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, TextIO

import click

from qcc.errors import OutputError
from qcc.shown import plain

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Descriptor(io.FileIO):
    """A file descriptor whose errors, unlike those of files that qcc opens itself, are the user's to mend."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            discard(self.fileno())
            raise OutputError(f"standard output cannot be written: {error.strerror}.") from error


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text that may hold names of files and variables, which are data, on a line."""
    click.echo(plain(str(text)), err=err, nl=nl)


def checked(stream: TextIO | None) -> TextIO:
    """A stream like `stream` that raises OutputError and BrokenPipeError; None is one that was closed."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    descriptor = _Descriptor(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=bool(stream.line_buffering),
    )


def discard(descriptor: int) -> None:
    """Let what is written to `descriptor` go nowhere, so that what is still buffered is not tried at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
