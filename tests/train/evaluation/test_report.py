from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

import qcc
from qcc.train.evaluation.report import command_line, environment, print_epochs
from qcc.train.loop.differences import changed_settings
from qcc.train.loop.loop import best_record

RECORDS = [
    {"epoch": 0, "quantized": False, "top1": 0.9},
    {"epoch": 1, "quantized": True, "top1": 0.7},
    {"epoch": 2, "quantized": True},
    {"epoch": 3, "quantized": True, "top1": 0.8},
    {"epoch": 4, "quantized": True, "top1": 0.8},
]


def test_best_is_the_first_of_the_best_quantized_epochs() -> None:
    assert best_record(RECORDS, "top1") == RECORDS[3]
    assert best_record(RECORDS[:1], "top1") is None


def test_table_marks_the_best_and_shows_what_is_missing_as_a_dash() -> None:
    output = io.StringIO()
    print_epochs(Console(file=output, width=100), RECORDS, RECORDS[3])
    rows = [line.split("│")[1:-1] for line in output.getvalue().splitlines() if "│" in line]
    assert [row[0].strip() for row in rows] == ["0", "1", "2", "3 (best)", "4"]
    assert [row[2].strip() for row in rows] == ["0.9000", "0.7000", "-", "0.8000", "0.8000"]


def test_figures_are_whole_in_a_narrow_terminal() -> None:
    record = {"epoch": 0, "quantized": True} | {f"metric_{number}": number / 7 for number in range(14)}
    output = io.StringIO()
    print_epochs(Console(file=output, width=80), [record], record)
    assert all(f"metric_{number} " in output.getvalue() for number in range(14))
    assert all(f" {number / 7:.4f} " in output.getvalue() for number in range(14))


def test_changed_settings_are_named_by_their_whole_key() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": [1]}
    after = {"a": {"b": 1, "c": 3}, "d": [1, 2], "e": None}
    assert changed_settings(before, after) == ["a.c: 2 -> 3", "d: [1] -> [1, 2]"]


def test_command_line_is_what_one_would_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/bin/qcc", "quantize", "-o", "a=[1, 2]"])
    assert command_line() == "qcc quantize -o 'a=[1, 2]'"
    monkeypatch.setattr(sys, "argv", [str(Path(qcc.__file__).with_name("__main__.py")), "passes"])
    assert command_line() == "qcc passes"


def test_environment_names_versions_and_processor() -> None:
    facts = environment()
    assert facts["paddle"].count(".") == 2
    assert facts["processor"]
    assert facts["cores"] >= 1
