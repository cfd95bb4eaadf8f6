"""Take single files out of packages of PyPI and Debian, through the registries' own clients, without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

# One set of wheels, whatever interpreter and processor this runs on: the data in them is the same.
_WHEEL_TAGS = [
    "--only-binary=:all:",
    "--python-version=3.10",
    "--platform=manylinux_2_17_x86_64",
    "--platform=manylinux2014_x86_64",
]


class FetchError(Exception):
    """A package cannot be fetched or does not hold what was wanted; the message is a clause of a sentence."""


def fetch_wheel(requirement: str, members: Mapping[str, Path]) -> None:
    """Download the wheel `requirement` ("name==version") and write each of `members` to the path given."""
    with tempfile.TemporaryDirectory(prefix="qcc-wheel-") as folder:
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *_WHEEL_TAGS, requirement],
            folder,
        )
        _unpack_wheel(_single(folder, "*.whl"), members)


def fetch_deb(requirement: str, members: Mapping[str, Path]) -> None:
    """Download the Debian package `requirement` and write each of `members` to the path given."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise FetchError(f"it comes as a Debian package, and there is no program {program} here")
    with tempfile.TemporaryDirectory(prefix="qcc-deb-") as folder:
        _download_deb(requirement, folder)
        _unpack_deb(_single(folder, "*.deb"), members)


def _download_deb(package: str, folder: str) -> None:
    try:
        _run(["apt-get", "download", package], folder)
        return
    except FetchError:
        # This machine's package lists are missing or old, and only root may renew them: use lists of our own.
        state = Path(folder, "state")
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True)
    own_lists = [
        f"-oDir::State={state}",
        f"-oDir::Cache={state / 'cache'}",
        "-oDir::State::status=/var/lib/dpkg/status",
        "-oAPT::Sandbox::User=root",  # as root, apt would change to a user who may not write here
    ]
    _run(["apt-get", *own_lists, "update"], folder)
    _run(["apt-get", *own_lists, "download", package], folder)


# Both unpackers read only members that were asked for, and write to paths that are ours: whatever names
# an archive holds, nothing can land elsewhere.
def _unpack_wheel(wheel: Path, members: Mapping[str, Path]) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, path in members.items():
                with archive.open(member) as stream:
                    _write(stream, path)
    except KeyError as error:
        raise FetchError(f"{wheel.name} holds no file {member}") from error
    except zipfile.BadZipFile as error:
        raise FetchError(f"{wheel.name} is damaged ({error})") from error


def _unpack_deb(deb: Path, members: Mapping[str, Path]) -> None:
    wanted = dict(members)
    unpacking = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with subprocess.Popen(unpacking, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for entry in archive:
                    name = entry.name.removeprefix("./")
                    if name in wanted and entry.isreg() and (stream := archive.extractfile(entry)):
                        _write(stream, wanted.pop(name))
        except tarfile.TarError as error:
            raise FetchError(f"{deb.name} is damaged ({error})") from error
    if wanted:
        raise FetchError(f"{deb.name} holds no file {next(iter(wanted))}")


def _write(stream: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        shutil.copyfileobj(stream, target)


def _run(command: Sequence[str], folder: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        shown = " ".join(["pip", *command[3:]] if command[0] == sys.executable else command)
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = lines[-1].removeprefix("ERROR: ").removeprefix("E: ") if lines else f"exit {done.returncode}"
        raise FetchError(f"`{shown}` failed ({reason.rstrip('.')})")


def _single(folder: str, pattern: str) -> Path:
    found = list(Path(folder).glob(pattern))
    if len(found) != 1:
        raise FetchError(f"the download left {len(found)} files {pattern} instead of one")
    return found[0]
