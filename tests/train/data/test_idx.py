from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from qcc.errors import DataError
from qcc.train.data.idx import read_idx

# Two images of 1 x 3 pixels, as the format's description lays them out.
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255])


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_reads_plain_and_compressed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(CONTENT) if name.endswith(".gz") else CONTENT)
    np.testing.assert_array_equal(read_idx(path, 3), [[[1, 2, 3]], [[4, 5, 255]]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"PNG\0", "is not an IDX file"),
        (CONTENT[:2] + b"\x0d" + CONTENT[3:], "holds IDX type 0x0d"),
        (CONTENT[:3] + b"\x01" + CONTENT[4:], "an array of 1 dimensions where 3"),
        (CONTENT[:10], "ends inside its header, after 10 bytes"),
        (CONTENT[:-1], r"has 21 bytes; its header \[2, 1, 3\] asks for 22"),
        (CONTENT + b"x", r"has more; its header \[2, 1, 3\] asks for 22"),
        (CONTENT[:4] + b"\xff" * 12, "has 16 bytes; its header .* asks for 7922816"),
    ],
)
def test_refuses_damaged_files_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"images.*{message}"):
        read_idx(path, 3)


def test_a_packed_file_does_not_grow_beyond_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcc.train.data.idx._LITTLE", 1000)
    path, count = tmp_path / "labels.gz", 1_000_000
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + count.to_bytes(4, "big") + bytes(count)))
    with pytest.raises(DataError, match=r"has \d{6} bytes; its header .* asks for 1000008"):
        read_idx(path, 1)


def test_a_pipe_is_no_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "images")
    with pytest.raises(DataError, match=r"images cannot be read: it is no regular file\.$"):
        read_idx(tmp_path / "images", 3)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(CONTENT)[:-6]], ids=["other", "cut off"])
def test_refuses_damaged_compression(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.gz cannot be read"):
        read_idx(path, 3)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images does not exist"):
        read_idx(tmp_path / "images", 3)
