"""Batches of data in numpy's files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from qcc.calibrate.data.batches import Batches
from qcc.errors import DataError
from qcc.ir.dtypes import numpy_dtype
from qcc.model import Model

ARRAY_SUFFIXES = (".npy", ".npz")


def has_arrays(path: Path) -> bool:
    """True for a file of arrays, or a folder that holds one."""
    if path.is_dir():
        return any(file.suffix in ARRAY_SUFFIXES for file in path.iterdir())
    return path.suffix in ARRAY_SUFFIXES


def read_batches(model: Model, path: Path) -> Batches[Path]:
    """The batches in a file, or in the files of a folder in the order of their names.

    A `.npz` file holds one batch: an array for each feed, by its name. A `.npy` file does for models with
    one feed. An array that lacks the batch dimension is a batch of one.

    Reading one raises DataError naming the file and what is wrong with it.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in ARRAY_SUFFIXES)
    return Batches(files, partial(_read, model))


def _read(model: Model, file: Path) -> dict[str, np.ndarray]:
    arrays = _load(file)
    if isinstance(arrays, np.ndarray):
        if len(model.feeds) != 1:
            raise DataError(
                f"{file} holds one array, and the model is fed by {list(model.feeds)}: use .npz files."
            )
        arrays = {model.feeds[0]: arrays}
    missing = [name for name in model.feeds if name not in arrays]
    if missing:
        raise DataError(f"{file} has no array {missing[0]!r}; it has {list(arrays)}.")
    return {name: fitting(model, name, arrays[name], str(file)) for name in model.feeds}


def _load(file: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy file, or those of a .npz file by name; the content decides which it is."""
    try:
        with file.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{file} cannot be read as numpy's arrays: {error}.") from error


def fitting(model: Model, name: str, array: np.ndarray, source: str) -> np.ndarray:
    """The array as the model's feed `name` takes it: one that lacks the batch dimension becomes a batch of
    one.

    Raises DataError, with the source in front, when its shape or dtype is another, or it is empty.
    """
    var = model.graph.versions(name)[0]
    if array.ndim == len(var.shape) - 1:
        array = array[np.newaxis]
    dtype = numpy_dtype(var.dtype)
    fits = array.ndim == len(var.shape) and all(
        declared in (-1, size) for declared, size in zip(var.shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        raise DataError(
            f"{source}: {name!r} is {array.dtype}{list(array.shape)}, and the model is fed with"
            f" {dtype}{list(var.shape)}."
        )
    if not array.size:
        raise DataError(
            f"{source}: {name!r} is empty, {array.dtype}{list(array.shape)}; it must hold a sample."
        )
    return array
