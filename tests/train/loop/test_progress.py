from __future__ import annotations

import io

from rich.console import Console

from qcc.train.loop.progress import EpochProgress


def show(*, terminal: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=150)
    progress = EpochProgress(console, "epoch 1 (2 of 3)", steps=4, batch_size=8, steps_after=4)
    with progress.showing(done=1):
        for done in (2, 3, 4):
            progress.update(done, {"loss": 0.5, "accuracy": 0.25})
    return output.getvalue()


def test_a_pipe_gets_plain_lines_ending_with_the_last_step() -> None:
    lines = show(terminal=False).splitlines()
    assert lines[-1].startswith("epoch 1 (2 of 3)  4/4  loss 0.5000  accuracy 0.2500  ")
    assert lines[-1].endswith(" left")
    assert "images/s" in lines[-1]
    assert "\x1b" not in "".join(lines)


def test_a_terminal_gets_a_bar() -> None:
    shown = show(terminal=True)
    assert "━" in shown
    assert "4/4" in shown
    assert "loss 0.5000" in shown
