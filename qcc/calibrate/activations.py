"""Measuring a model's activations on data, and fixing its scales by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from qcc.calibrate.collect import Collector, numbered
from qcc.calibrate.data.batches import Batch
from qcc.calibrate.floors import floors
from qcc.calibrate.observers import Calibrator, observe
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError
from qcc.model import Model
from qcc.numerics import usable_scale
from qcc.passes.manager import PassManager
from qcc.passes.own_names import OwnNames
from qcc.passes.static_scales import StaticScales, make_dynamic, ops_to_calibrate


def largest_magnitudes(model: Model, names: Sequence[str], batches: Iterable[Batch]) -> dict[str, float]:
    """The largest |x| that each of some variables takes on the data, as a `usable_scale`.

    A batch is an array for each feed, by its name; further arrays are not used.

    Raises DataError when there is no batch, the model does not run on one, or a value is not finite.
    """
    largest = _Largest(tuple(names))
    collector = Collector(model, largest)
    for batch in numbered(batches):
        collector.run(batch, batch.read())
    if not largest.batches:
        raise DataError("there is no data to measure scales on.")
    return {name: float(usable_scale(magnitude)) for name, magnitude in largest.magnitudes.items()}


def scales_of(model: Model, bits: Mapping[str, int], batches: Iterable[Batch]) -> dict[str, float]:
    """The scales of some variables of a model, by the least mean square error on the data; `bits`: that each
    is rounded to. One that was never reached, or was never anything but zero, has no scale, and is left out.

    Raises DataError as `largest_magnitudes` does.
    """
    statistics = Statistics()
    statistics.declare(bits, floors=floors(model.graph, bits))
    collector = Collector(model, statistics)
    for batch in numbered(batches):
        collector.run(batch, batch.read())
    if not statistics.batches:
        raise DataError("there is no data to measure scales on.")
    return measured_scales(statistics, bits)


def measured_scales(
    statistics: Statistics, bits: Mapping[str, int], calibrator: Calibrator = "mse"
) -> dict[str, float]:
    """The scales of `scales_of` from statistics that are there."""
    seen = {name: statistics.seen(name) for name in bits}
    return {name: observe(one, calibrator, bits[name]) for name, one in seen.items() if one.histogram.peak}


class _Largest:
    """The largest magnitude of each of some activations over all batches, and no more of them."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.batches = 0
        self.magnitudes = dict.fromkeys(names, 0.0)

    def add(self, name: str, data_range: float, values: np.ndarray) -> float:
        """See `Counter`. The maximum of anything and a NaN is a NaN."""
        return float(np.max(np.abs(values), initial=0))

    def count(self, batch: int, data_range: float, peaks: Mapping[str, float]) -> None:
        """See `Counter`."""
        self.batches += 1
        for name, peak in peaks.items():
            self.magnitudes[name] = max(self.magnitudes[name], peak)


def calibrated(model: Model, batches: Iterable[Batch]) -> Model:
    """The model with fixed scales in place of those measured at every run and of those never observed; itself
    when it has none. Scales that training has observed stay.

    A scale is the largest that any batch gives, so that nothing which the data holds is clipped. The
    model's history records the numbers, as options of the pass `static-scales`.

    Raises DataError when there is no batch, the model does not run on one, or a value is not finite.
    """
    scales = measured(model, batches)
    return with_scales(model, scales) if scales else model


def measured(model: Model, batches: Iterable[Batch]) -> dict[str, float]:
    """The scales of `calibrated`, by variable; one that is never anything but zero has `SCALE_FLOOR`."""
    wanted = [op.input("X").name for op in ops_to_calibrate(model.graph)]
    if not wanted:
        return {}
    measuring = model.copy()
    # With the values that they start with, they would clip nearly all of what is to be measured behind them.
    make_dynamic(measuring.graph)
    # What is measured by its name is the last value of a variable, and not each is that.
    OwnNames().apply(measuring.graph)
    names = [op.input("X").name for op in ops_to_calibrate(measuring.graph)]
    largest = largest_magnitudes(measuring, list(dict.fromkeys(names)), batches)
    return {name: largest[own] for name, own in zip(wanted, names, strict=True)}


def with_scales(model: Model, scales: Mapping[str, float]) -> Model:
    """The model with these scales, fixed."""
    entries = tuple(f"{name}={scale!r}" for name, scale in scales.items())
    return PassManager((StaticScales(scales=entries),)).run(model)
