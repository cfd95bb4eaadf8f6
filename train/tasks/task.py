"""What the training loop asks of a network with its data and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from qcc.calibrate.data.batches import Batches
from qcc.train.models.network import Network
from qcc.train.parallel.group import Group

Feeds = dict[str, NDArray[Any]]
Run = Callable[[Feeds], Sequence[NDArray[Any]]]


class Trainable(Protocol):
    """What the loop asks of data and metric. `main_metric` is the key of the evaluation's result by which
    epochs are compared, higher is better; `group`: the processes that train together, of which each takes its
    part of every batch."""

    main_metric: str
    group: Group

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def batch_size(self) -> int:
        """Images per step, of all processes together."""
        ...

    def facts(self) -> dict[str, Any]:
        """The configuration and what tells the training set from others, as JSON data."""
        ...

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        """This process's part of the epoch's batches, from number `first` on."""
        ...

    def train_scores(self, feeds: Feeds, outputs: Sequence[NDArray[Any]]) -> Mapping[str, float]:
        """What to report about one training batch besides its loss."""
        ...

    def check(self) -> None:
        """Raise what evaluating would find wrong with the test set, as far as its lists show that."""
        ...

    def evaluate(self, run: Run) -> dict[str, float]:
        """Run the test set through `run`, which maps feeds to the test program's outputs."""
        ...


class NetworkTask(Trainable, Protocol):
    """A network with its data and its metric."""

    def network(self) -> Network:
        """Build the programs anew."""
        ...


class Task(NetworkTask, Protocol):
    """What the commands ask of the task of a configuration."""

    def notes(self) -> list[str]:
        """What a person should know before training starts, one sentence each."""
        ...

    def left_out(self) -> list[str]:
        """What bad data has been left out so far, one sentence each."""
        ...

    def example(self) -> Feeds:
        """The first sample of the test set, as the test program is fed with it, in a batch of one."""
        ...

    def calibration_batches(self, count: int) -> Batches[int]:
        """At most `count` samples from all over the training set, as the test program is fed, one by one."""
        ...
