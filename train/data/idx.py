"""Reader of IDX files, the format of MNIST and Fashion-MNIST (yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qcc.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes, compressed when its name ends in `.gz`.

    Returns a uint8 array of `ndim` dimensions. Raises DataError that names the file when it is missing,
    damaged, of another format or of another rank.
    """
    content = _read_bytes(path)
    if len(content) < 4 or content[0] != 0 or content[1] != 0:
        raise DataError(f"{path} is not an IDX file: it must begin with two zero bytes.")
    if content[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path} holds IDX type 0x{content[2]:02x}; only unsigned bytes (0x08) can be read.")
    if content[3] != ndim:
        raise DataError(f"{path} holds an array of {content[3]} dimensions where {ndim} are expected.")
    header = 4 + 4 * ndim
    if len(content) < header:
        raise DataError(f"{path} ends inside its header, after {len(content)} bytes.")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", ndim, offset=4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise DataError(f"{path} has {len(content)} bytes; its header {list(shape)} asks for {expected}.")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                return stream.read()
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
