"""What is measured: the models that a command line names, and in which form each is."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from qcc.backends import fluid
from qcc.backends.lite.describe import Tensor, describe
from qcc.backends.lite.file import is_naive_buffer, read_naive_buffer
from qcc.backends.samples import Feed, feeds_of
from qcc.errors import ModelFormatError
from qcc.files import finish_around
from qcc.frontend import load
from qcc.frontend.layout import find_program
from qcc.frontend.saved import model_files
from qcc.frontend.suffixes import LITE_SUFFIX, ONNX_SUFFIX, PARAMS_SUFFIX, PROGRAM_SUFFIX
from qcc.inputs import open_input, read_input, why
from qcc.model import Model
from qcc.quantization import state, stored_form
from qcc.record import FILE_NAME, RECORD_SUFFIX, read_record, record_beside
from qcc.targets.lite import LITE_TARGETS
from qcc.targets.table import WITH_VNNI, known_targets

FORMS = ("float", "qdq")
"""The folders of `qcc quantize` and `qcc freeze` that engines run; what is in int8/ is for storing."""

_LARGEST = 1 << 26
# Some of these stand in every quantized file of ONNX.
_ONNX_INTEGERS = (b"DequantizeLinear", b"QLinear", b"ConvInteger", b"MatMulInteger")


@dataclass(frozen=True)
class Subject:
    """A model as it stands in files.

    `home`: what the command line named, this or a folder of forms; `shown`: how the user calls it. `form`:
    "float", or one of `qcc.quantization.FORMS`; of an ONNX file "float" or "int8". `original`: the user's
    file, the program; `size`: bytes of all of them. `program` and `params`: what an engine opens.
    `feeds`: what it is fed with; of an ONNX file nothing that is known. `target`: the engine that it was
    written for, if any. `model`: of a Paddle model, what it is.
    """

    home: Path
    shown: str
    kind: Literal["paddle", "lite", "onnx"]
    form: str
    original: Path
    size: int
    program: Path
    params: Path | None = None
    feeds: tuple[Feed, ...] = ()
    target: str | None = None
    model: Model | None = None

    @property
    def is_float(self) -> bool:
        return self.form == "float"

    @property
    def files(self) -> list[Path]:
        """The user's files that it is read from, with the records, where there are any."""
        of_home = self.home / FILE_NAME
        if self.kind == "paddle":
            return [*model_files(Path(self.shown)), of_home]
        return [self.original, self.original.with_name(self.original.name + RECORD_SUFFIX), of_home]

    @property
    def label(self) -> str:
        return self.form if self.target is None else f"{self.form} for {self.target}"


def find_subjects(paths: Iterable[Path], scratch: Path) -> list[Subject]:
    """The subjects that paths name. A folder that `qcc quantize` or `qcc freeze` has written stands for the
    forms in it.

    Models in other layouts than `.pdmodel` and `.pdiparams` are written to `scratch` in this one.
    Raises ModelFormatError.
    """
    places = [(home, path) for home in paths for path in _places(home)]
    return [_subject(home, path, scratch / str(number)) for number, (home, path) in enumerate(places)]


def _places(path: Path) -> list[Path]:
    """The models in a folder, or the one that a path is itself."""
    finish_around(path)
    if not path.is_dir():
        return [path]
    found = []
    with suppress(ModelFormatError):
        find_program(path, None)
        found.append(path)
    found += [path / form for form in FORMS if (path / form).is_dir()]
    left = left_over(path)
    # Of a folder that holds no model, loading says so.
    return [one for one in (*found, *_exported(path)) if one not in left] or [path]


def left_over(folder: Path) -> list[Path]:
    """The forms in a folder, and the files for engines in it, that `qcc quantize` has written there before
    its last run, which wrote none in their place."""
    try:
        record = json.loads(read_input(folder / FILE_NAME, _LARGEST))
    except (OSError, ValueError, RecursionError):
        return []
    written = record.get("sizes") if isinstance(record, dict) else None
    if not isinstance(written, dict):
        return []
    names = {*known_targets(), *LITE_TARGETS}
    targets = (names | {name + WITH_VNNI for name in names}) - written.keys()
    forms = [folder / form for form in FORMS if form not in written and (folder / form).is_dir()]
    return [*forms, *(path for path in _exported(folder) if path.parent.name in targets)]


def _exported(folder: Path) -> Iterator[Path]:
    """Files of other runtimes in a folder, and in the folders in it."""
    for suffix in (LITE_SUFFIX, ONNX_SUFFIX):
        yield from sorted([*folder.glob(f"*{suffix}"), *folder.glob(f"*/*{suffix}")])


def _subject(home: Path, path: Path, scratch: Path) -> Subject:
    if path.suffix == ONNX_SUFFIX:
        return _onnx(home, path)
    if path.suffix == LITE_SUFFIX or (path.is_file() and is_naive_buffer(path)):
        return _lite(home, path)
    model = load(path)
    original, *others = model_files(path)
    program, params = original, [file for file in others if file.name != FILE_NAME]
    size = sum(file.stat().st_size for file in (program, *params))
    record = read_record([program, *params])
    target = None if record is None else record.target
    if program.suffix != PROGRAM_SUFFIX or params != [program.with_suffix(PARAMS_SUFFIX)]:
        saved = fluid.save(model, scratch, stored_form(model.graph), None, None, False).files
        program, *params = (file for file in saved if file.name != FILE_NAME)
    return Subject(
        home,
        str(path),
        "paddle",
        state(model.graph),
        original,
        size,
        program,
        params[0] if params else None,
        tuple(feeds_of(model)),
        target,
        model,
    )


def _lite(home: Path, path: Path) -> Subject:
    record = record_beside(path)
    found = describe(read_naive_buffer(path))
    form = record.state if record is not None else "int8" if found.int8_ops else "float"
    feeds = tuple(Feed(feed.name, feed.shape, _dtype(feed, path)) for feed in found.feeds)
    return Subject(home, str(path), "lite", form, path, path.stat().st_size, path, feeds=feeds)


def _dtype(feed: Tensor, path: Path) -> np.dtype:
    try:
        return np.dtype(feed.dtype)
    except TypeError:
        raise ModelFormatError(
            f"{path} is damaged: its feed {feed.name!r} is declared {feed.dtype}, where a type of elements"
            " belongs."
        ) from None


def _onnx(home: Path, path: Path) -> Subject:
    try:
        with open_input(path) as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            quantized = any(data.find(mark) >= 0 for mark in _ONNX_INTEGERS)
            size = len(data)
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read: {why(error)}.") from error
    record = record_beside(path)
    target = None if record is None else record.target
    form = "int8" if quantized else "float"
    # What is float is the same for every engine.
    return Subject(home, str(path), "onnx", form, path, size, path, target=target if quantized else None)
