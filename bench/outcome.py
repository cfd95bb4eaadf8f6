"""Where the numbers of a benchmark go: into a record, and from there onto a page."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qcc.files import write_json, write_text
from qcc.train.evaluation.report import command_line, environment


@dataclass(frozen=True)
class Outcome:
    """The files of a benchmark; `text` makes the page from the record."""

    record: Path
    page: Path
    text: Callable[[dict[str, Any]], str]

    def measure(self, names: Iterable[str], measure: Callable[[str, Path], dict[str, Any]]) -> None:
        """Measure one network after the other, each in a folder of its own, then write and print."""
        networks = []
        for name in names:
            with tempfile.TemporaryDirectory(prefix="qcc-bench-") as folder:
                networks.append(measure(name, Path(folder)))
        self.store({"command": command_line(), "environment": environment(), "networks": networks})

    def store(self, record: dict[str, Any]) -> None:
        """Write the record and the page made from it, and print the page."""
        write_json(self.record, record)
        print(self.render())

    def render(self) -> str:
        """Write the page from the record that is there; returns it."""
        text = self.text(json.loads(self.record.read_text()))
        write_text(self.page, text)
        return text
