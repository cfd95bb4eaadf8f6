"""Measuring once, on data, the scales that a model would measure at every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from qcc.backends.lite.passes.static_scales import DYNAMIC, StaticScales
from qcc.backends.predictor import PADDLE_FAILURES, reason
from qcc.dtypes import numpy_dtype
from qcc.errors import DataError
from qcc.graph import Graph
from qcc.model import Model, Runner
from qcc.nodes import Op
from qcc.numerics import SCALE_FLOOR
from qcc.passes.manager import PassManager

_SUFFIXES = (".npy", ".npz")


def dynamic_ops(graph: Graph) -> Iterator[Op]:
    """The ops that measure the scale of an activation at every run (activation_type=abs_max)."""
    for op in graph.ops:
        if op.type == DYNAMIC and not op.input("X").persistable:
            yield op


def calibrated(model: Model, batches: Iterable[Mapping[str, np.ndarray]]) -> Model:
    """The model with fixed scales in place of those measured at every run; itself when it has none.

    A scale is the largest that any batch gives, so that nothing which the data holds is clipped. The
    model's history records the numbers, as options of the pass `static-scales`.

    Raises DataError when there is no batch, or the model does not run on one.
    """
    dynamic = list(dynamic_ops(model.graph))
    if not dynamic:
        return model
    scales = _measure(model, dynamic, batches)
    entries = tuple(f"{name}={scale!r}" for name, scale in scales.items())
    return PassManager((StaticScales(scales=entries),)).run(model)


def _measure(
    model: Model, dynamic: list[Op], batches: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, float]:
    runner = Runner(model)
    names = tuple(op.output("OutScale").name for op in dynamic)
    largest = np.zeros(len(dynamic), np.float32)
    count = 0
    for batch in batches:
        try:
            found = runner.run(batch, names)
        except PADDLE_FAILURES as error:
            raise DataError(f"the model does not run on batch {count + 1}: {reason(error)}") from error
        largest = np.maximum(largest, [value.reshape(-1)[0] for value in found])
        count += 1
    if not count:
        raise DataError("there is no data to measure scales on.")
    if not np.isfinite(largest).all():
        name = dynamic[int(np.argmin(np.isfinite(largest)))].input("X").name
        raise DataError(f"{name!r} is not finite on this data, so it has no scale.")
    largest = np.maximum(largest, SCALE_FLOOR)
    return {op.input("X").name: float(scale) for op, scale in zip(dynamic, largest, strict=True)}


# ---------------------------------------------------------------------- data in files


def read_batches(model: Model, path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The batches in a file, or in the files of a folder in the order of their names.

    A `.npz` file holds one batch: an array for each feed, by its name. A `.npy` file does for models with
    one feed. An array that lacks the batch dimension is a batch of one.

    Raises DataError naming the file and what is wrong with it.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if not files or any(file.suffix not in _SUFFIXES for file in files):
        raise DataError(
            f"{path} is no folder with .npy or .npz files, nor such a file: save images as the model is fed"
            " with them, resized and normalized, by numpy.save or numpy.savez."
        )
    for file in files:
        yield _read(model, file)


def _read(model: Model, file: Path) -> dict[str, np.ndarray]:
    try:
        loaded = np.load(file, allow_pickle=False)
        arrays = {name: loaded[name] for name in loaded.files} if file.suffix == ".npz" else {"": loaded}
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as numpy's arrays: {error}.") from error
    if file.suffix == ".npy":
        if len(model.feeds) != 1:
            raise DataError(
                f"{file} holds one array, and the model is fed by {list(model.feeds)}: use .npz files."
            )
        arrays = {model.feeds[0]: arrays[""]}
    missing = [name for name in model.feeds if name not in arrays]
    if missing:
        raise DataError(f"{file} has no array {missing[0]!r}; it has {list(arrays)}.")
    return {name: _fitting(model, name, arrays[name], file) for name in model.feeds}


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
    return array
