"""`selftest.txt`: what is run in a self-test, on which arrays, and how far an output may be off.

One fact a line, its fields separated by tabs, so that the program on the device needs no parser:

    qcc-selftest  1
    file    model.nb                                    loaded once; its runs follow in order
    run
    input   image       float32  1,3,64,64  0.bin
    output  save_infer  float32  1,10       1.bin  0.001  0.0001  0.001

Arrays are raw little-endian files. The last three fields of an output are limits: for floats the largest and
the mean difference, relative to the range of the expected values, and how far the ratio of the norms is from
1; for integers the largest difference, the share of elements that differ, and 0. A limit of `inf` says that
the output need only be finite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qcc.backends.agreement import Distance
from qcc.errors import ModelFormatError

NAME = "selftest.txt"
WHOLE, HEADS, LAYERS = "model.nb", "heads.nb", "layers.nb"
_HEADER = "qcc-selftest\t1"
# What would break a line, a field, or a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Expected:
    """An output: `limit` as `manifest` says."""

    name: str
    array: np.ndarray
    limit: Distance


@dataclass(frozen=True)
class Run:
    """Inputs by position, as the file's feeds, and the outputs by position."""

    inputs: tuple[tuple[str, np.ndarray], ...]
    outputs: tuple[Expected, ...]


@dataclass(frozen=True)
class TestedFile:
    """A naive buffer of the folder, and its runs, in order, by one predictor."""

    name: str
    runs: list[Run] = field(default_factory=list)


class ArrayFiles:
    """Writes arrays into a folder; equal ones, such as one op's output and the next one's input, once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._known.values())

    def add(self, array: np.ndarray) -> str:
        """The name of the file that holds the array."""
        data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes()
        key = (array.dtype.name, array.shape, data)
        if key not in self._known:
            self._known[key] = f"{len(self._known)}.bin"
            (self._folder / self._known[key]).write_bytes(data)
        return self._known[key]


def write_manifest(folder: Path, files: list[TestedFile]) -> list[str]:
    """Write the manifest and the arrays into a folder; the names of these files."""
    arrays = ArrayFiles(folder)
    lines = [_HEADER, *(line for file in files for line in _lines(file, arrays))]
    (folder / NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*arrays.names, NAME]


def _lines(file: TestedFile, arrays: ArrayFiles) -> Iterator[str]:
    yield f"file\t{file.name}"
    for run in file.runs:
        yield "run"
        for name, array in run.inputs:
            yield "\t".join(["input", *_described(name, array), arrays.add(array)])
        for one in run.outputs:
            limits = [f"{limit:.3g}" for limit in (one.limit.largest, one.limit.mean, one.limit.norms)]
            yield "\t".join(["output", *_described(one.name, one.array), arrays.add(one.array), *limits])


def _described(name: str, array: np.ndarray) -> tuple[str, str, str]:
    return _UNPRINTABLE.sub("?", name), array.dtype.name, ",".join(map(str, array.shape))


def read_manifest(folder: Path) -> list[TestedFile]:
    """The files of a folder that `write_manifest` has written.  Raises ModelFormatError."""
    path = folder / NAME
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        if header != _HEADER:
            raise ModelFormatError(f"{path} begins with {header[:40]!r}, and a self-test with {_HEADER!r}.")
        return _files(folder, lines)
    except (OSError, UnicodeDecodeError, ValueError, IndexError, TypeError) as error:
        raise ModelFormatError(f"{path} is no self-test that qcc has written: {error}.") from error


def _files(folder: Path, lines: list[str]) -> list[TestedFile]:
    files: list[TestedFile] = []
    inputs: list[tuple[str, np.ndarray]] = []
    outputs: list[Expected] = []

    def end_run() -> None:
        if inputs or outputs:
            files[-1].runs.append(Run(tuple(inputs), tuple(outputs)))
            inputs.clear()
            outputs.clear()

    for line in lines:
        kind, *fields = line.split("\t")
        if kind in ("file", "run"):
            end_run()
            if kind == "file":
                files.append(TestedFile(_inside(fields[0])))
            continue
        name, dtype, shape, file, *limits = fields
        size = tuple(int(length) for length in shape.split(",") if length)
        array = np.fromfile(folder / _inside(file), dtype).reshape(size)
        if kind == "input":
            inputs.append((name, array))
        else:
            outputs.append(Expected(name, array, Distance(*map(float, limits))))
    end_run()
    return files


def _inside(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no file of the folder")
    return name
