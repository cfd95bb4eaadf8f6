"""numpy's files, `.npy` and `.npz`, as they come from anybody: nothing is unpickled, and nothing grows in
memory beyond what the file's size allows."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import IO, BinaryIO

import numpy as np

_ZIP = b"PK"
_MEMBER_SUFFIX = ".npy"
# What savez_compressed makes of constant arrays is a thousand times smaller than they; of those that hold
# data, less than ten times. Small ones may inflate as they like.
_INFLATION, _SMALL = 100, 64 << 20


def write_arrays(stream: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz archive; equal arrays give equal bytes, since no time of day goes into it.

    Raises OSError when the stream does, and no more: what `np.savez` leaves behind then complains later.
    """
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                value = np.asarray(arrays[name])
                np.lib.format.write_array(member, value, allow_pickle=False)  # type: ignore[no-untyped-call]


class ArraysError(ValueError):
    """A file is not as numpy writes it; the message says why, without the file's name."""


class ArrayArchive(Mapping[str, np.ndarray]):
    """The arrays of a `.npz` file by name, each read when it is asked for.  Reading raises ArraysError."""

    def __init__(self, stream: BinaryIO) -> None:
        with _as_arrays_error():
            self._archive = zipfile.ZipFile(stream)
        members = [info for info in self._archive.infolist() if info.filename.endswith(_MEMBER_SUFFIX)]
        self._members = {info.filename.removesuffix(_MEMBER_SUFFIX): info for info in members}

    def __getitem__(self, name: str) -> np.ndarray:
        info = self._members[name]
        if info.file_size > max(_INFLATION * info.compress_size, _SMALL):
            raise ArraysError(f"{name!r} would grow from {info.compress_size:,} to {info.file_size:,} bytes")
        with _as_arrays_error(), self._archive.open(info) as stream:
            return _array(stream, info.file_size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def load_arrays(stream: BinaryIO) -> np.ndarray | ArrayArchive:
    """The array of a `.npy` file, or those of a `.npz` file; the content decides which it is.

    Raises ArraysError; so does reading from an archive, for which the stream must be open.
    """
    is_archive = stream.read(len(_ZIP)) == _ZIP
    size = stream.seek(0, 2)
    stream.seek(0)
    if is_archive:
        return ArrayArchive(stream)
    with _as_arrays_error():
        return _array(stream, size)


def _array(stream: object, size: int) -> np.ndarray:
    """One array, whose declared size must be that of the file, `size` bytes with its header."""
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ArraysError(f"it has version {version[0]}.{version[1]} of numpy's format")
    shape, _, dtype = read_header(stream)  # type: ignore[no-untyped-call]
    if dtype.hasobject:
        raise ArraysError("it holds Python objects, which are not read, since that can run any code")
    held = size - stream.tell()  # type: ignore[attr-defined]
    wanted = prod(int(length) for length in shape) * dtype.itemsize
    if wanted != held:
        raise ArraysError(f"it declares {dtype}{list(shape)}, {wanted:,} bytes, and holds {held:,}")
    stream.seek(0)  # type: ignore[attr-defined]
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))  # type: ignore[no-untyped-call]


@contextmanager
def _as_arrays_error() -> Iterator[None]:
    """All that numpy and zipfile raise for damaged files."""
    try:
        yield
    except ArraysError:
        raise
    except (
        ValueError,
        EOFError,
        KeyError,
        TypeError,
        SyntaxError,
        RecursionError,
        MemoryError,
        OverflowError,
        NotImplementedError,
        RuntimeError,
        struct.error,
        tokenize.TokenError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise ArraysError(str(error) or type(error).__name__) from error
