"""Files that are whole or as they were before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from qcc.errors import OutputError
from qcc.files import atomic_file, check_folder, publish, sha256, staging, write_json, write_text


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Stop(Exception):
    """What goes wrong in these tests."""


def _write_and_stop(path: Path) -> None:
    with atomic_file(path) as stream:
        stream.write(b"two")
        raise Stop


def _stage_and_stop(folder: Path) -> None:
    with staging(folder) as staged:
        (staged / "a").write_bytes(b"1")
        raise Stop


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_atomic_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomic_file(path) as stream:
        stream.write(b"one")
        assert not path.exists()
    assert contents(tmp_path) == {"new/file": b"one"}
    with pytest.raises(Stop):
        _write_and_stop(path)
    assert contents(tmp_path) == {"new/file": b"one"}


def test_atomic_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OutputError, match="file cannot be written"), atomic_file(tmp_path / "file"):
        pass
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"), atomic_file(tmp_path / "plain" / "file"):
        pass


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(OutputError, match=r"pipe cannot be written: it is there, and is no file\.$"),
        atomic_file(tmp_path / "pipe"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_check_folder(tmp_path: Path) -> None:
    check_folder(tmp_path / "one" / "two")
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(OutputError, match=r"plain/two cannot be written to: .*/plain is no folder\."):
        check_folder(tmp_path / "plain" / "two")
    assert contents(tmp_path) == {"plain": b""}


def test_write_text(tmp_path: Path) -> None:
    write_text(tmp_path / "a.md", "größer\n")
    assert (tmp_path / "a.md").read_bytes() == "größer\n".encode()


def test_write_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": [\n    1\n  ]\n}\n'


def stage(folder: Path, **files: bytes) -> None:
    with staging(folder) as staged:
        for name, data in files.items():
            (staged / name).write_bytes(data)
        publish(staged, folder, list(files))


def test_publish(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    stage(folder, a=b"1", b=b"2")
    assert contents(tmp_path) == {"deep/folder/a": b"1", "deep/folder/b": b"2"}
    stage(folder, b=b"3", c=b"4")
    assert contents(folder) == {"a": b"1", "b": b"3", "c": b"4"}


def test_failure_in_between_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        _stage_and_stop(tmp_path / "deep" / "folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(Stop):
        _stage_and_stop(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_publish_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    folder = tmp_path / "folder"
    stage(folder, a=b"old a", c=b"old c")
    before = contents(tmp_path)
    replace, done = os.replace, []

    def failing(source: Path, target: Path) -> None:
        if "old-" not in str(source):
            if len(done) == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="folder cannot be written to: No space left on device"):
        stage(folder, a=b"new a", b=b"new b", c=b"new c")
    assert contents(tmp_path) == before


def test_publish_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*args: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    stage(tmp_path / "folder", a=b"1")
    stage(tmp_path / "folder", a=b"2")
    assert contents(tmp_path) == {"folder/a": b"2"}


def test_a_folder_in_the_way_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder" / "b").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be written to"):
        stage(tmp_path / "folder", a=b"1", b=b"2")
    assert contents(tmp_path) == {}


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError, match="file cannot be written to"):
        stage(tmp_path / "file", a=b"1")
    assert contents(tmp_path) == {"file": b"mine"}
