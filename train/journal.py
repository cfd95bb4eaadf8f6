"""metrics.jsonl: one JSON record per line, of which an interrupted run leaves no line that is told twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qcc.files import atomic_file


class Journal:
    """Appends records; each holds `step`, the number of steps done when it was written."""

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
        with open(self._path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **record}) + "\n")
