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
_INTERRUPTED = 130


def killed_at_each_change(
    folder: Path, work: Callable[[], object], ended_by: int = signal.SIGKILL
) -> Iterator[int]:
    """Let `work` run in a process that is ended in front of its first change under `folder`, of its second,
    and so on; each time, before the next process, the number of changes that were made.

    Ended by SIGINT, the change that it stands in front of is not made and Python tidies up.
    """
    changes = 0
    while not _survives(folder, work, changes, ended_by):
        yield changes
        changes += 1


def _survives(folder: Path, work: Callable[[], object], changes: int, ended_by: int) -> bool:
    child = os.fork()
    if not child:
        try:
            sys.addaudithook(_killer(str(folder), changes, ended_by))
            work()
        except KeyboardInterrupt:
            os._exit(_INTERRUPTED)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL, _INTERRUPTED), f"the process ended with {code}"
    return code == 0


def _killer(folder: str, changes: int, ended_by: int) -> Callable[[str, tuple[Any, ...]], None]:
    left = changes

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if is_change(event, arguments, folder):
            left -= 1
            if left == -1 and ended_by == signal.SIGINT:
                raise KeyboardInterrupt
            if left == -1:
                os.kill(os.getpid(), ended_by)

    return hook


def is_change(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Whether an audit event is that of a change under a folder."""
    if event == "open":
        changing = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        changing = event in _CHANGES
    return bool(changing) and any(
        folder in os.fsdecode(name) for name in arguments if isinstance(name, str | os.PathLike)
    )
