"""Measuring a model's activations on data, fixing its scales by them, and reading that data from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from qcc.backends.predictor import PADDLE_FAILURES, reason
from qcc.dtypes import numpy_dtype
from qcc.errors import DataError
from qcc.model import Model, Runner
from qcc.numerics import SCALE_FLOOR
from qcc.passes.manager import PassManager
from qcc.passes.static_scales import StaticScales, dynamic_ops

ARRAY_SUFFIXES = (".npy", ".npz")

Batch = Mapping[str, np.ndarray]


def largest_magnitudes(model: Model, names: Sequence[str], batches: Iterable[Batch]) -> dict[str, float]:
    """The largest |x| that each of some variables takes on the data, at least `SCALE_FLOOR`.

    A batch is an array for each feed, by its name; further arrays are not used.

    Raises DataError when there is no batch, the model does not run on one, or a value is not finite.
    """
    runner = Runner(model)
    largest = np.full(len(names), SCALE_FLOOR, np.float32)
    count = 0
    for count, batch in enumerate(batches, 1):
        found = _run(runner, model, names, batch, count)
        magnitudes = [np.max(np.abs(value), initial=0) for value in found]
        # The maximum of anything and a NaN is a NaN.
        largest = np.maximum(largest, np.array(magnitudes, np.float32))
        if not np.isfinite(largest).all():
            name = names[int(np.argmin(np.isfinite(largest)))]
            raise DataError(f"{name!r} is not finite on batch {count} of the data, so it has no scale.")
    if not count:
        raise DataError("there is no data to measure scales on.")
    return {name: float(value) for name, value in zip(names, largest, strict=True)}


def _run(
    runner: Runner, model: Model, names: Sequence[str], batch: Batch, number: int
) -> Sequence[np.ndarray]:
    missing = [name for name in model.feeds if name not in batch]
    if missing:
        raise DataError(f"the model is fed by {missing[0]!r}, but the data gives {list(batch)}.")
    try:
        return runner.run({name: batch[name] for name in model.feeds}, tuple(names))
    except PADDLE_FAILURES as error:
        raise DataError(f"the model does not run on batch {number}: {reason(error)}") from error


def calibrated(model: Model, batches: Iterable[Batch]) -> Model:
    """The model with fixed scales in place of those measured at every run; itself when it has none.

    A scale is the largest that any batch gives, so that nothing which the data holds is clipped. The
    model's history records the numbers, as options of the pass `static-scales`.

    Raises DataError when there is no batch, the model does not run on one, or a value is not finite.
    """
    names = list(dict.fromkeys(op.input("X").name for op in dynamic_ops(model.graph)))
    if not names:
        return model
    scales = largest_magnitudes(model, names, batches)
    entries = tuple(f"{name}={scale!r}" for name, scale in scales.items())
    return PassManager((StaticScales(scales=entries),)).run(model)


# ---------------------------------------------------------------------- arrays in files


def has_arrays(path: Path) -> bool:
    """True for a file of arrays, or a folder that holds one."""
    if path.is_dir():
        return any(file.suffix in ARRAY_SUFFIXES for file in path.iterdir())
    return path.suffix in ARRAY_SUFFIXES


def read_batches(model: Model, path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The batches in a file, or in the files of a folder in the order of their names.

    A `.npz` file holds one batch: an array for each feed, by its name. A `.npy` file does for models with
    one feed. An array that lacks the batch dimension is a batch of one.

    Raises DataError naming the file and what is wrong with it.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in ARRAY_SUFFIXES)
    for file in files:
        yield _read(model, file)


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
    return {name: _fitting(model, name, arrays[name], file) for name in model.feeds}


def _load(file: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy file, or those of a .npz file by name; the content decides which it is."""
    try:
        with file.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{file} cannot be read as numpy's arrays: {error}.") from error


def _fitting(model: Model, name: str, array: np.ndarray, file: Path) -> np.ndarray:
    var = model.graph.versions(name)[0]
    if array.ndim == len(var.shape) - 1:
        array = array[np.newaxis]
    dtype = numpy_dtype(var.dtype)
    fits = array.ndim == len(var.shape) and all(
        declared in (-1, size) for declared, size in zip(var.shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        raise DataError(
            f"{file}: {name!r} is {array.dtype}{list(array.shape)}, and the model is fed with"
            f" {dtype}{list(var.shape)}."
        )
    if not array.size:
        raise DataError(
            f"{file}: {name!r} is empty, {array.dtype}{list(array.shape)}; it must hold a sample."
        )
    return array
