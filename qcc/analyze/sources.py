"""Which models an analysis is of: what a path means, and where the float twin of a quantized model is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qcc.analyze.twins import Twins, twins
from qcc.calibrate.report import FROM_HERE, PARAMS
from qcc.errors import ModelFormatError
from qcc.frontend.layout import find_program
from qcc.frontend.saved import load, model_files
from qcc.inputs import read_input
from qcc.model import Model
from qcc.quantization import state
from qcc.record import FILE_NAME

_FROZEN = "float"
_FORMS = ("float", "int8", "qdq")
_MAX_SIZE = 1 << 24


@dataclass(frozen=True)
class Given:
    """`model`, read from `path`, in which its files have these `names`, if any were given; `float_model`, its
    path and the name of its parameters' file where that is known; `notes`: for the user."""

    path: Path
    names: tuple[str | None, str | None]
    model: Model
    float_path: Path | None
    float_model: Model | None
    notes: tuple[str, ...] = ()
    float_params: str | None = None

    @property
    def program(self) -> Path:
        """The file beside which may stand how images are prepared: that of the float model, if known."""
        if self.float_path is not None:
            return find_program(self.float_path, None)
        return find_program(self.path, self.names[0])

    @property
    def files(self) -> list[Path]:
        """All that was read: programs, parameters and records."""
        found = [*model_files(self.path, *self.names), self.path.absolute().parent / FILE_NAME]
        if self.float_path is not None:
            found += model_files(self.float_path, None, self.float_params)
        return found

    @property
    def title(self) -> str:
        """What the model is called: its folder, or that which its forms stand in."""
        path = self.path.absolute()
        return path.parent.name if path.name in _FORMS else path.name

    def twins(self) -> Twins:
        """Both networks, with what there is to say.  Raises what `twins` raises."""
        found = twins(self.model, self.float_model)
        return replace(found, notes=(*self.notes, *found.notes))


def find_models(
    path: Path, float_path: Path | None, model_filename: str | None = None, params_filename: str | None = None
) -> Given:
    """Read a model, in any form; or that in a folder which `qcc quantize MODEL` has written, or in one of its
    folders. The float model is the one that is given, else the one that such a folder was made from.

    Raises what `qcc.load` raises; and ModelFormatError when the float model that is given is quantized.
    """
    folder, record = _record(path)
    inside = model_folder(path)
    names = (model_filename, params_filename)
    model = load(inside, *names)
    if float_path is not None:
        return Given(inside, names, model, float_path, _load_float(float_path))
    if not record:
        return Given(inside, names, model, None, None)
    named, note = f"the float model {record['model']}, which {folder / FILE_NAME} names,", None
    params = record.get(PARAMS)
    for source in _places(folder, record):
        try:
            found = load(source, None, params)
        except ModelFormatError as error:
            # Of the place that it was given as, where it is not found at either.
            note = note or f"{named} cannot be read ({str(error).removesuffix('.')})"
            continue
        if found.provenance.source == record["source"]:
            return Given(inside, names, model, source, found, float_params=params)
        note = f"the float model {source} is not the one that was quantized, or has changed since"
    return Given(inside, names, model, None, None, (f"{note}: give it by --float",))


def _places(folder: Path, record: dict[str, Any]) -> Iterator[Path]:
    """Where the float model of a record may be: as it was given, which may mean another place here, or none;
    and as seen from the record, which older versions did not note."""
    yield Path(record["model"])
    if isinstance(record.get(FROM_HERE), str):
        yield Path(os.path.normpath(folder.resolve() / record[FROM_HERE]))


def model_folder(path: Path) -> Path:
    """The folder of the frozen model where a path is one that `qcc quantize MODEL` wrote; else itself."""
    folder, record = _record(path)
    return path / _FROZEN if record and folder == path else path


def _load_float(path: Path) -> Model:
    found = load(path)
    if state(found.graph) != "float":
        raise ModelFormatError(
            f"{path} is {state(found.graph)}, and the float model is wanted: the one that was quantized."
        )
    return found


def _record(path: Path) -> tuple[Path, dict[str, Any]]:
    """The folder that `qcc quantize MODEL` has written a model into, and its record; an empty one where the
    model comes from elsewhere."""
    above = path.absolute().parent  # of ".", too
    folders = (path, above) if path.is_dir() else (above.parent,)
    for folder in folders:
        try:
            found = json.loads(read_input(folder / FILE_NAME, _MAX_SIZE))
        except (OSError, ValueError, RecursionError):
            continue
        match found:
            case {"model": str(), "source": str() | None, "activations": dict(), "data": dict()} if (
                isinstance(found.get(PARAMS), str | None)
            ):
                return folder, found
    return path, {}
