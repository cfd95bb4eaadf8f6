"""Records of a training run, of which an interrupted run leaves none that is told twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from qcc.files import atomic_file, writing


class Recorder(Protocol):
    """Takes records; `step` is the number of steps done, `kind` of a record is "step" or "epoch"."""

    def rewind(self, step: int) -> None:
        """Begin, or go on after that many steps: what was written after `step` does not count."""
        ...

    def write(self, step: int, record: Mapping[str, Any]) -> None: ...


class Journal:
    """metrics.jsonl: one JSON record per line, which also holds `step`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rewind(self, step: int) -> None:
        """Drop what was written after `step`, and a last line that is not whole."""
        if not self._path.exists():
            return
        lines = self._path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        with atomic_file(self._path) as stream:
            stream.write("".join(kept).encode())

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        with writing(self._path), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **record}) + "\n")
