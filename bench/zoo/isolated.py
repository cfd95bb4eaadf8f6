"""Functions in processes of their own: foreign native code may end one with a signal, and nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qcc.errors import QccError
from qcc.failures import signal_name

DEADLINE = 300  # seconds

Result = dict[str, Any]


def isolated(stage: Callable[..., Result], *arguments: Any) -> Result:
    """What the function returns, which JSON must hold; or why there is nothing.

    {"refused": SENTENCE} for a typed error of qcc; {"fault": TRACEBACK'S LAST LINE} for any other;
    {"died": SIGNAL} when the process ended otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="qcc-zoo-") as folder:
        answer = Path(folder, "answer.json")
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_work, args=(answer, stage, arguments))
        process.start()
        process.join(DEADLINE)
        if process.is_alive():
            process.kill()
            process.join()
            return {"died": f"not done after {DEADLINE} seconds"}
        if answer.exists():
            return json.loads(answer.read_text())
        code = process.exitcode or 0
        return {"died": signal_name(-code) if code < 0 else f"exit code {code}"}


def _work(answer: Path, stage: Callable[..., Result], arguments: tuple[Any, ...]) -> None:
    _silence()
    try:
        result = stage(*arguments)
    except QccError as error:
        result = {"refused": without_folders(str(error)), "kind": type(error).__name__}
    except Exception as error:
        # What is no typed error is a fault of qcc or of what it calls: the record is to hold it.
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = next(iter(str(error).strip().splitlines()), "")
        place = f"{Path(where.filename).name}:{where.lineno}"
        result = {"fault": f"{type(error).__name__}: {said} ({place})"}
    part = answer.with_suffix(".part")
    part.write_text(json.dumps(result))
    part.rename(answer)


def without_folders(text: str) -> str:
    """A message whose paths are names of files: where they stood is another folder each time."""
    return re.sub(r"/\S*/", "", text)


def _silence() -> None:
    """Native libraries write to both streams whatever they are told."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
