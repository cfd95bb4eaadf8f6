"""A network, batches and a metric that somebody's training script gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from qcc.errors import ConfigError, DataError
from qcc.train.models.network import Network
from qcc.train.parallel.group import ALONE, Group
from qcc.train.tasks.task import Feeds, Run

GivenBatch = Mapping[str, Any] | Sequence[Any]
"""Arrays or tensors by the names of the training program's feeds, or in their order."""
Batches = Iterable[GivenBatch] | Callable[[int], Iterable[GivenBatch]]
"""The batches of every epoch, or a function from its number, from 0, to them."""
Predict = Callable[..., Any]
Metric = Callable[[Predict], float]


class GivenTask:
    """A `NetworkTask` of `network`. `metric` is called with a function that maps arrays for the test
    program's feeds to its output, or the tuple of them; it returns one number, higher is better.

    Raises ConfigError for batches of which nobody knows how many there are, DataError when there is none.
    """

    group: Group = ALONE

    def __init__(self, network: Network, batches: Batches, metric: Metric) -> None:
        self._network, self._batches, self._metric = network, batches, metric
        self.main_metric = _name(metric)
        self.steps_per_epoch = _count(self._of(0))
        first = next(iter(self._of(0)), None)
        if first is None:
            raise DataError("there is no batch to train on.")
        self.batch_size = len(next(iter(self._feeds(first).values())))

    def facts(self) -> dict[str, Any]:
        return {}

    def network(self) -> Network:
        return self._network

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        return map(self._feeds, islice(iter(self._of(epoch)), first, self.steps_per_epoch))

    def train_scores(self, feeds: Feeds, outputs: Sequence[NDArray[Any]]) -> Mapping[str, float]:
        return {}

    def check(self) -> None:
        """Nothing is known of the test set but what the metric knows."""

    def evaluate(self, run: Run) -> dict[str, float]:
        names = self._network.test_feeds

        def predict(*inputs: Any) -> Any:
            if len(inputs) != len(names):
                raise DataError(f"the network is fed by {list(names)}, and {len(inputs)} arrays were given.")
            outputs = run(dict(zip(names, map(np.asarray, inputs), strict=True)))
            return outputs[0] if len(outputs) == 1 else tuple(outputs)

        return {self.main_metric: float(self._metric(predict))}

    def _of(self, epoch: int) -> Iterable[GivenBatch]:
        if callable(self._batches):
            return self._batches(epoch)
        return self._batches

    def _feeds(self, batch: GivenBatch) -> Feeds:
        names = self._network.train_feeds
        given = batch if isinstance(batch, Mapping) else dict(zip(names, batch, strict=False))
        missing = [name for name in names if name not in given]
        if missing or len(batch) != len(names):
            raise DataError(
                f"a batch holds {len(batch)} arrays, and training is fed by {len(names)}: {', '.join(names)}."
            )
        return {name: np.asarray(given[name]) for name in names}


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
    return name if name.isidentifier() else "metric"
