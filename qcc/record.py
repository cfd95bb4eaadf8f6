"""qcc.json: the record that stands beside every saved model and says what made it.

It is believed only while the digests in it fit the files beside it; a record of other files is as
good as none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from qcc import __version__
from qcc._paddle import paddle
from qcc.files import sha256
from qcc.model import Provenance

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
    path = files[0].parent / name
    try:
        if path.stat().st_size > _MAX_SIZE:
            return None
        record = Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    if record.files != {file.name: sha256(file) for file in files}:
        return None
    return record


def source_digest(files: Sequence[Path]) -> str:
    """One checksum for a model's files: SHA-256 over their checksums, one a line, program first."""
    lines = "".join(f"{sha256(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()
