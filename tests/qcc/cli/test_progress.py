"""What is seen of how far a command is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from qcc.cli import progress as module
from qcc.cli.progress import progress


def test_on_a_terminal_it_is_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with progress("measuring scales", 3, console) as report:
        for done in (1, 2, 3):
            report(done)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "measuring scales" in text
    assert "3/3" in text


@pytest.mark.parametrize(("total", "shown"), [(3, "3"), (None, "?")])
def test_elsewhere_it_is_a_line_now_and_then(
    total: int | None, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("measuring", total, Console(stderr=True)) as report:
        report(1)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0)
    with progress("measuring", total, Console(stderr=True)) as report:
        report(1)
        report(2)
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"measuring  1/{shown}"
    assert second.startswith(f"measuring  2/{shown}")
    assert ("s left" in second) is (total is not None)


def test_the_time_left_is_that_of_the_steps_that_this_run_has_done() -> None:
    assert module._left(10, 5, 20.0) == ", 40 s left"
    assert module._left(100, 5, 20.0) == ", 7 min left"
    assert module._left(10, 0, 20.0) == module._left(0, 5, 20.0) == ""
