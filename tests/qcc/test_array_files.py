"""numpy's files as they come from anybody."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qcc.array_files import ArrayArchive, ArraysError, load_arrays

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def npy(array: np.ndarray = ARRAY) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    found = load_arrays(io.BytesIO(npy(np.asfortranarray(ARRAY))))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, ARRAY)
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, a=ARRAY, scalar=np.float64(3), empty=np.zeros((0, 4), bool))
        archive = load_arrays(io.BytesIO(stream.getvalue()))
        assert isinstance(archive, ArrayArchive)
        assert list(archive) == ["a", "scalar", "empty"]
        np.testing.assert_array_equal(archive["a"], ARRAY)
        assert (archive["scalar"].shape, archive["empty"].shape) == ((), (0, 4))


def test_a_damaged_member_that_nobody_asks_for_does_no_harm() -> None:
    archive = load_arrays(io.BytesIO(npz(a=npy(), b=b"rubbish")))
    assert isinstance(archive, ArrayArchive)
    np.testing.assert_array_equal(archive["a"], ARRAY)
    with pytest.raises(ArraysError):
        archive["b"]


HEADER = b"\x93NUMPY\x01\x00v\x00"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "EOF|magic"),
        (b"hello, this is no array", "magic"),
        (b"\x93NUMPY\x09\x00" + b" " * 200, "has version 9.0"),
        (npy()[:-4], r"declares float32\[2, 3\], 24 bytes, and holds 20"),
        (npy() + b"1234", "holds 28"),
        (npy().replace(b"(2, 3)", b"(9**9,)"[:6]), "."),
        (npy().replace(b"(2, 3)", b"(-2,3)"), "."),
        (npy().replace(b"(2, 3), }", b"(22222222222222222222222,)}"[:9]), "."),
        (HEADER + b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b" " * 66 + b"\n", "."),
        (HEADER + b"(" * 117 + b"\n", "."),
        (HEADER + b"\0" * 118, "."),
        (npy(np.array([{}], object)), "Python objects"),
        (b"PK\x03\x04rubbish", "."),
        (npz(a=npy())[:-30], "."),
    ],
)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(ArraysError, match=message):
        load_arrays(io.BytesIO(data))


def test_members_do_not_grow_beyond_measure() -> None:
    zeros = np.zeros(80 << 20, np.uint8)
    archive = load_arrays(io.BytesIO(npz(a=npy(zeros))))
    assert isinstance(archive, ArrayArchive)
    with pytest.raises(ArraysError, match=r"'a' would grow from [\d,]+ to 83,886,208 bytes"):
        archive["a"]


def test_damaged_data(tmp_path: Path) -> None:
    data = bytearray(npz(a=npy(np.random.default_rng(0).standard_normal(1000))))
    for position in range(60, 400, 20):
        data[position] ^= 0x55
    archive = load_arrays(io.BytesIO(bytes(data)))
    assert isinstance(archive, ArrayArchive)
    with pytest.raises(ArraysError):
        archive["a"]
