"""Commands that train where a disk fails at any moment.

In a module of its own: the processes that are forked must not inherit threads of Paddle.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from failing import failing_at_each_change
from tiny import write_config, write_slim
from training_commands import COMMANDS, assert_loads, fresh, words

from qcc.cli.main import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """A folder in which each command has run once."""
    folder = tmp_path_factory.mktemp("trained")
    write_config(folder, tiny_images)
    write_slim(folder / "run", 1)
    for line in COMMANDS:
        subprocess.run([sys.executable, "-m", "qcc", *words(line, folder)], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("line", COMMANDS)
def test_a_disk_that_fails_at_any_change(
    trained: Path, tmp_path: Path, tiny_images: Path, line: str, number: int
) -> None:
    folder = fresh(trained, tmp_path / "copy", tiny_images)
    found, wrong = 0, []
    for failed in failing_at_each_change(folder, lambda: run(words(line, folder)), number):
        last = failed.err.splitlines()[-1] if failed.err else ""
        # What cannot be tidied up is no failure.
        told = failed.code == 2 and last.startswith("qcc: error: ") and os.strerror(number) in last
        if not (failed.code == 0 or told) or "Traceback" in failed.err:
            wrong.append(f"after {failed.changes} changes: {failed.code}\n{failed.err}")
        assert_loads(folder)
        fresh(trained, folder, tiny_images)
        found += 1
    assert not wrong, "\n\n".join(wrong)
    assert found > 3
