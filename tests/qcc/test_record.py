"""qcc.json is believed only while it fits the files beside it, and what does not fit it is not loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from saved_models import two_feeds

import qcc
from qcc.errors import ModelFormatError
from qcc.model import Provenance
from qcc.record import FILE_NAME, source_digest


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model with a history, saved."""
    theirs = qcc.load(two_feeds().save(tmp_path / "theirs"))
    qcc.save(qcc.PassManager.parse("prune").run(theirs), tmp_path / "saved", check=False)
    return tmp_path / "saved"


def test_a_record_that_fits_is_believed(saved: Path) -> None:
    provenance = qcc.load(saved).provenance
    assert provenance.pipelines == ("prune",)
    theirs = saved.parent / "theirs"
    assert provenance.source == source_digest(
        [theirs.with_suffix(".pdmodel"), theirs.with_suffix(".pdiparams")]
    )


def change_a_weight(folder: Path) -> None:
    path = folder / "model.pdiparams"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def edit(**fields: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        record = json.loads((folder / FILE_NAME).read_text())
        record.update(fields)
        (folder / FILE_NAME).write_text(json.dumps(record))

    return apply


def rename(folder: Path) -> None:
    (folder / "model.pdmodel").rename(folder / "net.pdmodel")
    (folder / "model.pdiparams").rename(folder / "net.pdiparams")


def write(data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / FILE_NAME).write_bytes(data) and None


STALE: dict[str, Callable[[Path], None]] = {
    "no record": lambda folder: (folder / FILE_NAME).unlink(),
    "other names": rename,
    "one file more": edit(files={"other.pdmodel": "0"}),
    "wrong types": edit(pipelines="prune"),
    "unknown keys": edit(more=1),
    "no object": write(b"[1]"),
    "no JSON": write(b"{"),
    "no text": write(b"\xff\xfe"),
    "deeply nested": write(b"[" * 100_000),
    "huge": write(b" " * (1 << 21)),
}


@pytest.mark.parametrize("case", list(STALE))
def test_any_other_record_is_as_good_as_none(case: str, saved: Path) -> None:
    STALE[case](saved)
    files = sorted(path for path in saved.iterdir() if path.name != FILE_NAME)
    digest = source_digest([files[1], files[0]])
    assert qcc.load(saved).provenance == Provenance(digest)


def test_a_record_in_the_way(saved: Path) -> None:
    (saved / FILE_NAME).unlink()
    (saved / FILE_NAME).mkdir()
    assert qcc.load(saved).provenance.pipelines == ()


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (change_a_weight, "model.pdiparams"),
        (edit(files={"model.pdmodel": "0", "model.pdiparams": "1"}), "model.pdmodel"),
        (edit(files={"model.pdmodel": "0", "other.pdiparams": "1"}), "model.pdmodel"),
    ],
)
def test_files_of_two_saves_are_not_loaded(change: Callable[[Path], None], file: str, saved: Path) -> None:
    change(saved)
    with pytest.raises(ModelFormatError, match=f"saved/{file} is not the file that qcc.json beside it"):
        qcc.load(saved)
    (saved / FILE_NAME).unlink()
    assert qcc.load(saved).provenance.pipelines == ()
