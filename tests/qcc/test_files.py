"""Files that are whole or as they were before."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
from failing import failing_at_each_change
from killed import killed_at_each_change

from qcc.errors import OutputError
from qcc.files import (
    atomic_file,
    check_folder,
    clear,
    finish,
    finish_around,
    one_change,
    publish,
    sha256,
    staging,
    waiting,
    write_json,
    write_text,
)


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
        if "old-" not in str(source) and ".plan" not in str(source):
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


def test_a_killed_process_leaves_the_old_files_or_the_new(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    old, new = {"a": b"old a", "c": b"old c"}, {"a": b"new a", "b": b"new b", "c": b"new c"}
    stage(folder, **old)
    found = []
    for _ in killed_at_each_change(folder, lambda: stage(folder, **new)):
        finish(folder)
        found.append(visible(folder))
        clear(folder)
        assert list(folder.glob(".*")) == []
        stage(folder, **old)
        (folder / "b").unlink(missing_ok=True)
    assert visible(folder) == new
    decided = found.index(new)
    assert found == [old] * decided + [new] * (len(found) - decided)
    # Each of the three moves, and what comes behind them, comes after the decision.
    assert 5 < decided < len(found) - 3


def visible(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_killed_process_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    found = []
    for _ in killed_at_each_change(tmp_path, lambda: write_text(path, "new")):
        found.append(path.read_bytes())
        clear(tmp_path)
        assert [left.name for left in tmp_path.iterdir()] == ["file"]
        path.write_bytes(b"old")
    assert found[:2] == [b"old"] * 2
    assert path.read_bytes() == b"new"


# ---------------------------------------------------------------------- several folders


def write_all(folder: Path, **files: bytes) -> None:
    """Each file in a folder of its own."""
    with one_change(folder):
        for name, data in files.items():
            stage(folder / name, file=data)


def test_one_change(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "mine").write_bytes(b"0")
    with one_change(folder):
        write_all(folder, a=b"1", b=b"2")
        write_text(folder / "c", "4")
        write_text(tmp_path / "elsewhere", "3")
        assert waiting(folder / "a" / "file").read_bytes() == b"1"
        assert waiting(tmp_path / "elsewhere") == tmp_path / "elsewhere"
        assert not (folder / "b").exists()
    assert waiting(folder / "a") == folder / "a"
    assert contents(tmp_path) == {
        "elsewhere": b"3",
        "folder/a/file": b"1",
        "folder/a/mine": b"0",
        "folder/b/file": b"2",
        "folder/c": b"4",
    }


def test_one_change_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with one_change(Path()):
        write_text(Path("a"), "1")
        write_text(Path("../b"), "2")
        assert contents(tmp_path)["b"] == b"2"
        assert not Path("a").exists()
    assert contents(tmp_path) == {"here/a": b"1", "b": b"2"}


def test_one_change_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "disk")
    write_all(tmp_path / "folder", a=b"1")
    assert (tmp_path / "folder").is_symlink()
    assert contents(tmp_path / "disk") == {"a/file": b"1"}


def _change_and_stop(folder: Path) -> None:
    with one_change(folder):
        stage(folder / "a", file=b"1")
        raise Stop


def test_one_change_that_fails(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        _change_and_stop(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    # The second of two forms finds no way: the first is not written, either.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"cannot be written to: \S*/b is a link\.$"):
        write_all(tmp_path, a=b"1", b=b"2")
    (tmp_path / "b").unlink()
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"cannot be written to: \S*/b is no folder\.$"):
        write_all(tmp_path, a=b"1", b=b"2")
    assert contents(tmp_path) == {"b": b"mine"}


@pytest.mark.parametrize("fails_at", range(3))
def test_one_change_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    write_all(tmp_path, a=b"1", c=b"3")
    before, replace, done = contents(tmp_path), os.replace, []

    def failing(source: Path, target: Path) -> None:
        if target.parent in (tmp_path, *(tmp_path / name for name in "abc")) and "old-" not in str(source):
            if len(done) == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="No space left"):
        write_all(tmp_path, a=b"4", b=b"5", c=b"6")
    assert contents(tmp_path) == before
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_ended_leaves_all_old_or_all_new(tmp_path: Path, ended_by: int) -> None:
    folder = tmp_path / "folder"
    old = {"a/file": b"1", "a/mine": b"0"}
    new = {"a/file": b"2", "a/mine": b"0", "b/file": b"3"}
    found = []
    lay_out(folder, old)
    for number in killed_at_each_change(folder, lambda: write_all(folder, a=b"2", b=b"3"), ended_by):
        # As whoever reads the whole, or one of its parts, does.
        finish_around(folder / ("a" if number % 2 else "."))
        found.append({name: data for name, data in contents(folder).items() if ".qcc-" not in name})
        clear(folder)
        assert list(folder.glob(".*")) == []
        lay_out(folder, old)
    assert contents(folder) == new
    decided = found.index(new)
    assert found == [old] * decided + [new] * (len(found) - decided)
    assert decided < len(found) - 3


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_fails_at_any_change_leaves_all_old_or_all_new(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "folder"
    old, new = ({f"form{n}/file": text for n in range(2)} for text in (b"old", b"new"))

    def write(files: dict[str, bytes]) -> int:
        try:
            with one_change(folder):
                for name, content in files.items():
                    with atomic_file(folder / name) as stream:
                        stream.write(content)
        except OutputError:
            return 2
        return 0

    assert write(old) == 0
    found = []
    for failed in failing_at_each_change(folder, lambda: write(new), number):
        assert failed.err == ""
        finish(folder)
        found.append({name: text for name, text in contents(folder).items() if name in old})
        # What cannot be tidied up is no failure.
        assert (failed.code, found[-1]) in [(2, old), (2, new), (0, new)]
        assert write(old) == 0
        assert contents(folder) == old
    assert len(found) > 10
    assert found[0] == old


def test_a_plan_from_elsewhere_leads_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "file").write_bytes(b"mine")
    # Into a folder of the user's, and out of one.
    for number, (theirs, link) in enumerate((("a", "folder"), ("folder", "a"))):
        base = tmp_path / str(number)
        staged = base / ".qcc-x"
        places = {"folder": staged / "sub", "a": base / "sub"}
        staged.mkdir(parents=True)
        places[theirs].mkdir()
        (places[theirs] / "file").write_bytes(b"theirs")
        places[link].symlink_to(tmp_path / "home")
        (staged / ".plan").write_text('["sub/file"]')
        before = contents(base)
        with pytest.raises(OSError, match="is a link"):
            finish(base)
        assert contents(base) == before
    assert (tmp_path / "home" / "file").read_bytes() == b"mine"


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    with staging(tmp_path) as staged, atomic_file(tmp_path / "file") as stream:
        (staged / "a").write_bytes(b"1")
        stream.write(b"2")
        clear(tmp_path)
        publish(staged, tmp_path, ["a"])
    assert contents(tmp_path) == {"a": b"1", "file": b"2"}


@pytest.mark.parametrize(
    "plan", [b"", b"5", b"[1]", b'["../a", "/b", "sub/../../a", "sub//c", "./sub/c"]', b"[" * 100_000]
)
def test_a_plan_from_elsewhere_moves_nothing_out(tmp_path: Path, plan: bytes) -> None:
    folder = tmp_path / "folder"
    (folder / ".qcc-x" / "sub").mkdir(parents=True)
    for path in (tmp_path / "a", folder / ".qcc-x" / "sub" / "c"):
        path.write_bytes(b"mine")
    (folder / ".qcc-x" / ".plan").write_bytes(plan)
    before = contents(tmp_path)
    finish(folder)
    assert contents(tmp_path) == before


def test_a_plan_that_is_a_pipe(tmp_path: Path) -> None:
    (tmp_path / ".qcc-x").mkdir()
    os.mkfifo(tmp_path / ".qcc-x" / ".plan")
    finish(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    stage(tmp_path / "elsewhere", a=b"1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".qcc-link").symlink_to(tmp_path / "elsewhere")
    clear(tmp_path / "folder")
    assert contents(tmp_path / "elsewhere") == {"a": b"1"}
