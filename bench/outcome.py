"""Where the numbers of a benchmark go: into a record, and from there onto a page."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qcc.files import write_json, write_text
from qcc.targets.processor import has_vnni
from qcc.train.evaluation.report import command_line, environment

Record = dict[str, Any]


def kind_of_processor() -> str:
    """Which of the records of a benchmark is this machine's: "cpu" or "vnni"."""
    return "vnni" if has_vnni() else "cpu"


@dataclass(frozen=True)
class Outcome:
    """The files of a benchmark: `records` by the kind of machine, of which this one is a `kind`; `text` makes
    the page from those that there are."""

    records: Mapping[str, Path]
    kind: str
    page: Path
    text: Callable[[Mapping[str, Record]], str]

    @staticmethod
    def of_one(record: Path, page: Path, text: Callable[[Record], str]) -> Outcome:
        """One record, from whatever machine."""
        return Outcome({"": record}, "", page, lambda records: text(records[""]))

    @property
    def record(self) -> Path:
        return self.records[self.kind]

    def measure(self, names: Iterable[str], measure: Callable[[str, Path], Record]) -> None:
        """Measure one network after the other, each in a folder of its own, then write and print."""
        networks = []
        for name in names:
            with tempfile.TemporaryDirectory(prefix="qcc-bench-") as folder:
                networks.append(measure(name, Path(folder)))
        self.store({"command": command_line(), "environment": environment(), "networks": networks})

    def store(self, record: Record) -> None:
        """Write the record and the page made from it, and print the page."""
        write_json(self.record, record)
        print(self.render())

    def render(self) -> str:
        """Write the page from the records that are there; returns it."""
        present = {kind: file for kind, file in self.records.items() if file.exists()}
        text = self.text({kind: json.loads(file.read_text()) for kind, file in present.items()})
        write_text(self.page, text)
        return text
