"""What is told of a quantized model: a record for programs, and a short report for people."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qcc import __version__
from qcc._paddle import paddle
from qcc.calibrate.choose import Choice, Quantized
from qcc.calibrate.compare import Agreement
from qcc.files import all_finite, write_json, write_text
from qcc.record import FILE_NAME
from qcc.shown import counted, plain

REPORT = "report.md"
FROM_HERE = "model_from_here"
"""The key of the record under which the float model's path stands as seen from its folder; `model` is as it
was given, which means another place elsewhere."""
PARAMS = "params_filename"
"""The key under which the name of the float model's parameters stands, where it was given."""
_WORST = 10


@dataclass(frozen=True)
class Section:
    """What an effort has to tell: a title and lines for people, and for programs a key and what stands under
    it."""

    title: str
    lines: Sequence[str]
    key: str
    content: Any


@dataclass(frozen=True)
class Story:
    """All that is told. `data`: as `Source.record`; `compared_seen`: words about what weights have seen of
    what is compared on; `sizes`: of the files that were written, in bytes, by form; `warnings`: of the checks
    of the files; `sections`: what the effort adds; `params_filename`: of the float model's parameters, where
    it was given."""

    model: str
    quantized: Quantized
    effort: str
    calibrator: str
    target: str | None
    data: dict[str, Any]
    skipped: Sequence[str]
    agreement: Sequence[Agreement]
    compared_on: int
    compared_seen: str
    seconds: float
    sizes: dict[str, int]
    warnings: Sequence[str] = field(default_factory=tuple)
    notices: Sequence[str] = field(default_factory=tuple)
    sections: Sequence[Section] = field(default_factory=tuple)
    params_filename: str | None = None

    def write(self, folder: Path) -> None:
        """Write `qcc.json` and `report.md`, each as one change.  Raises OutputError."""
        write_json(folder / FILE_NAME, all_finite(self.record(folder)))
        write_text(folder / REPORT, self.text())

    def record(self, folder: Path) -> dict[str, Any]:
        """What `qcc.json` holds in this folder."""
        return {
            "qcc": __version__,
            "paddle": paddle.__version__,
            "model": self.model,
            FROM_HERE: _from(folder, Path(self.model)),
            **({} if self.params_filename is None else {PARAMS: self.params_filename}),
            "source": self.quantized.model.provenance.source,
            "effort": self.effort,
            "calibrator": self.calibrator,
            "target": self.target,
            "weights": list(self.quantized.weights),
            "data": self.data,
            "skipped": list(self.skipped),
            "warnings": list(self.warnings),
            "notices": list(self.notices),
            "agreement": [vars(one) for one in self.agreement],
            "compared_on": self.compared_on,
            "sizes": self.sizes,
            **{section.key: section.content for section in self.sections},
            "activations": {choice.name: _recorded(choice) for choice in self.quantized.choices},
        }

    def text(self) -> str:
        """What `report.md` says."""
        return "\n".join(
            [
                f"# {_shown(self.model)}, quantized",
                "",
                f"Effort {self.effort}, {counted(len(self.quantized.choices), 'activation')} by"
                f" {self.calibrator}, on {_shown(told(self.data))}, in {self.seconds:.0f} s.",
                *(f"Weights: {words}." for words in self.quantized.weights),
                "",
                *_section("To be looked at", [*self.warnings, *self.notices, *self.skipped]),
                *(line for section in self.sections for line in _section(section.title, section.lines)),
                f"## Quantized against float, on {self.compared_on} of the batches{self.compared_seen}",
                "",
                *(f"- {_shown(str(one))}" for one in self.agreement),
                "",
                "## Files",
                "",
                "| folder | kB |",
                "|---|---|",
                *(f"| {_shown(form)} | {size / 1000:.0f} |" for form, size in self.sizes.items()),
                "",
                "## Activations that lose most",
                "",
                *_table(self.quantized.choices),
                "",
            ]
        )


def _from(folder: Path, model: Path) -> str:
    """A path as seen from a folder. What the path names may be a link, whose name tells what is beside it."""
    return os.path.relpath(model.parent.resolve() / model.name, folder.resolve())


def told(data: dict[str, Any]) -> str:
    """The data in a few words."""
    if data["kind"] == "random":
        return f"{counted(data['used'], 'batch')} of random numbers"
    used = "all" if data.get("used") is None else str(data["used"])
    of = f" of {data['found']}" if data.get("found", data.get("used")) != data.get("used") else ""
    kind = data["kind"].removesuffix("s") if used == "1" and not of else data["kind"]
    return f"{used}{of} {kind} of {data['path']}"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {_shown(line)}" for line in lines), ""] if lines else []


def _table(choices: Sequence[Choice]) -> list[str]:
    """The worst first. The error is that of the root mean squares."""
    if not choices:
        return ["Nothing is quantized."]
    calibrators = list(choices[0].scales)
    worst = sorted(choices, key=lambda choice: -choice.error)[:_WORST]
    return [
        f"| activation | largest | scale | {' | '.join(f'error, {name}' for name in calibrators)} |",
        "|---|---|---|" + "---|" * len(calibrators),
        *(
            f"| {_shown(one.name)} | {one.peak:.4g} | {one.scale:.4g} |"
            f" {' | '.join(f'{one.errors[name]:.2%}' for name in calibrators)} |"
            for one in worst
        ),
    ]


def _recorded(choice: Choice) -> dict[str, Any]:
    return {
        "scale": choice.scale,
        "calibrator": choice.calibrator,
        "largest": choice.peak,
        "scales": dict(choice.scales),
        "errors": dict(choice.errors),
    }


def _shown(text: str) -> str:
    """A text on a line, or in a cell of a table, of Markdown: names and paths are data. Quotes stay, so that
    the file can be read as it is."""
    return html.escape(" ".join(plain(text).splitlines()), quote=False).replace("|", "\\|")
