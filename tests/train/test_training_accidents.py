"""Commands that train where a disk is full or a folder closed: one sentence, and what was there loads."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import write_config, write_slim
from unprivileged import unprivileged

import qcc
from qcc.cli.main import run
from qcc.train.loop.checkpoint import CheckpointStore

# Of each command, the folder that it writes into.
COMMANDS = {
    "train -c IN/tiny.yml --save IN/place/w.npz": "place",
    "quantize -c IN/tiny.yml -s IN/run.yaml": "run",
    "freeze --checkpoint IN/run --save IN/forms": "forms",
}


def words(line: str, folder: Path) -> list[str]:
    return line.replace("IN", str(folder)).split()


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


def fresh(trained: Path, place: Path, images: Path) -> Path:
    """A copy of `trained`, in which there is a second epoch to train."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(trained, place)
    write_config(place, images)
    write_slim(place / "run", 2)
    return place


def assert_refused(code: int, err: str) -> None:
    assert code == 2, err
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if line.startswith("qcc: error: ")] == err.splitlines()[-1:], (
        err
    )
    assert "cannot be" in err


def assert_loads(folder: Path) -> None:
    """What was there before is still there, and no part of anything else."""
    state = CheckpointStore(folder / "run").newest()
    assert state is not None
    for model in (folder / "run/0/eval_model", folder / "forms/float", folder / "forms/int8"):
        qcc.load(model)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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
