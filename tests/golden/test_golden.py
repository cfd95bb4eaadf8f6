"""Every golden file of this folder; `tests/support/golden_file.py` describes their form."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_file import Golden

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.txt")))
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    golden = Golden.read(HERE / name)
    outputs = {command: golden.output(command) for command in golden.commands}
    if request.config.getoption("--update-golden", default=False):
        golden.path.write_text(golden.updated(outputs), encoding="utf-8")
        return
    for command, output in outputs.items():
        golden.check(command, output)
