"""What has been computed of the steps so far, kept in a folder, so that a run that is stopped can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from qcc.array_files import write_arrays
from qcc.files import atomic_file

_HEADER = "header"
_ARRAY = "array."


@dataclass(frozen=True)
class Memo:
    """A folder of results, each under a key that says of what it is; without a folder nothing is kept."""

    folder: Path | None = None

    def load(self, key: object) -> tuple[dict[str, np.ndarray], dict[str, float]] | None:
        """The arrays and numbers that were saved under a key; None where there are none."""
        if self.folder is None:
            return None
        try:
            with self._path(key).open("rb") as stream:
                found = dict(np.load(stream, allow_pickle=False))
            header = json.loads(found.pop(_HEADER).tobytes())
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        if header["key"] != _text(key):
            return None
        return {name: found[f"{_ARRAY}{place}"] for place, name in enumerate(header["names"])}, header[
            "numbers"
        ]

    def save(self, key: object, arrays: Mapping[str, np.ndarray], numbers: Mapping[str, float]) -> None:
        """Keep a result, atomically.  Raises OutputError."""
        if self.folder is None:
            return
        header = {"key": _text(key), "names": list(arrays), "numbers": dict(numbers)}
        with atomic_file(self._path(key)) as stream:
            write_arrays(
                stream,
                {
                    _HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8),
                    **{f"{_ARRAY}{place}": array for place, array in enumerate(arrays.values())},
                },
            )

    def _path(self, key: object) -> Path:
        digest = hashlib.sha256(_text(key).encode()).hexdigest()[:24]
        return (self.folder or Path()) / f"step-{digest}.npz"


def _text(key: object) -> str:
    return json.dumps(key, sort_keys=True)


NO_MEMO = Memo()
"""Keeps nothing."""
