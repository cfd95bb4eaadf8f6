"""Parameter files: one for all variables, or one for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qcc.errors import ModelFormatError
from qcc.frontend.program_file import ProgramFile
from qcc.ir.dtypes import dtype_name
from qcc.ir.program import VarProto
from qcc.ir.tensor_stream import TensorHeader, TensorReader
from qcc.ir.weights import Weights


@dataclass(frozen=True)
class ParamsFile:
    """A file, and the variables whose values stand in it, in order."""

    path: Path
    names: tuple[str, ...]


def combined(program: ProgramFile, path: Path) -> tuple[ParamsFile, ...]:
    """All variables in one file, as `save_combine` writes them: sorted by name."""
    return (ParamsFile(path, tuple(program.persistables)),)


def separate(program: ProgramFile, folder: Path) -> tuple[ParamsFile, ...]:
    """A file per variable in `folder`, under the variable's name.

    Raises ModelFormatError for a name that leads out of the folder.
    """
    return tuple(ParamsFile(_inside(folder, name), (name,)) for name in program.persistables)


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelFormatError(f"{folder}: the variable name {name!r} leads out of the model's folder.")
    # Links lead out, too.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelFormatError(f"{path} leads out of the model's folder, to {path.resolve()}.")
    return path


def read_weights(program: ProgramFile, files: tuple[ParamsFile, ...]) -> Weights:
    """The values of all variables, each checked against its declaration and each file to its last byte.

    Raises ModelFormatError naming file and variable.
    """
    weights = Weights()
    for file in files:
        try:
            _read(program, file, weights)
        except OSError as error:
            raise ModelFormatError(f"{file.path} cannot be read: {error.strerror}.") from error
    return weights


def why_not(program: ProgramFile, path: Path) -> ModelFormatError | None:
    """Why the file is not the program's combined parameters; None when it is.  Reads no values."""
    try:
        (file,) = combined(program, path)
        _read(program, file, None)
    except ModelFormatError as error:
        return error
    return None


def _read(program: ProgramFile, file: ParamsFile, weights: Weights | None) -> None:
    with TensorReader(file.path) as reader:
        for name in file.names:
            header = reader.header(name)
            _check_declaration(program, file.path, program.persistables[name], header)
            if weights is None:
                reader.skip(header)
            else:
                weights.adopt(name, reader.value(name, header))
        reader.finish()


def _check_declaration(program: ProgramFile, path: Path, var: VarProto, header: TensorHeader) -> None:
    tensor = var.type.lod_tensor.tensor
    declared = tuple(tensor.dims)
    # Paddle declares some scalars as [1] and holds them as [], and the other way round.
    same_shape = header.shape == declared or {header.shape, declared} == {(), (1,)}
    if header.dtype != tensor.data_type or not same_shape:
        raise ModelFormatError(
            f"{path}: the value of variable {var.name!r} is {dtype_name(header.dtype)}{list(header.shape)},"
            f" but {program.path} declares it as {_declared_dtype(tensor.data_type)}{list(declared)};"
            " the two files do not belong together."
        )


def _declared_dtype(number: int) -> str:
    try:
        return dtype_name(number)
    except ModelFormatError:
        return f"type {number}"
