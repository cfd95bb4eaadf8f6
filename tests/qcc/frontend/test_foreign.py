"""Files that are no models of Paddle: each is called what it is, with the way to a model."""

from __future__ import annotations

from pathlib import Path

import pytest

import qcc
from qcc.errors import ModelFormatError
from qcc.frontend.foreign import MODEL


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("notes.txt", b"words", rf"notes.txt is text, and no model: {MODEL}\.$"),
        ("umlauts", ("\n" + 2000 * "ä").encode(), r"umlauts is text, and no model"),
        ("nothing", b"", r"nothing is empty, and no model: a model is what Paddle saves"),
        ("c.yml", b"a: 1", r"c.yml is a configuration, and no model \(`-c "),
        ("net.pt", b"PK\x03\x04", r"net.pt is a file of PyTorch.*X2Paddle"),
        ("net.onnx", b"\x08\x08", r"net.onnx is an ONNX file.*`qcc bench MODEL net.onnx` times it"),
        ("net.nb", b"\x02\0", r"net.nb is a Paddle Lite file, which is not read back: give the Paddle model"),
        ("net.tflite", b"", r"net.tflite is a file of TensorFlow Lite.*tf2onnx"),
        ("renamed.bin", b"\x1c\0\0\0TFL3", r"renamed.bin is a file of TensorFlow Lite"),
        ("net.tar", b"inference", r"net.tar is an archive: unpack it, and give the folder"),
        ("download", b"PK\x03\x04\xff", r"download is an archive: unpack it"),
        (
            "net.pdiparams",
            b"\0\0\0\0",
            r"is the parameters of a model, without its program: give the .pdmodel",
        ),
        (
            "photo.jpg",
            b"\xff\xd8\xff",
            r"photo.jpg is not a Paddle program, or is truncated or damaged: a model",
        ),
    ],
)
def test_what_a_file_is(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    for attempt in (lambda: qcc.load(tmp_path / name), lambda: qcc.load(tmp_path, model_filename=name)):
        with pytest.raises(ModelFormatError, match=words):
            attempt()


def test_what_a_folder_holds_instead(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "net.tflite").write_bytes(b"")
    with pytest.raises(
        ModelFormatError, match=r"holds no Paddle program .*; net.tflite is a file of TensorFlow"
    ):
        qcc.load(tmp_path)
