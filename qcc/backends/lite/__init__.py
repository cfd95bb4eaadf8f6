"""Paddle Lite's naive buffer: writing, reading, checking and running `.nb` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qcc.backends.report import Saved
from qcc.errors import TargetError

if TYPE_CHECKING:
    from qcc.model import Model

FORMS = ("arm", "x86", "x86-int8")
DEFAULT_FORM = None


def save(
    model: Model,
    path: Path,
    form: str,
    model_filename: str | None,
    params_filename: str | None,
    check: bool | Mapping[str, np.ndarray],
) -> Saved:
    """See `qcc.save`; `path` is the file, and the form says for which processor it is."""
    from qcc.backends.lite.export import export

    if model_filename is not None or params_filename is not None:
        raise TargetError("a naive buffer is one file: give its name as the path, and no file names.")
    return export(
        model, path, arch="arm" if form == "arm" else "x86", x86_int8=form == "x86-int8", check=check
    )
