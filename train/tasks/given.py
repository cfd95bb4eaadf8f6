"""A network, batches and a metric that somebody's training script gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from qcc._paddle import dygraph_mode
from qcc.errors import ConfigError, DataError
from qcc.given_code import code_of_users
from qcc.ir.dtypes import numpy_dtype
from qcc.shown import counted
from qcc.train.models.network import Network
from qcc.train.parallel.group import ALONE, Group
from qcc.train.tasks.task import Feeds, Run

GivenBatch = Mapping[str, Any] | Sequence[Any]
"""Arrays or tensors by the names of the training program's feeds, or in their order."""
Batches = Iterable[GivenBatch] | Callable[[int], Iterable[GivenBatch]]
"""The batches of every epoch, or a function from its number, from 0, to them."""
Predict = Callable[..., Any]
Metric = Callable[[Predict], float]
Returned = Callable[[Sequence[NDArray[Any]]], Any]
# What a record of an epoch holds besides, here and in metrics.jsonl; and what begins with train_.
_KEYS = frozenset({"epoch", "kind", "quantized", "seconds", "step"})


def one_or_all(outputs: Sequence[NDArray[Any]]) -> Any:
    """What a program without a layer returns: its output, or the tuple of them."""
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


class GivenTask:
    """A `NetworkTask` of `network`. `metric` is called with a function that maps arrays for the test
    program's feeds to what `returned` makes of its outputs, by default the output, or the tuple of them; it
    returns one finite number, higher is better. What is given runs in dygraph mode, as people write it.

    Raises ConfigError for batches of which nobody knows how many there are; DataError when there is none, for
    one that the programs do not take, when an epoch has another number of them, for a metric that gives no
    number, and for what batches and metric raise themselves.
    """

    group: Group = ALONE

    def __init__(
        self, network: Network, batches: Batches, metric: Metric, returned: Returned = one_or_all
    ) -> None:
        self._network, self._batches, self._metric = network, batches, metric
        self._returned = returned
        if not callable(metric):
            raise ConfigError(f"the metric is a {type(metric).__name__}, where a function is wanted.")
        self.main_metric = _name(metric)
        with _code_of_users("`train`"):
            given = self._of(0)
            self.steps_per_epoch = _count(given)
            begun = iter(given)
            first = next(begun, None)
            if first is None:
                raise DataError("there is no batch to train on.")
            self.batch_size = len(next(iter(self._feeds(first).values())))
        # A DataLoader with persistent workers fails when an iterator of it is left before its end.
        self._begun: Iterator[GivenBatch] | None = chain([first], begun)

    def facts(self) -> dict[str, Any]:
        return {}

    def network(self) -> Network:
        return self._network

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        what, steps = f"`train`, in epoch {epoch},", self.steps_per_epoch
        with _code_of_users(what):
            batches = self._begin(epoch)
        for number in range(steps):
            with _code_of_users(what):
                batch = next(batches, None)
                if batch is None:
                    raise DataError(
                        f"the batches of epoch {epoch} end after {number} of {steps}: give a list, or a"
                        " function from the number of the epoch, so that each epoch has them anew."
                    )
                feeds = self._feeds(batch) if number >= first else None
            if feeds is not None:
                yield feeds

    def train_scores(self, feeds: Feeds, outputs: Sequence[NDArray[Any]]) -> Mapping[str, float]:
        return {}

    def check(self) -> None:
        """Nothing is known of the test set but what the metric knows."""

    def evaluate(self, run: Run) -> dict[str, float]:
        names, program = self._network.test_feeds, self._network.test

        def predict(*inputs: Any) -> Any:
            if len(inputs) != len(names):
                raise DataError(
                    f"`predict` takes an array for each of {', '.join(names)}, and was given"
                    f" {counted(len(inputs), 'array')}."
                )
            fed = zip(names, inputs, strict=True)
            feeds = {name: _fitting(program, name, array) for name, array in fed}
            _check_inputs(feeds, names)
            return self._returned(run(feeds))

        with _code_of_users(f"the metric {self.main_metric!r}"):
            return {self.main_metric: _finite(self._metric(predict), self.main_metric)}

    def _begin(self, epoch: int) -> Iterator[GivenBatch]:
        """The batches of an epoch; of the first one to be trained those that were begun with."""
        begun, self._begun = self._begun, None
        if begun is not None and (epoch == 0 or not self._of_epochs()):
            return begun
        given = self._of(epoch)
        if (count := _count(given)) != self.steps_per_epoch:
            raise DataError(
                f"epoch {epoch} has {count} batches, and the first {self.steps_per_epoch}: give as many."
            )
        return iter(given)

    def _of_epochs(self) -> bool:
        """Whether the batches are a function, or a class of which one is made for each epoch; a DataLoader
        can be called, too, and has a length."""
        is_class = isinstance(self._batches, type)
        return callable(self._batches) and (is_class or not hasattr(self._batches, "__len__"))

    def _of(self, epoch: int) -> Iterable[GivenBatch]:
        if self._of_epochs():
            return cast(Callable[[int], Iterable[GivenBatch]], self._batches)(epoch)
        return cast(Iterable[GivenBatch], self._batches)

    def _feeds(self, batch: GivenBatch) -> Feeds:
        names = self._network.train_feeds
        if not isinstance(batch, Mapping | Sequence | np.ndarray):
            raise DataError(
                f"a batch is a {type(batch).__name__}, where a tuple of arrays is wanted, or a mapping of"
                f" them by name: {', '.join(names)}."
            )
        given = batch if isinstance(batch, Mapping) else dict(zip(names, batch, strict=False))
        missing = [name for name in names if name not in given]
        if missing and isinstance(batch, Mapping):
            raise DataError(
                f"a batch has no {missing[0]!r}: it holds {', '.join(map(str, batch))}, and training is fed"
                f" by {', '.join(names)}."
            )
        if missing or len(batch) != len(names):
            held = f"holds {len(batch)}"
            if isinstance(batch, np.ndarray):
                held = f"is one, {batch.dtype}{list(batch.shape)}"
            raise DataError(
                f"training is fed by {counted(len(names), 'array')}, {', '.join(names)}, and a batch {held}:"
                " give a tuple of them."
            )
        feeds = {name: _fitting(self._network.train, name, given[name]) for name in names}
        _check_inputs(feeds, self._network.test_feeds)
        return feeds


