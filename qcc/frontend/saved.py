"""qcc.load: a model from its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from qcc.errors import ModelFormatError, VerifyError
from qcc.files import finish_around
from qcc.frontend import paddle3
from qcc.frontend.layout import find_params, find_program
from qcc.frontend.old_programs import reword
from qcc.frontend.params import ParamsFile, read_weights
from qcc.frontend.program_file import ProgramFile, is_paddle3, read_program
from qcc.ir.verify import verify
from qcc.ir.weights import Weights
from qcc.model import Model, Provenance
from qcc.record import FILE_NAME, fitting_record, read_record, source_digest


def load(
    path: str | os.PathLike[str],
    model_filename: str | None = None,
    params_filename: str | None = None,
) -> Model:
    """Load an inference model of Paddle 1.x, 2.x or 3.x.

    `path` is a folder, a program file, or the prefix of a `.pdmodel` or `.json`. The file names (inside the
    folder) are needed only where the folder holds several models: programs are recognised by their
    content, parameters by fitting the program, as one file or as one file per variable.

    The model's provenance is that of the `qcc.json` beside it; without one it starts anew with a digest of
    the files. What a killed process has saved there in part is completed first.

    Raises ModelFormatError naming the file for whatever is missing, ambiguous, damaged, foreign
    or does not fit together; among them pickles, programs of Paddle 3 with ops that Paddle 2.6 cannot
    express, and files that are not those that the `qcc.json` beside them describes.
    """
    finish_around(Path(path))
    found = _locate(path, model_filename, params_filename)
    program = found.program()
    weights = read_weights(program, found.params)
    try:
        graph = program.graph(weights, for_test=True)
        verify(graph, scales=False)
    except VerifyError as error:
        raise ModelFormatError(f"{program.path}: {error}") from error
    record = fitting_record(found.files)
    return Model(graph, record.provenance if record else Provenance(source_digest(found.files)))


@dataclass(frozen=True)
class _Found:
    """Where a model's files are; `program` gives the program, which for one of Paddle 3 is converted then."""

    path: Path
    params: tuple[ParamsFile, ...]
    program: Callable[[], ProgramFile]

    @property
    def files(self) -> list[Path]:
        return [self.path, *(file.path for file in self.params)]


def _locate(path: str | os.PathLike[str], model_filename: str | None, params_filename: str | None) -> _Found:
    try:
        program_path = find_program(Path(path), model_filename)
        if is_paddle3(program_path):
            return _of_paddle3(program_path, params_filename)
        program = read_program(program_path)
        reword(program.program, program_path)
        return _Found(program.path, find_params(program, params_filename), lambda: program)
    except OSError as error:
        raise ModelFormatError(f"{error.filename or path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a name that no file can have
        raise ModelFormatError(f"{os.fspath(path)!r} cannot be read: {error}.") from error


def model_files(
    path: str | os.PathLike[str], model_filename: str | None = None, params_filename: str | None = None
) -> list[Path]:
    """The files that `load` reads: the program, the parameters, and the record if there is one.

    Raises ModelFormatError as `load` does.
    """
    found = _locate(path, model_filename, params_filename)
    record = found.path.parent / FILE_NAME
    return [*found.files, *([record] if record.exists() else [])]


def _of_paddle3(path: Path, params_filename: str | None) -> _Found:
    """A program of Paddle 3: its parameters' files are found before it is converted, since values decide
    branches.
    """
    source = paddle3.read(path)
    declared = paddle3.declared(source, path)
    files = find_params(declared, params_filename)

    @cache
    def weights() -> Weights:
        return read_weights(declared, files)

    def value_of(name: str) -> np.ndarray:
        return weights()[name]

    return _Found(path, files, lambda: paddle3.convert(source, path, value_of))


def has_stale_record(
    path: str | os.PathLike[str], model_filename: str | None = None, params_filename: str | None = None
) -> bool:
    """True when there is a `qcc.json` beside the model that is of other files, which `load` ignores.

    Raises ModelFormatError as `load` does.
    """
    found = _locate(path, model_filename, params_filename)
    return (found.path.parent / FILE_NAME).exists() and read_record(found.files) is None
