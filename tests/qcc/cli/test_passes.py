from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from qcc.cli.passes import passes
from qcc.errors import PipelineError
from qcc.passes.registry import BUILT_IN, known_passes

PASS = '''
from dataclasses import dataclass
from typing import ClassVar, Literal
from qcc import Graph
from qcc.passes import Pass, PassResult

@dataclass(frozen=True)
class Fold(Pass):
    """Fold what can be folded.

    Before:

        y = scale(X=x)
    """

    name: ClassVar[str] = "fold"
    mode: Literal["fast", "exact"] = "exact"
    ratio: float = 0.5
    names: tuple[str, ...] = ("a b", "c")
    limit: int | None = None

    def apply(self, graph):
        return PassResult(False)
'''

ODD = """

@dataclass(frozen=True)
class Odd(Fold):
    name: ClassVar[str] = "odd"
    graph: Graph | None = None
"""


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `folders` with the pass `fold`; `broken`, which cannot be imported; and `odd`, one of whose
    options is of a type without a schema."""
    (tmp_path / "folding.py").write_text(PASS + ODD)
    info = tmp_path / "folders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: folders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[qcc.passes]\nfold = folding:Fold\nbroken = gone:Broken\nodd = folding:Odd\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    known_passes.cache_clear()
    yield tmp_path
    known_passes.cache_clear()
    sys.modules.pop("folding", None)


def output(*arguments: str, env: dict[str, str] | None = None) -> str:
    result = CliRunner(env=env).invoke(passes, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list_has_every_pass_with_summary_options_and_defaults() -> None:
    lines = output().splitlines()
    titles = [line.partition(":")[0] for line in lines if not line.startswith(" ") and ": " in line]
    assert [title.partition(" ")[0] for title in titles] == list(BUILT_IN)
    assert "freeze: Round weights offline, and dequantize once behind each quantized op." in lines
    assert "  weight_bits=8: integer >= 2, <= 16" in lines
    assert "  moving_rate=0.9: number > 0, < 1" in lines
    assert "  weight_type=none: abs_max | channel_wise_abs_max | none" in lines
    assert "  bias_correction=false: true | false" in lines
    assert "  skip_pattern=[skip_quant]: [text, ...]" in lines


def test_passes_are_listed_in_groups(other_package: Path) -> None:
    lines = output().splitlines()
    headings = [number for number, line in enumerate(lines) if line and ":" not in line]
    assert [lines[number] for number in headings] == [
        "General passes",
        "Passes for engines that run Paddle's models; `qcc freeze --target` runs them itself",
        "Passes for Paddle Lite; `qcc export` runs them itself",
        "Passes of other packages",
    ]
    general, engines, lite, others = (
        [line.partition(":")[0] for line in lines[start:end] if ": " in line and not line.startswith(" ")]
        for start, end in zip(headings, [*headings[1:], len(lines)], strict=True)
    )
    assert general[:4] == ["transform", "transform-outputs", "normalize", "freeze"]
    assert "avoid-saturation" in engines
    assert {"lite-fold-bn (not computed by Paddle)", "remove-identity"} <= set(lite)
    assert others == ["fold (from folders)", "broken (from folders)", "odd (from folders)"]
    assert output("lite-fold-bn").startswith(
        "lite-fold-bn (not computed by Paddle): Fold batch normalization"
    )


def test_one_pass_is_explained_by_its_whole_docstring_and_options() -> None:
    text = output("transform")
    assert text.startswith("transform: Insert fake quantize")
    assert "\n    out = conv2d(Input=x, Filter=w)\n" in text
    assert "Filter=w.quantized.dequantized)\n" in text
    assert text.endswith("  keep_last=0: integer >= 0\n")


def test_pass_without_options_ends_with_its_docstring() -> None:
    assert output("unpack").endswith("Filter=w)\n")


def test_passes_of_other_packages_are_marked(other_package: Path) -> None:
    text = output()
    assert "fold (from folders): Fold what can be folded.\n" in text
    assert (
        "odd (from folders): pass 'odd' of the package folders, asked for its options, raised Pydantic"
        in text
    )
    assert "  mode=exact: fast | exact\n" in text
    assert '  names=["a b",c]: [text, ...]\n' in text
    assert "  limit=none: integer | none\n" in text
    assert "\n        y = scale(X=x)" not in text
    assert "\n    y = scale(X=x)" in output("fold")


def test_pass_that_cannot_be_imported_does_not_hide_the_others(other_package: Path) -> None:
    expected = "pass 'broken' of the package folders cannot be imported: No module named 'gone'."
    assert f"broken (from folders): {expected}\n" in output()
    with pytest.raises(PipelineError, match="of the package folders cannot be imported"):
        output("broken")


def test_unknown_pass_names_the_nearest() -> None:
    with pytest.raises(PipelineError, match=r"no pass 'frezze'; did you mean 'freeze'\?"):
        output("frezze")


def test_terminal_gets_a_table_that_loses_nothing() -> None:
    text = output(env={"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "60"})
    assert "option" in text
    assert "[text, ...]" in text
    assert "\N{HORIZONTAL ELLIPSIS}" not in text, "a cell was cut short"


def test_program_prints_the_list_with_the_passes_of_other_packages(other_package: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qcc", "passes"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(other_package)},
    )
    assert done.returncode == 0, done.stderr
    assert "fold (from folders): " in done.stdout
    assert done.stdout.count("prune: ") == 1