@contextmanager
def _code_of_users(what: str) -> Iterator[None]:
    """For a block that calls what somebody has given: in dygraph mode, and what it raises is one sentence."""
    with code_of_users(what), dygraph_mode():
        yield


def _fitting(program: Any, name: str, given: Any) -> NDArray[Any]:
    """What a feed of the program is given, as an array. Raises DataError for another shape or dtype; of
    integers, Paddle's kernels take each."""
    array, declared = np.asarray(given), program.global_block().var(name)
    dtype, shape = numpy_dtype(declared.dtype), tuple(declared.shape)
    fits = array.ndim == len(shape) and all(
        wanted in (-1, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    if not fits or (array.dtype != dtype and {array.dtype.kind, dtype.kind} - set("iu")):
        right = f"`.astype({dtype.name!r})`" if fits else "these dimensions, of which -1 is any number"
        raise DataError(
            f"{name!r} is {array.dtype}{list(array.shape)}, and the network is fed with {dtype}{list(shape)}:"
            f" give it {right}."
        )
    return array


def _check_inputs(feeds: Feeds, names: Sequence[str]) -> None:
    """Raise DataError where one of `names`, which the network reads, is empty, for which Paddle's quantizers
    end the process, or not a number anywhere, which makes weights be none. Labels may be both, such as boxes
    where there are none."""
    for name in feeds.keys() & set(names):
        array = feeds[name]
        if not array.size:
            raise DataError(
                f"{name!r} is {array.dtype}{list(array.shape)}, which is empty: leave such a batch out."
            )
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise DataError(
                f"{name!r} has values that are not a number (NaN): leave them out, or replace them."
            )


def _finite(found: Any, metric: str) -> float:
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        shown = found if isinstance(found, float) else f"a {type(found).__name__}"
        raise DataError(f"the metric {metric!r} gives {shown}, where one finite number is wanted.")
    return value


def _count(batches: Iterable[GivenBatch]) -> int:
    try:
        return len(cast(Any, batches))
    except TypeError as error:
        raise ConfigError(
            f"nobody knows how many batches the {type(batches).__name__} gives: give a list, or anything else"
            " that has a length."
        ) from error


def _name(metric: Metric) -> str:
    name = getattr(metric, "__name__", "")
    taken = name in _KEYS or name.startswith("train_")
    return name if name.isidentifier() and not taken else "metric"
