"""Command lines whose output goes to a disk that is full."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout

from qcc.cli.main import run
from qcc.cli.stdout import checked

SENTENCE = "qcc: error: standard output cannot be written: No space left on device.\n"


def run_on_full_disk(words: Sequence[str]) -> int:
    """Run a command line as the program does; returns its exit code."""
    with open("/dev/full", "w") as stream, checked(stream) as output, redirect_stdout(output):
        return run(list(words))
