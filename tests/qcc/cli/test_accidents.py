"""Every command where something is missing or closed to it: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nets
import pytest
from full_disk import files_of_at_most
from unprivileged import unprivileged

import qcc
from qcc.cli.main import COMMANDS, run

# Of each command, what it reads and writes. MODEL, CONFIG and OUT stand for paths.
WORDS = {
    "analyze": "MODEL --data random -o OUT.html",
    "apply": "MODEL -p prune -o OUT",
    "bench": "MODEL --json OUT.json",
    "check": "MODEL --target lite-arm",
    "compare": "MODEL MODEL --data random --json OUT.json",
    "config": "show -c CONFIG",
    "convert": "MODEL -o OUT",
    "dump-graph": "MODEL --dot OUT.dot",
    "eval": "MODEL -c CONFIG",
    "export": "MODEL --target lite --arch arm -o OUT.nb",
    "freeze": "MODEL --save OUT",
    "infer": "MODEL -c CONFIG --infer_img MODEL",
    "inspect": "MODEL",
    "quantize": "MODEL --data random -o OUT",
    "train": "-c CONFIG --save OUT.npz",
}
READS_NOTHING = {"completion", "doctor", "passes"}
WRITES = {name: words for name, words in WORDS.items() if "OUT" in words and name not in ("freeze", "train")}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accidents") / "model"
    qcc.save(nets.build(nets.residual_net)["test"], folder, check=False)
    return folder


def refusal(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """What a command that is refused says, which is one line."""
    capsys.readouterr()
    code, printed = run(words), capsys.readouterr()
    assert code == 2, printed
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def words_of(name: str, model: Path, config: Path, out: Path) -> list[str]:
    text = WORDS[name].replace("MODEL", str(model)).replace("CONFIG", str(config))
    return [name, *text.replace("OUT", str(out)).split()]


def test_all_commands_are_here() -> None:
    assert WORDS.keys() | READS_NOTHING == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_working_folder_that_is_gone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert refusal(capsys, [name]) == (
        "qcc: error: the working folder cannot be used (No such file or directory): change into one that is"
        " there.\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_path_that_is_not_utf_8(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(capsys, [name, os.fsdecode(b"caf\xe9")])
    assert error == (
        "qcc: error: 'caf\\udce9' is not UTF-8, in which Paddle takes paths: rename it, or give a link to"
        " it.\n"
    )


@pytest.mark.parametrize("name", WORDS)
def test_a_file_that_must_not_be_read(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yml"
    config.write_text("architecture: TinyConvNet\n")
    closed = [config] if "CONFIG" in WORDS[name] else [model / "qcc.json", model / "model.pdiparams"]
    before = sorted(tmp_path.iterdir())
    for path in closed:
        path.chmod(0)
        try:
            with unprivileged():
                error = refusal(capsys, words_of(name, model, config, tmp_path / "out"))
        finally:
            path.chmod(0o644)
        assert error == f"qcc: error: {path} cannot be read: Permission denied.\n"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", WRITES)
def test_an_output_folder_that_must_not_be_written_to(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o555)
    with unprivileged():
        error = refusal(capsys, words_of(name, model, tmp_path / "none", place / "out"))
    assert "cannot be written" in error
    assert str(place) in error
    assert error.lower().endswith(("permission denied.\n", f"permission denied for {place}.\n"))
    assert list(place.iterdir()) == []


# What is measured by `qcc bench` takes its time.
@pytest.mark.parametrize(
    "name", [*sorted(WRITES.keys() - {"bench"}), pytest.param("bench", marks=pytest.mark.slow)]
)
def test_a_disk_that_is_full(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "place" / "out"
    with files_of_at_most(100):
        assert run(words_of(name, model, tmp_path / "none", out)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    # What a run goes on from stands beside the output of `qcc analyze`; `qcc bench` writes for engines first.
    places = (f"{out}", f"{out.parent}/.out.", f"{tempfile.gettempdir()}/qcc-")
    assert last.startswith(tuple(f"qcc: error: {place}" for place in places))
    assert last.endswith(": File too large.")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", WRITES)
def test_an_output_folder_that_is_a_file(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    error = refusal(capsys, words_of(name, model, tmp_path / "none", tmp_path / "file" / "out"))
    assert "cannot be written" in error
    assert str(tmp_path / "file") in error
    assert (tmp_path / "file").read_text() == "mine"
