"""Commands that train where a disk is full or a folder closed: one sentence, and what was there loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from full_disk import files_of_at_most
from tiny import write_config, write_slim
from training_commands import COMMANDS, assert_loads, fresh, words
from unprivileged import unprivileged

from qcc.cli.main import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """A folder in which each command has run once, and has something left to do."""
    folder = tmp_path_factory.mktemp("trained")
    config, slim = write_config(folder, tiny_images), write_slim(folder / "run", 1)
    assert run(["quantize", "-c", str(config), "-s", str(slim)]) == 0
    assert run(["freeze", "--checkpoint", str(folder / "run"), "--save", str(folder / "forms")]) == 0
    (folder / "place").mkdir()
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, tiny_images: Path) -> Path:
    return fresh(trained, tmp_path / "copy", tiny_images)


def assert_refused(code: int, err: str) -> None:
    assert code == 2, err
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if line.startswith("qcc: error: ")] == err.splitlines()[-1:], (
        err
    )
    assert "cannot be" in err


@pytest.mark.parametrize("line", COMMANDS)
def test_a_folder_that_must_not_be_written_to(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    place = folder / COMMANDS[line]
    place.chmod(0o555)
    capsys.readouterr()
    with unprivileged():
        code = run(words(line, folder))
    assert_refused(code, capsys.readouterr().err)
    assert_loads(folder)


@pytest.mark.parametrize(
    "size", [pytest.param(0, marks=pytest.mark.slow), 1000, pytest.param(20_000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("line", COMMANDS)
def test_a_disk_that_is_full(folder: Path, capsys: pytest.CaptureFixture[str], line: str, size: int) -> None:
    capsys.readouterr()
    with files_of_at_most(size):
        code = run(words(line, folder))
    assert_refused(code, capsys.readouterr().err)
    assert_loads(folder)
