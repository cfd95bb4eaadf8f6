"""Measuring a model's activations on data, and fixing its scales by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from qcc.calibrate.data.batches import Batch
from qcc.errors import DataError
from qcc.failures import PADDLE_FAILURES, reason
from qcc.model import Model, Runner
from qcc.numerics import SCALE_FLOOR
from qcc.passes.manager import PassManager
from qcc.passes.static_scales import StaticScales, make_dynamic, ops_to_calibrate


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
    """The model with fixed scales in place of those measured at every run and of those never observed; itself
    when it has none. Scales that training has observed stay.

    A scale is the largest that any batch gives, so that nothing which the data holds is clipped. The
    model's history records the numbers, as options of the pass `static-scales`.

    Raises DataError when there is no batch, the model does not run on one, or a value is not finite.
    """
    names = list(dict.fromkeys(op.input("X").name for op in ops_to_calibrate(model.graph)))
    if not names:
        return model
    measuring = model.copy()
    # With the values that they start with, they would clip nearly all of what is to be measured behind them.
    make_dynamic(measuring.graph)
    scales = largest_magnitudes(measuring, names, batches)
    entries = tuple(f"{name}={scale!r}" for name, scale in scales.items())
    return PassManager((StaticScales(scales=entries),)).run(model)
