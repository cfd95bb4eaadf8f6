"""What is measured on data: declared first, collected together in one run over the data, then used."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import BadZipFile

import numpy as np

from qcc.array_files import write_arrays
from qcc.calibrate.channels import LARGEST, Channels
from qcc.calibrate.histogram import Histogram, merged
from qcc.calibrate.importance import Importance
from qcc.calibrate.observers import Seen
from qcc.errors import DataError
from qcc.files import atomic_file

MANY_TIMES = 5
"""By how many octaves the range of a batch has to exceed that of the middle one for it not to belong to the
data: more than 16 times. Normalized images differ by far less, and those that nobody has normalized by some
100 times."""


@dataclass
class Magnitudes:
    """What is kept of one activation: histograms, by the octave of the data's range and the octave of the
    channels' importance, and, where these matter, numbers of each channel; and each batch's largest
    magnitude. So a batch that does not belong can be left out when all have been seen, and errors can be
    weighed. What is below the `floor` counts as that (see `qcc.calibrate.floors`)."""

    importance: Importance | None = None
    floor: np.ndarray | None = None
    histograms: dict[int, Histogram] = field(default_factory=dict)
    channels: dict[int, Channels] = field(default_factory=dict)
    peaks: array[float] = field(default_factory=lambda: array("f"))

    @property
    def rows(self) -> int:
        """Of its histograms."""
        return 1 if self.importance is None else self.importance.rows.count

    def at(self, octave: int) -> Histogram:
        """The histogram of an octave, empty when nothing was counted there yet."""
        found = self.histograms.get(octave)
        if found is None:
            found = self.histograms[octave] = Histogram.of_rows(self.rows)
        return found

    def channels_at(self, octave: int) -> Channels:
        """The channels in an octave, of an activation whose channels matter."""
        assert self.importance is not None
        found = self.channels.get(octave)
        if found is None:
            found = self.channels[octave] = Channels.of(self.importance.rows.of_channels.size)
        return found


class Statistics:
    """The activations that somebody has declared, and what was collected of them so far.

    What it holds does not depend on the number of images, but for one number of 4 bytes for each batch and
    activation. Parts that several processes have collected on parts of the data merge to what one process
    would have collected, bit for bit.
    """

    def __init__(
        self, names: Iterable[str] = (), importances: Mapping[str, Importance] = MappingProxyType({})
    ) -> None:
        self._activations: dict[str, Magnitudes] = {}
        self._batches = array("q")
        self._ranges = array("d")
        self.skipped: dict[int, str] = {}
        """Batches that could not be read and were left out, by number, and why."""
        self.digests: dict[int, str] = {}
        """What tells batches from others, by number, of those that have no name that does."""
        self.declare(names, importances)

    def declare(
        self,
        names: Iterable[str],
        importances: Mapping[str, Importance] = MappingProxyType({}),
        floors: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        """Ask for the magnitudes of variables; whoever asks for the same one shares them. `importances`: of
        the channels of those whose channels do not matter alike; `floors`: of those that matter down to
        there.

        Raises DataError when collecting has begun.
        """
        wanted = [name for name in names if name not in self._activations]
        if wanted and self._batches:
            raise DataError(f"the statistics of {wanted[0]!r} are declared after collecting has begun.")
        self._activations.update(
            (name, Magnitudes(importances.get(name), floors.get(name))) for name in wanted
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The activations, in the order of their declaration."""
        return tuple(self._activations)

    @property
    def done(self) -> set[int]:
        """The numbers of the batches that were collected or left out."""
        return {*self._batches, *self.skipped}

    @property
    def batches(self) -> list[int]:
        """The numbers of the batches that were collected, in the order of the data."""
        return sorted(self._batches)

    # ------------------------------------------------------------------ collecting

    def add(self, name: str, data_range: float, values: np.ndarray) -> float:
        """Count the values of an activation on a batch whose data has this range (its largest magnitude);
        returns their largest magnitude, which is not finite where one of them is not."""
        activation, octave = self._activations[name], octave_of(data_range)
        if activation.floor is not None:
            values = np.maximum(values, activation.floor)
        if activation.importance is None:
            return activation.at(octave).add(values)
        rows = activation.importance.rows
        peak = activation.at(octave).add(values, rows)
        if values.size and peak < LARGEST:
            activation.channels_at(octave).add(values, rows)
        return peak

    def count(self, batch: int, data_range: float, peaks: Mapping[str, float]) -> None:
        """Note that a batch was collected, and the largest magnitude that each activation took on it."""
        self._batches.append(batch)
        self._ranges.append(data_range)
        for name, activation in self._activations.items():
            activation.peaks.append(peaks.get(name, 0.0))

    def merge(self, other: Statistics) -> None:
        """Take what was collected of the same activations on other batches."""
        if self.names != other.names or set(self._batches) & set(other._batches):
            raise DataError("these statistics are of other activations, or of the same batches.")
        self.skipped |= other.skipped
        self.digests |= other.digests
        self._batches += other._batches
        self._ranges += other._ranges
        for name, activation in self._activations.items():
            theirs = other._activations[name]
            activation.peaks += theirs.peaks
            for octave, histogram in theirs.histograms.items():
                activation.at(octave).merge(histogram)
            for octave, channels in theirs.channels.items():
                activation.channels_at(octave).merge(channels)

    # ------------------------------------------------------------------ using

    def strangers(self) -> dict[int, float]:
        """The batches that do not belong, by number, and how many times the middle range theirs is."""
        found = zip(self._batches, strange(self._ranges), strict=True)
        return {batch: times for batch, times in sorted(found) if times}

    def seen(self, name: str) -> Seen:
        """All that was seen of an activation, without the batches that do not belong."""
        activation, strangers, left_out = self._activations[name], self.strangers(), self._strange()
        kept = [found for octave, found in activation.histograms.items() if octave not in left_out]
        weights = np.ones(1) if activation.importance is None else activation.importance.of_rows
        order = [index for index in np.argsort(self._batches) if self._batches[index] not in strangers]
        peaks = np.array(activation.peaks, np.float32)[np.array(order, np.intp)]
        return Seen(merged(kept, activation.rows), weights, peaks)

    def channels(self, name: str) -> Channels | None:
        """What was seen of each channel of an activation, on the batches that belong; None where its channels
        have no importance, or nothing was seen."""
        left_out, found = self._strange(), self._activations[name]
        kept = [one for octave, one in found.channels.items() if octave not in left_out]
        if not kept:
            return None
        whole = Channels.of(len(kept[0].whole))
        for one in kept:
            whole.merge(one)
        return whole

    def _strange(self) -> set[int]:
        """The octaves of the batches that do not belong."""
        strangers = self.strangers()
        return {octave_of(r) for b, r in zip(self._batches, self._ranges, strict=True) if b in strangers}

    # ------------------------------------------------------------------ files

    def save(self, path: Path, identity: str) -> None:
        """Write what was collected so far, atomically; `identity` tells of what.  Raises OutputError."""
        rows: list[Any] = []
        channels: list[Any] = []
        counts, places, sums, largest = [], [], [], []
        for name, activation in self._activations.items():
            for octave, found in sorted(activation.histograms.items()):
                filled = np.flatnonzero(found.counts)
                limits = (found.smallest, found.largest) if filled.size else (0.0, 0.0)
                rows.append([name, octave, found.exponent, *limits, len(filled)])
                places.append(filled)
                counts.append(found.counts.reshape(-1)[filled])
            for octave, one in sorted(activation.channels.items()):
                channels.append([name, octave, one.count])
                sums += [one.whole, one.parts]
                largest.append(one.largest)
        header = {
            "identity": identity,
            "names": self.names,
            "skipped": list(self.skipped.items()),
            "digests": list(self.digests.items()),
            "histograms": rows,
            "channels": channels,
        }
        with atomic_file(path) as stream:
            write_arrays(
                stream,
                {
                    "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
                    "batches": np.array(self._batches, np.int64),
                    "ranges": np.array(self._ranges, np.float64),
                    "peaks": np.array([a.peaks for a in self._activations.values()], np.float32),
                    "places": np.concatenate([np.zeros(0, np.int64), *places]),
                    "counts": np.concatenate([np.zeros(0, np.int64), *counts]),
                    "sums": np.concatenate([np.zeros(0, np.int64), *sums]),
                    "largest": np.concatenate([np.zeros(0, np.float32), *largest]),
                },
            )

    def load(self, path: Path, identity: str) -> bool:
        """Take what `save` has written of the same activations; False, and nothing taken, where there is no
        file, or one of something else."""
        try:
            with path.open("rb") as stream:
                arrays = dict(np.load(stream, allow_pickle=False))
            header = json.loads(arrays["header"].tobytes())
            channels = header["channels"], arrays["sums"], arrays["largest"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return False
        if header["identity"] != identity or tuple(header["names"]) != self.names:
            return False
        found = Statistics()
        found._activations = {name: Magnitudes(one.importance) for name, one in self._activations.items()}
        found.skipped, found.digests = dict(header["skipped"]), dict(header["digests"])
        found._batches, found._ranges = array("q", arrays["batches"]), array("d", arrays["ranges"])
        for activation, peaks in zip(found._activations.values(), arrays["peaks"], strict=True):
            activation.peaks = array("f", peaks)
        end = 0
        for name, octave, exponent, smallest, largest, filled in header["histograms"]:
            histogram = found._activations[name].at(octave)
            start, end = end, end + filled
            histogram.counts.reshape(-1)[arrays["places"][start:end]] = arrays["counts"][start:end]
            histogram.exponent = exponent
            if filled:
                histogram.smallest, histogram.largest = smallest, largest
        found._load_channels(*channels)
        if found.done & self.done:
            return False
        self.merge(found)
        return True

    def _load_channels(self, header: list[Any], sums: np.ndarray, largest: np.ndarray) -> None:
        start = 0
        for name, octave, count in header:
            one = self._activations[name].channels_at(octave)
            size, place = len(one.whole), 2 * start
            one.whole[:], one.parts[:] = sums[place : place + size], sums[place + size : place + 2 * size]
            one.largest[:] = largest[start : start + size]
            one.count = count
            start += size


def strange(ranges: Sequence[float]) -> list[float]:
    """How many times the middle range each batch's is, of those that do not belong to the others; 0 of those
    that do."""
    middle = float(np.median(ranges)) if len(ranges) else 0.0
    if not middle:
        return [0.0] * len(ranges)
    limit = octave_of(middle) + MANY_TIMES
    return [one / middle if octave_of(one) >= limit else 0.0 for one in ranges]


def octave_of(magnitude: float) -> int:
    """The power of two next above a magnitude."""
    return math.frexp(magnitude)[1] if magnitude else 0
