"""Running a network over data once, and collecting all declared statistics as its values come and go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from qcc._paddle import TURN, one_op_at_a_time, paddle
from qcc.calibrate.data.arrays import fitting
from qcc.calibrate.data.batches import Batch, Batches, name_of
from qcc.errors import DataError, PaddleError
from qcc.ir.nodes import Var
from qcc.model import Model, Runner
from qcc.passes.prune import Prune


@dataclass(frozen=True)
class Numbered:
    """A batch of the data: its number, its name for people, and how it is read."""

    number: int
    name: str
    read: Callable[[], Batch]


def unnamed(number: int) -> str:
    """What a batch without a name is called."""
    return f"batch {number + 1} of the data"


def numbered(batches: Iterable[Batch]) -> Iterator[Numbered]:
    """The batches with their numbers; those that are files are not read yet."""
    if isinstance(batches, Batches):
        for number, item in enumerate(batches.items):
            yield Numbered(number, name_of(item), partial(batches.read, item))
    else:
        for number, batch in enumerate(batches):
            yield Numbered(number, unnamed(number), holding(batch))


def holding(batch: Batch) -> Callable[[], Batch]:
    """What reads a batch that is there already."""
    return partial(_itself, batch)


def _itself(batch: Batch) -> Batch:
    return batch


def as_fed(model: Model, source: str, given: Batch) -> dict[str, np.ndarray]:
    """The arrays of a batch as a model takes them; see `fitting`.  Raises DataError when they do not fit."""
    if not isinstance(given, Mapping):
        raise DataError(
            f"{source} is a {type(given).__name__}, where a mapping of an array for each feed is wanted:"
            f" {list(model.feeds)}."
        )
    missing = [name for name in model.feeds if name not in given]
    if missing:
        raise DataError(f"{source} has no array {missing[0]!r}; it has {list(given)}.")
    return {name: fitting(model, name, given[name], source) for name in model.feeds}


class Counter(Protocol):
    """What counts the activations of `names`; see `Statistics`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The activations."""
        ...

    def add(self, name: str, data_range: float, values: np.ndarray) -> float:
        """Count an activation's values on a batch whose data has this range; their largest magnitude."""
        ...

    def count(self, batch: int, data_range: float, peaks: Mapping[str, float]) -> None:
        """A batch is done: its number, and the largest magnitude of each activation on it."""
        ...


class Collector:
    """A network that is run batch by batch, and whose activations are counted as they are computed.

    No activation outlives its last reader, and none is fetched: an op behind each counts it where it lies in
    memory, so that what is held is what running the network holds, and the counts. Ops that no activation
    depends on are not run.
    """

    def __init__(self, model: Model, statistics: Counter) -> None:
        self._model, self._statistics = model, statistics
        self._range = 0.0
        self._peaks: dict[str, float] = {}
        graph = model.graph.copy()
        for slot, name in enumerate(statistics.names):
            _observe(graph, graph.var(name), slot)
        graph.fetches = statistics.names[:1]
        Prune().apply(graph)
        self._runner = Runner(Model(graph))

    def run(self, batch: Numbered, inputs: Batch) -> None:
        """Collect one batch, which was read.

        Raises DataError when it is not what the model is fed with or holds a value that is not finite, or
        when the model does not run on it or computes such a value.
        """
        inputs = self.fitting(batch, inputs)
        self._range = _range(inputs)
        self._peaks = {}
        with one_op_at_a_time(), _listening([self._count(name) for name in self._statistics.names]):
            try:
                self._runner.run(inputs, ())
            except PaddleError as error:
                raise DataError(f"the model does not run on {batch.name}: {error}") from error
        for name, peak in self._peaks.items():
            if not math.isfinite(peak):
                raise DataError(f"{name!r} is not finite on {batch.name}, so it has no scale.")
        self._statistics.count(batch.number, self._range, self._peaks)

    def fitting(self, batch: Numbered, given: Batch) -> dict[str, np.ndarray]:
        """The arrays that the model is fed with, as it takes them.  Raises DataError when they do not fit."""
        inputs = as_fed(self._model, batch.name, given)
        for name, value in inputs.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise DataError(f"{batch.name}: {name!r} holds a value that is not finite.")
        return inputs

    def _count(self, name: str) -> Callable[[np.ndarray], None]:
        def count(values: np.ndarray) -> None:
            self._peaks[name] = self._statistics.add(name, self._range, values)

        return count


def _range(inputs: dict[str, np.ndarray]) -> float:
    """The largest magnitude in the input that holds most floats: the image, where there is one."""
    floats = [value for value in inputs.values() if value.dtype.kind == "f"]
    if not floats:
        return 0.0
    return float(np.max(np.abs(max(floats, key=lambda value: value.size))))


# ---------------------------------------------------------------------- Paddle's executor and its py_func

# Paddle keeps every function that it was ever given. So there is one for each slot, whatever model runs.
_identifiers: list[int] = []
_listeners: list[Callable[[np.ndarray], None]] = []


def _observe(graph: Any, var: Var, slot: int) -> None:
    """Add an op that gives a variable to the listener of a slot as soon as it is computed."""
    attrs = {"forward_callable_id": _identifier(slot), "op_role": 0}
    place = {"before": next(iter(var.consumers))} if var.producer is None else {"after": var.producer}
    graph.add_op("py_func", {"X": var}, {"Out": []}, attrs, **place)


def _identifier(slot: int) -> int:
    with TURN:
        while len(_identifiers) <= slot:
            heard = partial(_heard, len(_identifiers))
            _identifiers.append(paddle.static.nn.common.PyFuncRegistry(heard).id)
        return _identifiers[slot]


def _heard(slot: int, tensor: Any) -> None:
    # A view of the tensor's own memory.
    _listeners[slot](np.asarray(tensor))


@contextmanager
def _listening(listeners: list[Callable[[np.ndarray], None]]) -> Iterator[None]:
    """Give what the ops observe to these functions, one for each slot, inside the block."""
    # What another thread's ops observe must not be counted here.
    with TURN:
        _listeners[:] = listeners
        try:
            yield
        finally:
            _listeners.clear()
