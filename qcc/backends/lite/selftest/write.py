"""Writing the folder of a self-test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from qcc.backends.agreement import FEW, Distance, distances
from qcc.backends.judge import see_movements
from qcc.backends.lite.agreement import reference_of
from qcc.backends.lite.file import write_naive_buffer
from qcc.backends.lite.layers import FAR
from qcc.backends.lite.selftest.apart import Integers, take_apart
from qcc.backends.lite.selftest.manifest import (
    HEADS,
    LAYERS,
    WHOLE,
    Expected,
    Run,
    TestedFile,
    write_manifest,
)
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.reference import Reference
from qcc.backends.samples import moved
from qcc.errors import OutputError
from qcc.files import publish, staging, writing
from qcc.ir.graph import Graph
from qcc.model import Model

FOR_DEVICES = ("selftest.cc", "README.md")

_TIES = Distance(1, 1e-3, 0)
"""Of integers: a value within a few millionths of a step from a tie may become the other integer; in
1,063,723,470 outputs of twelve networks on ARM that were 556. One in a thousand leaves room for small
outputs."""

_ANY = Distance(np.inf, np.inf, np.inf)

Arrays = Mapping[str, np.ndarray]


def write_selftest(
    model: Model, lower: Callable[[Model], Model], folder: Path, data: Arrays | None = None
) -> list[str]:
    """Write a folder by which the file of a model is tried on a device.

    `lower` makes of a model what is written to a file. The model runs in Paddle on `data`, or on made-up
    pictures, and what it gives is what a device must give. Where the model takes any number of samples, one
    predictor runs 1, 2 and again 1 of them, since kernels prepare themselves for the first.

    `model.nb` is the file itself. `heads.nb`, where there is an NMS: what is in front of it. `layers.nb`,
    where ops run in int8: each of them on integers that are given.

    Returns the names of the files, and raises what `lower` raises; GraphError and PaddleError when the
    model does not run; OutputError when the folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="qcc-") as scratch, staging(folder) as staged:
        found = reference_of(model, data, Path(scratch))
        runs = _Runs(found)
        tested = [_write(staged / WHOLE, lower(model.copy()).graph, runs.of_model())]
        opened = found.graph.copy()
        opened.fetches = found.names
        if found.names != model.fetches:
            tested.append(_write(staged / HEADS, lower(Model(opened)).graph, runs.of_heads()))
        layers = lower(Model(opened.copy())).graph
        integers = take_apart(layers, found.graph)
        if integers:
            tested.append(_write(staged / LAYERS, layers, runs.of_layers(integers)))
        with writing(folder):
            names = [*write_manifest(staged, tested), *_device_files(staged)]
        names = [*(file.name for file in tested), *names]
        publish(staged, folder, names)
    return names


def _write(path: Path, lowered: Graph, runs: list[Run]) -> TestedFile:
    try:
        with path.open("wb") as stream:
            write_naive_buffer(to_naive_buffer(lowered), stream)
    except OSError as error:
        raise OutputError(f"{path.parent.parent} cannot be written to: {error.strerror}.") from error
    return TestedFile(path.name, runs)


def _device_files(folder: Path) -> Sequence[str]:
    ours = files("qcc.backends.lite.selftest") / "device"
    for name in FOR_DEVICES:
        (folder / name).write_text((ours / name).read_text(encoding="utf-8"), encoding="utf-8")
    return FOR_DEVICES


class _Runs:
    """The runs of the files: inputs, and what the reference gives for them."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        see_movements(reference)
        compared = tuple(dict.fromkeys((*reference.names, *reference.graph.fetches)))
        self._cases = [
            (case, dict(zip(compared, self._values(case, compared), strict=True)))
            for case in _cases(reference)
        ]
        seen = [
            distances(self._values(moved(case), reference.names), [given[name] for name in reference.names])
            for case, given in self._cases
        ]
        self._limits = dict(zip(reference.names, reference.limits(*seen), strict=True))

    def of_model(self) -> list[Run]:
        fetches = self._reference.graph.fetches
        return self._runs(fetches, lambda name: self._limits.get(name, _ANY))

    def of_heads(self) -> list[Run]:
        return self._runs(self._reference.names, self._limits.__getitem__)

    def of_layers(self, integers: list[Integers]) -> list[Run]:
        found = []
        whole = self._runs(self._reference.names, lambda _: FAR)
        for run, (case, _) in zip(whole, self._cases, strict=True):
            values = self._values(case, [one.source for one in integers])
            arrays = [one.of(array) for one, array in zip(integers, values, strict=True)]
            fed = [(one.source, array) for one, array in zip(integers, arrays, strict=True)]
            wanted = [
                Expected(one.source, array, _TIES if array.size > FEW else Distance(1, 1, 0))
                for one, array in zip(integers, arrays, strict=True)
            ]
            found.append(Run((*run.inputs, *fed), (*run.outputs, *wanted)))
        return found

    def _runs(self, fetches: Sequence[str], limit: Callable[[str], Distance]) -> list[Run]:
        return [
            Run(
                tuple((name, case[name]) for name in self._reference.graph.feeds),
                tuple(Expected(name, given[name], limit(name)) for name in fetches),
            )
            for case, given in self._cases
        ]

    def _values(self, case: Arrays, names: Sequence[str]) -> list[np.ndarray]:
        return [np.asarray(array) for array in self._reference.executor.run(case, names)]


def _cases(reference: Reference) -> list[Arrays]:
    """The sample; where the batch is open, that and another one together, and the other one alone."""
    first = dict(reference.sample.inputs)
    other = {name: np.ascontiguousarray(_turned(array)) for name, array in first.items()}
    shapes = [reference.graph.versions(name)[0].shape for name in first]
    if not all(shape and shape[0] < 0 for shape in shapes):
        return [first, other]
    both = {name: np.concatenate([array, other[name]]) for name, array in first.items()}
    return [first, both, other]


def _turned(array: np.ndarray) -> np.ndarray:
    """Another sample of the same kind: a picture seen in a mirror, and arrays of other kinds as they are."""
    return array[..., ::-1] if array.ndim == 4 else array
