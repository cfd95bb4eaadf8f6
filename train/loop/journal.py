"""Records of a training run, of which an interrupted run leaves none that is told twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qcc.errors import CheckpointError
from qcc.files import atomic_file, writing


class Journal:
    """metrics.jsonl: one JSON record per line, which also holds `step`, the number of steps done; `kind` of a
    record is "step" or "epoch"."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rewind(self, step: int) -> None:
        """Drop what was written after `step`, and a last line that a kill or a full disk has cut short.

        Raises CheckpointError when any other line is no record.
        """
        if not self._path.exists():
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        kept = []
        for number, line in enumerate(lines, start=1):
            written = _step(line)
            if written is None and number < len(lines):
                raise CheckpointError(
                    f"{self._path}, line {number}: this is no record of a training run; remove the line, or"
                    " the whole file, to go on."
                )
            if written is not None and written <= step:
                kept.append(line)
        with atomic_file(self._path) as stream:
            stream.writelines(kept)

    def records(self) -> list[dict[str, Any]]:
        """All that is written, after `rewind`."""
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        return [json.loads(line) for line in lines]

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        with writing(self._path), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **record}) + "\n")


def _step(line: bytes) -> int | None:
    """The number of steps that a line's record was written after; None when it is no whole record."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return step if isinstance(step, int) else None
