"""Parameter files: one for all variables, or one for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc._paddle import VarType
from qcc.errors import ModelFormatError
from qcc.frontend.program_file import ProgramFile
from qcc.ir.dtypes import dtype_name
from qcc.ir.program import TensorProto
from qcc.ir.tensor_stream import TensorHeader, TensorReader
from qcc.ir.weights import Weights

# What `QuantWeightPass`, `WeightQuantization` and programs in half floats store in place of float32.
_SMALLER = (VarType.INT8, VarType.INT16, VarType.FP16, VarType.BF16)


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
    """A link in the folder may lead anywhere, as in the caches of model hubs: who made the folder made it.
    A name is the program's word, which may come from a stranger.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelFormatError(f"{folder}: the variable name {name!r} leads out of the model's folder.")
    return folder / name


def read_weights(program: ProgramFile, files: tuple[ParamsFile, ...]) -> Weights:
    """The values of all variables, each checked against its declaration and each file to its last byte.

    A weight that is declared float32 may be stored as integers or half floats, since Paddle's tools change
    the file and leave the program as it was, and programs of Paddle 3 are read in float32. Integers stay what
    they are, see `ProgramFile.graph`; half floats become float32, which the program computes with. Sizes of 1
    in a shape make no difference.

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
            declared = program.persistables[name].type.lod_tensor.tensor
            fits = _squeezed(header.shape) == _squeezed(declared.dims)
            if not fits or header.dtype not in stored_types(declared):
                raise _misfit(program, file.path, name, header)
            if weights is None:
                reader.skip(header)
            else:
                weights.adopt(name, as_declared(reader.value(name, header), declared))
        reader.finish()


def stored_types(declared: TensorProto) -> tuple[int, ...]:
    """The types of which the values of a variable may be that is declared so."""
    return (declared.data_type, *(_SMALLER if declared.data_type == VarType.FP32 else ()))


def _squeezed(shape: Iterable[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def as_declared(value: np.ndarray, declared: TensorProto) -> np.ndarray:
    """A value in the declared shape where only sizes of 1 differ, and half floats as declared float32.

    Paddle's tools store scales as [1, channels] and declare [channels]. A scalar stays [] or [1], both of
    which Paddle uses for it.
    """
    if value.dtype == np.float16 and declared.data_type == VarType.FP32:
        value = value.astype(np.float32)
    elif value.dtype == np.uint16 and declared.data_type == VarType.FP32:
        # bfloat16, for which numpy has no name: the upper half of a float32.
        value = (value.astype(np.uint32) << 16).view(np.float32)
    shape = tuple(declared.dims)
    same = _squeezed(value.shape) == _squeezed(shape) and {value.shape, shape} != {(), (1,)}
    return value.reshape(shape) if same else value


def _misfit(program: ProgramFile, path: Path, name: str, header: TensorHeader) -> ModelFormatError:
    declared = program.persistables[name].type.lod_tensor.tensor
    return ModelFormatError(
        f"{path}: the value of variable {name!r} is {dtype_name(header.dtype)}{list(header.shape)},"
        f" but {program.path} declares it as {_declared_dtype(declared.data_type)}{list(declared.dims)};"
        " the two files do not belong together."
    )


def _declared_dtype(number: int) -> str:
    try:
        return dtype_name(number)
    except ModelFormatError:
        return f"type {number}"
