"""Letting the changes that a process makes to a folder fail, from the first one on, the second one on, ..."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from killed import is_change

_SURVIVED = 99


@dataclass(frozen=True)
class Failed:
    """How a process ended whose changes failed after so many, and what it wrote to stderr."""

    changes: int
    code: int
    err: str


def failing_at_each_change(folder: Path, work: Callable[[], int], number: int) -> Iterator[Failed]:
    """Let `work`, which gives an exit code, run in a process of its own whose changes under `folder` fail
    with an errno from its first one on, from its second one on, and so on, until none of them does.

    On a full disk (ENOSPC) files can still be removed and renamed, which are no changes here.
    """
    changes = 0
    while (failed := _run(folder, work, changes, number)) is not None:
        yield failed
        changes += 1


def _run(folder: Path, work: Callable[[], int], changes: int, number: int) -> Failed | None:
    with TemporaryFile("w+") as told:
        gc.freeze()  # what this process has left is not for the other one to tidy up
        child = os.fork()
        if not child:
            _child(folder, work, changes, number, told.fileno())
        _, status = os.waitpid(child, 0)
        told.seek(0)
        code = os.waitstatus_to_exitcode(status)
        assert code >= 0, f"the process ended with {code}: {told.read()}"
        return None if code == _SURVIVED else Failed(changes, code, told.read())


def _child(folder: Path, work: Callable[[], int], changes: int, number: int, told: int) -> None:
    """Never returns: this process must not go on with what its parent was doing."""
    code = 1
    try:
        os.dup2(told, 2)
        with open(2, "w", closefd=False) as stream, open(os.devnull, "w") as silent:
            sys.stderr, sys.stdout = stream, silent
            failing = _Failing(str(folder), changes, number)
            sys.addaudithook(failing)
            try:
                code = work()
            except BaseException:
                traceback.print_exc()
        if not failing.has_failed:
            code = _SURVIVED if code == 0 else code
    finally:
        os._exit(code)


class _Failing:
    def __init__(self, folder: str, changes: int, number: int) -> None:
        self._folder, self._left, self._number = folder, changes, number
        self.has_failed = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        needs_room = event in ("open", "os.mkdir", "os.link")
        if not is_change(event, arguments, self._folder) or not (needs_room or self._number != errno.ENOSPC):
            return
        self._left -= 1
        if self._left < 0:
            self.has_failed = True
            raise OSError(self._number, os.strerror(self._number))
