"""What was measured so far, a line for each piece, so that whoever is interrupted goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from qcc.files import atomic_file, writing

Numbers = list[float]


class Journal:
    """Numbers by a key, on the disk as soon as they are put.

    What was measured of other models, of other data or otherwise is not found again: `identity` tells.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._found = dict(_read(path, identity))
        with atomic_file(path) as stream:
            for line in (identity, *self._found.items()):
                stream.write(_line(line))

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: str) -> Numbers | None:
        """What was put under a key; None where nothing was."""
        return self._found.get(key)

    def put(self, key: str, numbers: Numbers) -> None:
        """Keep some numbers.  Raises OutputError."""
        self._found[key] = numbers
        with writing(self._path), self._path.open("ab") as stream:
            stream.write(_line((key, numbers)))

    def remove(self) -> None:
        """Forget everything, when it was used."""
        self._path.unlink(missing_ok=True)


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _read(path: Path, identity: str) -> Iterator[tuple[str, Numbers]]:
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    if not lines or lines[0] != _line(identity):
        return
    for line in lines[1:]:
        # A killed process may have left a part of a line.
        if line.endswith(b"\n"):
            key, numbers = json.loads(line)
            yield key, numbers
