"""Batches of data in numpy's files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from qcc.array_files import ArraysError, load_arrays
from qcc.calibrate.data.batches import Batches
from qcc.errors import DataError
from qcc.inputs import open_input, why
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
    arrays = _load(file, model.feeds)
    return {name: fitting(model, name, arrays[name], str(file)) for name in model.feeds}


def _load(file: Path, feeds: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """The arrays of these names in a .npz file, or the array of a .npy file."""
    try:
        with open_input(file) as stream:
            arrays = load_arrays(stream)
            if isinstance(arrays, np.ndarray):
                if len(feeds) != 1:
                    raise DataError(
                        f"{file} holds one array, and the model is fed by {list(feeds)}: use .npz files."
                    )
                return {feeds[0]: arrays}
            missing = [name for name in feeds if name not in arrays]
            if missing:
                raise DataError(f"{file} has no array {missing[0]!r}; it has {list(arrays)}.")
            return {name: arrays[name] for name in feeds}
    except (OSError, ArraysError) as error:
        raise DataError(f"{file} cannot be read as numpy's arrays: {why(error)}.") from error


def fitting(model: Model, name: str, array: np.ndarray, source: str) -> np.ndarray:
    """The array as the model's feed `name` takes it: one that lacks the batch dimension becomes a batch of
    one.

    Raises DataError, with the source in front, when its shape or dtype is another, or it is empty.
    """
    if not isinstance(array, np.ndarray):
        raise DataError(
            f"{source}: {name!r} is a {type(array).__name__}, where an array of numpy is wanted: give it"
            " `numpy.asarray(...)`."
        )
    var = model.graph.versions(name)[0]
    if array.ndim == len(var.shape) - 1:
        array = array[np.newaxis]
    dtype = numpy_dtype(var.dtype)
    fits = array.ndim == len(var.shape) and all(
        declared in (-1, size) for declared, size in zip(var.shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        right = f"`.astype({dtype.name!r})`" if fits else "these dimensions, of which -1 is any number"
        raise DataError(
            f"{source}: {name!r} is {array.dtype}{list(array.shape)}, and the model is fed with"
            f" {dtype}{list(var.shape)}: give it {right}."
        )
    if not array.size:
        raise DataError(
            f"{source}: {name!r} is empty, {array.dtype}{list(array.shape)}; it must hold a sample."
        )
    return array
