"""The other side of `launch`: a process that stops when the one that launched it has gone."""

from __future__ import annotations

import os
import signal
import threading

from qcc.train.parallel.launch import WATCHED


def stop_with_launcher() -> None:
    """Where `launch` has started this process: ask it to stop, by SIGTERM, when the launcher has ended."""
    if WATCHED in os.environ:
        threading.Thread(target=_wait_for_end_of_input, daemon=True).start()


def _wait_for_end_of_input() -> None:
    # Not through sys.stdin: a process forked meanwhile would wait for its lock.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
