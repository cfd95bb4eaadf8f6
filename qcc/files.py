"""Files that are either whole or as they were before, whatever happens while they are written.

What is not finished yet has a name that begins with `.qcc-`, and is locked by the process that writes it. So
it can be told from what a killed process has left: `finish` and `clear` deal with that.

Inside `one_change` all that is written below a folder is one file more of the same change.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from qcc.errors import OutputError
from qcc.inputs import open_input

_CHUNK = 1 << 20
_PREFIX = ".qcc-"
_PLAN = ".plan"
"""In a staging folder, once all that it holds is on the disk: the names of the files to move, in order."""


@dataclass(frozen=True)
class _Change:
    """What is written below `folder` waits in `staged`."""

    folder: Path
    staged: Path


_CHANGE: ContextVar[_Change | None] = ContextVar("one_change", default=None)


def sha256(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open_input(path) as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` when the block ends without an error.

    Raises OutputError when it cannot be written, or is something else than a file, such as a device.
    """
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} cannot be written: it is there, and is no file.")
    target = waiting(path)
    temporary = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        sync(target.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {_reason(error)}.") from error
    finally:
        with suppress(OSError):  # where it stays, `clear` removes it
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(shown: Path) -> Iterator[None]:
    """Turns errors of the file system inside the block into an OutputError about `shown`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{shown} cannot be written: {_reason(error)}.") from error


def check_folder(folder: Path) -> None:
    """Raise OutputError when `folder` cannot be made or written to, as far as that shows beforehand."""
    present = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not present.is_dir():
        raise OutputError(f"{folder} cannot be written to: {present} is no folder.")
    if not os.access(present, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OutputError(f"{folder} cannot be written to: permission denied for {present}.")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise OutputError when one of the files to write cannot be written, as far as that shows beforehand, is
    named twice, or is one of those that are read."""
    found = list(outputs)
    places: set[str] = set()
    for output in found:
        check_folder(output.parent)
        place = os.path.realpath(output)
        if place in places:
            raise OutputError(f"{output} is to be written twice: give each output a file of its own.")
        places.add(place)
    refuse_inputs(found, inputs)


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise OutputError when one of the files to write is one of those that are read."""
    read = [path for path in inputs if path.exists()]
    for output in outputs:
        if output.exists() and any(output.samefile(path) for path in read):
            raise OutputError(
                f"{output} is read by this command and would be overwritten: give another place."
            )


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; see `finite`.  Raises OutputError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def finite(value: float) -> float | None:
    """The value as JSON can hold it: None where it is not finite."""
    return value if math.isfinite(value) else None


def all_finite(value: Any) -> Any:
    """JSON data with None for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: all_finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [all_finite(one) for one in value]
    return finite(value) if isinstance(value, float) else value


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically.  Raises OutputError."""
    with atomic_file(path) as stream:
        stream.write(text.encode())


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's entries, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Bring everything under `folder`, and the folder itself, onto the disk."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


@contextmanager
def one_change(folder: Path) -> Iterator[None]:
    """Whatever is written below `folder` inside the block appears when it ends, all at once; nothing of it
    when the block fails or its process is killed.

    Until then it is found where `waiting` says. What stays when the block fails, such as what an interrupted
    command goes on from, is for other places or for before the block.  Raises OutputError, as `staging` and
    `publish` do.
    """
    if waiting(folder) != folder:  # in a larger one
        yield
        return
    with staging(folder) as staged:
        token = _CHANGE.set(_Change(folder, staged))
        try:
            yield
        finally:
            _CHANGE.reset(token)
        names = [str(path.relative_to(staged)) for path in sorted(staged.rglob("*")) if path.is_file()]
        publish(staged, folder, names)


def waiting(path: Path) -> Path:
    """Where what is written to `path` is now: inside `one_change` with a folder above it in a place of its
    own, otherwise there."""
    change = _CHANGE.get()
    if change is None:
        return path
    given, folder, staged = (os.path.abspath(place) for place in (path, change.folder, change.staged))
    if Path(given).is_relative_to(folder) and not Path(given).is_relative_to(staged):
        return change.staged / Path(given).relative_to(folder)
    return path


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder inside `folder`, where files wait until `publish` moves them up.

    Whoever interrupts the block finds in the KeyboardInterrupt what was written.

    `folder` and its parents are made when they are missing, and removed again when the block fails; what
    processes have left there that were killed is cleared away.
    Raises OutputError when that is not possible; errors of the block go through.
    """
    target = waiting(folder)
    made: list[Path] = []
    succeeded = False
    try:
        try:
            made = _make_folders(target)
            clear(target)
            temporary, lock = _locked_folder(target)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written to: {_reason(error)}.") from error
        try:
            yield temporary
            succeeded = True
        except KeyboardInterrupt as error:
            # One inside a larger one is told of that.
            error.args = (_interrupted(folder, written=bool(_planned(temporary))),)
            raise
        finally:
            try:
                # Whoever presses Ctrl-C while files are moved has them all moved; twice, or where nothing can
                # be changed any more, `finish` moves them later.
                _move_rest(temporary, target)
                shutil.rmtree(temporary, ignore_errors=True)
            except OSError as error:
                raise OutputError(f"{folder} cannot be written to: {_reason(error)}.") from error
            finally:
                os.close(lock)
    finally:
        if not succeeded:
            _remove_if_empty(made)


def _interrupted(folder: Path, *, written: bool) -> str:
    if written:
        return f"all was written to {folder} before"
    return f"nothing was written to {folder}, run the same command again"


def publish(staged: Path, folder: Path, names: Sequence[str]) -> None:
    """Move files from a `staging` folder to where they belong: all of them, in this order, or none.

    What stood there before is put back when a move fails. A process that is killed before all files are on
    the disk has changed nothing; of one that is killed later, `finish` moves the rest.  Raises OutputError.
    """
    target = waiting(folder)
    made: list[Path] = []
    moved: list[str] = []
    try:
        kept = Path(tempfile.mkdtemp(prefix="old-", dir=staged))
        for number, name in enumerate(names):
            _check_way(target, name)
            sync(staged / name)
            if os.path.lexists(target / name):
                _keep(target / name, kept / str(number))
        _write_plan(staged, names)
        for name in names:
            made = [*_make_folders((target / name).parent), *made]
            os.replace(staged / name, target / name)
            moved.append(name)
        _sync_folders(target, names)
    except OSError as error:
        with suppress(OSError):  # while the plan is there, the way goes on, not back
            (staged / _PLAN).unlink(missing_ok=True)
            for number, name in enumerate(moved):
                with suppress(OSError):  # the others are put back all the same
                    _put_back(kept / str(number), target / name)
            _remove_if_empty(made)
        raise OutputError(f"{folder} cannot be written to: {_reason(error)}.") from error


def finish(folder: Path) -> None:
    """Move into a folder what a process that was killed in the middle of `publish` has not moved yet.

    Raises OSError when the folder cannot be changed.
    """
    for staged in sorted(folder.glob(f"{_PREFIX}*/")):
        if (staged / _PLAN).is_file():
            with _abandoned(staged) as abandoned:
                if abandoned:
                    _move_rest(staged, folder)


def finish_around(path: Path) -> None:
    """`finish`, for who is about to read `path`: in its folder, and in that above, of which it may be a form.

    Where nothing can be changed, what is read tells whether it fits together.
    """
    with suppress(OSError, ValueError):  # also for names that no file can have
        folder = path if path.is_dir() else path.parent
        for place in (folder, folder.absolute().parent):
            finish(place)


def clear(folder: Path) -> None:
    """`finish`, and remove what else processes that were killed have left in a folder.  Raises OSError."""
    finish(folder)
    for leftover in sorted(folder.glob(f"{_PREFIX}*")):
        with _abandoned(leftover) as abandoned:
            if abandoned and leftover.is_dir():
                shutil.rmtree(leftover)
            elif abandoned:
                leftover.unlink()


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor by which it is locked."""
    while True:
        temporary = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        with suppress(FileNotFoundError):
            lock = os.open(temporary, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have taken it for abandoned before it was locked, and have removed it.
            if temporary.exists():
                return temporary, lock
            os.close(lock)


@contextmanager
def _abandoned(leftover: Path) -> Iterator[bool]:
    """Whether nobody writes this any more; no other process takes it for abandoned during the block."""
    try:
        descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone by now, or a link, which qcc has not made
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield leftover.exists()
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _write_plan(staged: Path, names: Sequence[str]) -> None:
    waiting = staged / f"{_PLAN}.new"
    waiting.write_text(json.dumps(list(names)), encoding="utf-8")
    sync(waiting)
    os.replace(waiting, staged / _PLAN)
    sync(staged)


def _move_rest(staged: Path, folder: Path) -> None:
    """Do what a plan says, where there is one."""
    names = _planned(staged)
    for name in names:
        _check_way(staged, name)
        _check_way(folder, name)
        if (staged / name).is_file():
            _make_folders((folder / name).parent)
            os.replace(staged / name, folder / name)
    if names:
        _sync_folders(folder, names)


def _check_way(folder: Path, name: str) -> None:
    """Raise OSError when what lies between a folder and a file in it is not all folders, and its own: through
    a link, a plan from elsewhere would lead out."""
    for place in Path(name).parents:
        between = folder / place
        if place.parts and between.is_symlink():
            raise OSError(errno.ELOOP, f"{between} is a link", str(between))
        if place.parts and between.exists() and not between.is_dir():
            raise OSError(errno.ENOTDIR, f"{between} is no folder", str(between))


def _sync_folders(folder: Path, names: Sequence[str]) -> None:
    for place in {(folder / name).parent for name in names} | {folder}:
        sync(place)


def _planned(staged: Path) -> list[str]:
    """A plan's names; none where there is none, or of one that qcc has not written, as a folder from
    elsewhere may hold."""
    try:
        with open_input(staged / _PLAN) as stream:
            names = json.loads(stream.read(_CHUNK))
    except (ValueError, RecursionError):
        return []
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):  # not there, or no regular file
            raise
        return []
    if not isinstance(names, list):
        return []
    return [name for name in names if isinstance(name, str) and _leads_in(name)]


def _leads_in(name: str) -> bool:
    parts = Path(name).parts
    return str(Path(name)) == name and not Path(name).is_absolute() and parts != () and ".." not in parts


def _keep(present: Path, kept: Path) -> None:
    try:
        os.link(present, kept, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(present, kept, follow_symlinks=False)


def _put_back(kept: Path, target: Path) -> None:
    if os.path.lexists(kept):
        os.replace(kept, target)
    else:
        target.unlink()


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and its missing parents; return those made, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_if_empty(folders: Sequence[Path]) -> None:
    """Remove those folders that are empty, as far as that is possible."""
    for folder in folders:
        with suppress(OSError):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
