"""qcc.json: the record that stands beside every saved model and says what made it.

It is believed only while the digests in it fit the files beside it. A record of files with other names is as
good as none; where the names are the same and the digests are not, program and weights may be those of two
models, and neither is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from qcc import __version__
from qcc._paddle import paddle
from qcc.errors import ModelFormatError
from qcc.files import sha256
from qcc.inputs import read_input
from qcc.model import Provenance

RECORD_SUFFIX = ".json"
"""What the record of a model that is one file adds to its name."""
FILE_NAME = "qcc.json"
_MAX_SIZE = 1 << 20


class Record(BaseModel):
    """The content of qcc.json.

    `files` maps the names of program and parameters to their SHA-256 checksums; `source` and
    `pipelines` are those of `qcc.model.Provenance`; `scheme` is what `qcc.scheme` reads from the graph.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    qcc: str
    paddle: str
    form: str
    state: str
    scheme: dict[str, Any]
    source: str | None
    pipelines: list[str]
    files: dict[str, str]
    engine: dict[str, Any] | None = None
    """Of a model written for a named engine: which, and the lines that an application sets it up with."""
    lite: dict[str, Any] | None = None
    """Of a file for Paddle Lite: whether the rows that products see and the sizes of feature maps may change
    between the runs of one predictor, and what to be warned of."""

    def content(self) -> dict[str, Any]:
        """What the file holds; nothing about what does not apply."""
        return self.model_dump(exclude={name for name in ("engine", "lite") if getattr(self, name) is None})

    @property
    def target(self) -> str | None:
        """The engine that the model was written for, if any."""
        name = None if self.engine is None else self.engine.get("target")
        return name if isinstance(name, str) else None

    @property
    def provenance(self) -> Provenance:
        return Provenance(self.source, tuple(self.pipelines))


def make_record(
    form: str,
    state: str,
    scheme: dict[str, Any],
    provenance: Provenance,
    files: Sequence[Path],
    engine: dict[str, Any] | None = None,
    lite: dict[str, Any] | None = None,
) -> Record:
    """The record of a model whose program and parameters stand in `files`."""
    return Record(
        qcc=__version__,
        paddle=paddle.__version__,
        form=form,
        state=state,
        scheme=scheme,
        source=provenance.source,
        pipelines=list(provenance.pipelines),
        files={path.name: sha256(path) for path in files},
        engine=engine,
        lite=lite,
    )


def read_record(files: Sequence[Path], name: str = FILE_NAME) -> Record | None:
    """The record of this name beside a model's files, program first; None if there is none that fits them."""
    record = _read(files[0].with_name(name))
    return record if record is not None and record.files == _digests(files) else None


def record_beside(file: Path) -> Record | None:
    """The record of a model that is one file, `NAME.json` beside NAME; None if there is none that fits it."""
    return read_record([file], file.name + RECORD_SUFFIX)


def fitting_record(files: Sequence[Path]) -> Record | None:
    """The `qcc.json` beside a model's files, program first; None if there is none, or one of other files.

    Raises ModelFormatError when one of the files is not the one that was saved under its name.
    """
    path = files[0].with_name(FILE_NAME)
    record = _read(path)
    if record is None:
        return None
    found = _digests(files)
    changed = [name for name, digest in found.items() if record.files.get(name, digest) != digest]
    if changed:
        raise ModelFormatError(
            f"{path.with_name(changed[0])} is not the file that {FILE_NAME} beside it describes, so that"
            " program and weights may be those of two models: save the model again, or, if the file was"
            f" replaced on purpose, remove {path}."
        )
    return record if record.files == found else None


def _read(path: Path) -> Record | None:
    try:
        return Record.model_validate_json(read_input(path, _MAX_SIZE))
    except (OSError, ValidationError):
        return None


def _digests(files: Sequence[Path]) -> dict[str, str]:
    return {file.name: sha256(file) for file in files}


def source_digest(files: Sequence[Path]) -> str:
    """One checksum for a model's files: SHA-256 over their checksums, one a line, program first."""
    lines = "".join(f"{sha256(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()
