"""Reader of IDX files, the format of MNIST and Fashion-MNIST (yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qcc.errors import DataError
from qcc.inputs import open_input, why

_UNSIGNED_BYTE = 0x08
# What grows by more than that, and beyond what is little, was made to fill the memory.
_GROWTH, _LITTLE = 100, 64 << 20


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes, compressed when its name ends in `.gz`.

    Returns a uint8 array of `ndim` dimensions. Raises DataError that names the file when it is missing,
    damaged, of another format or of another rank.
    """
    try:
        with open_input(path) as file:
            size = os.fstat(file.fileno()).st_size
            if path.suffix != ".gz":
                return _read(path, file, ndim, size)
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(path, stream, ndim, max(_GROWTH * size, _LITTLE))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {why(error)}.") from error


def _read(path: Path, stream: BufferedIOBase, ndim: int, most: int) -> NDArray[np.uint8]:
    """The array in a stream that can have `most` bytes."""
    length = 4 + 4 * ndim
    header = stream.read(length)
    if len(header) < 4 or header[0] != 0 or header[1] != 0:
        raise DataError(f"{path} is not an IDX file: it must begin with two zero bytes.")
    if header[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path} holds IDX type 0x{header[2]:02x}; only unsigned bytes (0x08) can be read.")
    if header[3] != ndim:
        raise DataError(f"{path} holds an array of {header[3]} dimensions where {ndim} are expected.")
    if len(header) < length:
        raise DataError(f"{path} ends inside its header, after {len(header)} bytes.")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", ndim, offset=4))
    expected = math.prod(shape)
    content = stream.read(min(expected, most) + 1)
    if len(content) != expected:
        held = "more" if len(content) > expected else f"{length + len(content)} bytes"
        raise DataError(f"{path} has {held}; its header {list(shape)} asks for {length + expected}.")
    return np.frombuffer(content, np.uint8).reshape(shape)
