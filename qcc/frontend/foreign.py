"""Files that are no programs of Paddle: what each is, and how to come to a model from there."""

from __future__ import annotations

from pathlib import Path

from qcc.errors import ModelFormatError
from qcc.frontend.suffixes import LITE_SUFFIX, ONNX_SUFFIX, PADDLE3_SUFFIX, PARAMS_SUFFIX, PROGRAM_SUFFIX
from qcc.inputs import open_input

MODEL = (
    f"a model is what Paddle saves for inference: a {PROGRAM_SUFFIX} with its {PARAMS_SUFFIX}, a"
    f" {PADDLE3_SUFFIX} of Paddle 3, or `__model__`; give the file, or the folder with it"
)
"""What a model is, in a clause."""

_X2PADDLE = "X2Paddle (`pip install x2paddle`) makes a Paddle model of it"
_MADE_OF = "which is not read back: give the Paddle model that it was made of"
_UNPACK = f"an archive: unpack it, and give the folder; {MODEL}"

_BY_SUFFIX = {
    LITE_SUFFIX: f"a Paddle Lite file, {_MADE_OF}",
    ONNX_SUFFIX: "an ONNX file, which is not read back: `qcc bench MODEL {name}` times it, `qcc compare MODEL"
    " {name} --data PHOTOS` compares it; for all else give the Paddle model that it was made of, or, where"
    f" there is none, {_X2PADDLE}",
    **dict.fromkeys(
        (".pt", ".pth", ".ckpt"), f"a file of PyTorch, which qcc does not read: {_X2PADDLE}, by way of ONNX"
    ),
    **dict.fromkeys((".pb", ".h5", ".keras"), f"a file of TensorFlow, which qcc does not read: {_X2PADDLE}"),
    ".tflite": "a file of TensorFlow Lite, which qcc does not read: tf2onnx makes an ONNX file of it, and"
    " X2Paddle a Paddle model of that",
    **dict.fromkeys((".caffemodel", ".prototxt"), f"a file of Caffe, which qcc does not read: {_X2PADDLE}"),
    ".xml": f"a file of OpenVINO, {_MADE_OF}",
    **dict.fromkeys((".engine", ".plan", ".trt"), f"a file of TensorRT, {_MADE_OF}"),
    ".safetensors": f"weights without their network; {MODEL}",
    PARAMS_SUFFIX: f"the parameters of a model, without its program: give the {PROGRAM_SUFFIX} or"
    f" {PADDLE3_SUFFIX} beside, or the folder",
    **dict.fromkeys((".tar", ".tgz", ".gz", ".zip", ".7z"), _UNPACK),
    **dict.fromkeys((".npz", ".npy"), f"a file of arrays, which is data; {MODEL}"),
}
_BY_CONTENT = (
    (4, b"TFL3", ".tflite"),
    (0, b"\x89HDF\r\n\x1a\n", ".h5"),
    (0, b"PK\x03\x04", ".zip"),
    (0, b"\x1f\x8b", ".gz"),
    (257, b"ustar", ".tar"),
)
_CONFIGS = (".yml", ".yaml")
# `blocks`, the first field of a program, as a length-delimited message.
FIRST_BYTE = b"\n"
HEAD = 512


def refuse_foreign(path: Path) -> None:
    """Raise ModelFormatError for a file that is known to be something else than a program, before all of it
    is read; OSError where it cannot be read."""
    with open_input(path) as stream:
        head = stream.read(HEAD)
    if head[:1] != FIRST_BYTE and (not head or _what(path, head) is not None):
        raise foreign(path, head)


def foreign(path: Path, head: bytes) -> ModelFormatError:
    """What to say of a file that is no program and begins with `head`: what it is, as its name or its content
    tells, and the way to a model."""
    known = _what(path, head)
    if known is not None:
        return ModelFormatError(f"{path} is {known}.")
    if path.suffix in _CONFIGS:
        return ModelFormatError(
            f"{path} is a configuration, and no model (`-c {path}` gives it to what takes one): {MODEL}."
        )
    if path.suffix != PROGRAM_SUFFIX and _is_text(head):
        return ModelFormatError(f"{path} is {'text' if head else 'empty'}, and no model: {MODEL}.")
    return ModelFormatError(f"{path} is not a Paddle program, or is truncated or damaged: {MODEL}.")


def what_by_name(path: Path) -> str | None:
    """What a file that is no program is, and the way to a model, in a clause; None where its name does not
    tell."""
    known = _BY_SUFFIX.get(path.suffix.lower())
    return None if known is None else known.format(name=path.name)


def _what(path: Path, head: bytes) -> str | None:
    found = (kind for place, mark, kind in _BY_CONTENT if head[place : place + len(mark)] == mark)
    return what_by_name(path) or _BY_SUFFIX.get(next(found, ""))


def _is_text(head: bytes) -> bool:
    words = head.decode(errors="ignore")
    # In the middle of a text a character may be cut in two.
    cut = 3 if len(head) == HEAD else 0
    return len(head) - len(words.encode()) <= cut and all(one.isprintable() or one.isspace() for one in words)
