"""Paddle's tensor stream: how values of variables stand in files, one after the other.

A tensor is (all numbers little-endian)

    uint32  version of the LoD tensor, 0
    uint64  number of LoD levels, then per level a uint64 size in bytes and the data
    uint32  version of the tensor, 0
    int32   size of the description
    bytes   the description: a `VarType.TensorDesc` message (dtype, dims)
    bytes   the values, row by row

(`SerializeToStream` in Paddle's lod_tensor.cc and tensor_util.cc). A file that holds several carries
neither names nor a count: the order is that of the variables' names, sorted.
"""

from __future__ import annotations

import os
import struct
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from qcc.errors import ModelFormatError
from qcc.inputs import open_input
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.program import DecodeError, TensorProto

_LOD_HEAD = struct.Struct("<IQ")
_TENSOR_HEAD = struct.Struct("<Ii")
_MAX_DESCRIPTION = 1 << 16
_MOST_DIMENSIONS = 32
"""Of numpy's arrays, whose sizes without zeros also make a number of bytes that a machine can count."""


@dataclass(frozen=True)
class TensorHeader:
    """What stands in front of a tensor's values: Paddle's dtype number and the shape."""

    dtype: int
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * int(numpy_dtype(self.dtype).itemsize)


class TensorReader:
    """Reads tensors from a file, each checked against what is left of it.

    Nothing is allocated before the file is known to be long enough.  Raises ModelFormatError naming
    the file and the variable that was being read; OSError goes through.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = open_input(path)
        self._left = os.fstat(self._stream.fileno()).st_size

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def header(self, name: str) -> TensorHeader:
        """Read up to the values of the next tensor, which is taken for the variable `name`."""
        version, levels = _LOD_HEAD.unpack(self._take(_LOD_HEAD.size, name))
        if version != 0:
            raise self._error(name, f"starts with version {version} where Paddle writes 0")
        if levels != 0:
            raise self._error(name, f"has {levels} LoD levels, which weights do not have")
        version, size = _TENSOR_HEAD.unpack(self._take(_TENSOR_HEAD.size, name))
        if version != 0:
            raise self._error(name, f"has tensor version {version} where Paddle writes 0")
        if not 0 < size <= _MAX_DESCRIPTION:
            raise self._error(name, f"has a description of {size} bytes")
        header = self._description(self._take(size, name), name)
        if header.nbytes > self._left:
            raise self._error(
                name, f"needs {header.nbytes} bytes for shape {list(header.shape)}, but {self._left} are left"
            )
        without_zeros = TensorHeader(header.dtype, tuple(size or 1 for size in header.shape))
        if len(header.shape) > _MOST_DIMENSIONS or without_zeros.nbytes > sys.maxsize:
            raise self._error(name, f"has the shape {list(header.shape)}, which no array has")
        return header

    def _description(self, data: bytes, name: str) -> TensorHeader:
        proto = TensorProto()
        try:
            proto.ParseFromString(data)
        except DecodeError:
            raise self._error(name, "has a description that does not parse") from None
        if not proto.IsInitialized():
            raise self._error(name, "has a description without a data type")
        if any(size < 0 for size in proto.dims):
            raise self._error(name, f"has the negative size {min(proto.dims)} in its shape")
        try:
            numpy_dtype(proto.data_type)
        except ModelFormatError as error:
            raise self._error(name, f"cannot be read: {error}") from error
        return TensorHeader(proto.data_type, tuple(proto.dims))

    def value(self, name: str, header: TensorHeader) -> np.ndarray:
        """The values after `header`, as an array that nobody else holds."""
        flat = np.empty(prod(header.shape), numpy_dtype(header.dtype))
        raw = flat.view(np.uint8)
        if self._stream.readinto(raw.data) != raw.size:
            raise self._error(name, "is cut off, the file having shrunk while it was read")
        self._left -= raw.size
        if flat.dtype == np.bool_ and raw.size and raw.max() > 1:
            raise self._error(name, f"is boolean but holds the byte {raw.max()}")
        return flat.reshape(header.shape)

    def skip(self, header: TensorHeader) -> None:
        """Go past the values after `header`."""
        self._stream.seek(header.nbytes, os.SEEK_CUR)
        self._left -= header.nbytes

    def finish(self) -> None:
        """Raises ModelFormatError when something follows the last tensor."""
        if self._left:
            raise ModelFormatError(
                f"{self.path}: {self._left} bytes follow the last variable that the program declares,"
                " so the file belongs to another program or is damaged."
            )

    def _take(self, size: int, name: str) -> bytes:
        if size > self._left:
            raise self._error(name, "is missing or cut off: the file ends before it does")
        data = self._stream.read(size)
        if len(data) != size:
            raise self._error(name, "is cut off, the file having shrunk while it was read")
        self._left -= size
        return data

    def _error(self, name: str, what: str) -> ModelFormatError:
        return ModelFormatError(
            f"{self.path}: the value of variable {name!r} {what};"
            " the file is damaged or belongs to another program."
        )


def write_tensor(stream: BinaryIO, array: np.ndarray, dtype: int) -> None:
    """Append one tensor; `dtype` is Paddle's number for the dtype of `array`."""
    description = TensorProto(data_type=int(dtype), dims=array.shape).SerializeToString()
    stream.write(_LOD_HEAD.pack(0, 0))
    stream.write(_TENSOR_HEAD.pack(0, len(description)))
    stream.write(description)
    stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
