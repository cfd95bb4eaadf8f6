"""What the program of a self-test does on a device, by Paddle Lite's x86 runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc.backends.agreement import Distance, distances
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.lite.selftest.manifest import LAYERS, Expected, Run, TestedFile, read_manifest


@dataclass(frozen=True)
class Outcome:
    """One output of one run: how far it is off, and whether it may be."""

    file: str
    run: int
    output: str
    distance: Distance
    right: bool


def passed(outcomes: list[Outcome]) -> bool:
    """Whether a device is right: each layer on equal inputs, or, where there are none, each output."""
    layers = [one for one in outcomes if one.file == LAYERS]
    return all(one.distance.sound for one in outcomes) and all(one.right for one in layers or outcomes)


def run_selftest(folder: Path) -> list[Outcome]:
    """Run the files of a self-test for x86, each by one predictor, and compare.

    Raises ModelFormatError when the folder holds none, and what `LiteRuntime` raises.
    """
    return [outcome for file in read_manifest(folder) for outcome in _outcomes(folder, file)]


def _outcomes(folder: Path, file: TestedFile) -> list[Outcome]:
    found: list[Outcome] = []
    with LiteRuntime(folder / file.name) as runtime:
        for number, run in enumerate(file.runs):
            outputs = runtime.run(dict(zip(runtime.inputs, (array for _, array in run.inputs), strict=True)))
            found += [
                Outcome(file.name, number, one.name, distance, distance.sound and distance.within(one.limit))
                for one, distance in zip(run.outputs, _distances(run, outputs), strict=True)
            ]
    return found


def _distances(run: Run, outputs: list[np.ndarray]) -> list[Distance]:
    return [_distance(one, array) for one, array in zip(run.outputs, outputs, strict=True)]


def _distance(one: Expected, array: np.ndarray) -> Distance:
    if np.isinf(one.limit.largest):
        # Rows behind an NMS: how many there are, and in which order, a score's last bits decide.
        return Distance() if np.isfinite(array).all() else Distance(np.inf, np.inf, np.inf)
    if one.array.dtype.kind == "f":
        return distances([array], [one.array])[0]
    if array.size != one.array.size or array.dtype != one.array.dtype:
        return Distance(np.inf, np.inf, np.inf)
    off = np.abs(array.astype(np.int64).ravel() - one.array.astype(np.int64).ravel())
    return Distance(float(off.max(initial=0)), float(np.mean(off != 0)) if off.size else 0.0)
