"""Killing a process in front of every change that it makes to a folder."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Python's audit events of what changes files; "open" is one when it is for writing.
_CHANGES = ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")


def killed_at_each_change(folder: Path, work: Callable[[], None]) -> Iterator[int]:
    """Let `work` run in a process that is killed in front of its first change under `folder`, of its second,
    and so on; each time, before the next process, the number of changes that were made."""
    changes = 0
    while not _survives(folder, work, changes):
        yield changes
        changes += 1


def _survives(folder: Path, work: Callable[[], None], changes: int) -> bool:
    child = os.fork()
    if not child:
        try:
            sys.addaudithook(_killer(str(folder), changes))
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), f"the process ended with {code}"
    return code == 0


def _killer(folder: str, changes: int) -> Callable[[str, tuple[Any, ...]], None]:
    left = changes

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event == "open":
            changing = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            changing = event in _CHANGES
        if changing and any(
            folder in os.fsdecode(name) for name in arguments if isinstance(name, str | os.PathLike)
        ):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    return hook
