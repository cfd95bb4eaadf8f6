"""Command lines that write, or print, to a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

from qcc.cli.main import run
from qcc.cli.stdout import checked

SENTENCE = "qcc: error: standard output cannot be written: No space left on device.\n"


def run_on_full_disk(words: Sequence[str]) -> int:
    """Run a command line as the program does; returns its exit code."""
    with open("/dev/full", "w") as stream, checked(stream) as output, redirect_stdout(output):
        return run(list(words))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk that is full: what would make a file larger fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
