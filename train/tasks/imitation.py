"""A student that is to compute what its teacher does, on data without labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc.calibrate.collect import as_fed, unnamed
from qcc.calibrate.data.batches import Batch, Batches, spread
from qcc.errors import DataError
from qcc.model import Model
from qcc.train.data.digest import digest_of
from qcc.train.data.stream import batch_size, put_together, shuffled
from qcc.train.metrics.likeness import Likeness, in_decibels
from qcc.train.parallel.group import ALONE, Group
from qcc.train.tasks.task import Feeds, Run

_EACH = 8
"""One of so many samples is held back from training."""
_ENOUGH = 4
"""Of so many samples at least two are held back: from one alone nothing is sure."""
_MOST_HELD_BACK = 256
_LARGEST_BATCH, _LARGEST_FEED = 16, 16 * 3 * 224 * 224


@dataclass(frozen=True)
class Samples:
    """Data without labels. `identity`: what tells it from other data; `joins`: whether the model takes
    several samples at once; `skip_bad`: leave out what cannot be read."""

    batches: Batches[Any]
    identity: Sequence[str]
    joins: bool = True
    skip_bad: bool = False

    @classmethod
    def of(cls, model: Model, held: Sequence[Batch]) -> Samples:
        """Those that are held in memory, as a model is fed with them, told from others by what they hold."""
        fed = [as_fed(model, unnamed(number), batch) for number, batch in enumerate(held)]
        return cls(Batches(range(len(fed)), fed.__getitem__), list(map(digest_of, fed)))

    @property
    def held_back(self) -> list[int]:
        """The numbers of the samples that are not trained on, evenly spread."""
        count = len(self.batches)
        if count >= 2 * _EACH:
            return spread(range(_EACH - 1, count, _EACH), _MOST_HELD_BACK)
        return [count // 2 - 1, count - 1] if count >= _ENOUGH else [count - 1]

    @property
    def trained_on(self) -> list[int]:
        """The numbers of the others."""
        held = set(self.held_back)
        return [number for number in range(len(self.batches)) if number not in held]

    def read(self, number: int) -> Batch | None:
        """A sample, or None for one that cannot be read and is to be left out."""
        try:
            return self.batches.read(self.batches.items[number])
        except DataError:
            if not self.skip_bad:
                raise
            return None

    def check(self) -> None:
        """Raise DataError when there is nothing to train on, or nothing to hold back."""
        if len(self.batches) < 2:
            raise DataError(
                f"there is only {len(self.batches)} sample to train on, and one has to be held back: give"
                " more data."
            )

    def first(self) -> Batch | None:
        """The first sample that is trained on, of those that can be read."""
        return next((one for one in map(self.read, self.trained_on) if one is not None), None)

    @cached_property
    def batch_size(self) -> int:
        """How many are trained on at once, as many as fit the size of the first."""
        first = self.first()
        if first is None:
            raise DataError("none of the data that is to be trained on can be read.")
        joins = self.joins and all(array.ndim for array in first.values())
        return batch_size(first, _LARGEST_BATCH, _LARGEST_FEED) if joins else 1


class ImitationTask:
    """A `Trainable` whose metric is how near the student's outputs `names` are to those of the `teacher`, on
    the samples that are held back; `classes`: those of `names` that are scores of classes.

    An epoch is `steps_per_epoch` batches, to be set, however often that goes through the data. One that does
    not beat `before`, what was measured before training, has no `agreement`; see `Likeness.beats`.
    """

    main_metric = "agreement"
    group: Group = ALONE

    def __init__(
        self,
        samples: Samples,
        seed: int,
        teacher: Run,
        names: Sequence[str],
        classes: Collection[str],
    ) -> None:
        self._samples, self._seed, self._teacher = samples, seed, teacher
        self._names, self._classes = tuple(names), classes
        self.steps_per_epoch = 1
        self.batch_size = samples.batch_size
        self.before: Likeness | None = None

    def facts(self) -> dict[str, Any]:
        return {}

    def train_batches(self, epoch: int, first: int) -> Iterator[Feeds]:
        before = epoch * self.steps_per_epoch * self.batch_size
        order = islice(shuffled(self._samples.trained_on, self._seed), before, None)
        batches = put_together(self._samples.read, order, self.batch_size)
        return islice(batches, first, self.steps_per_epoch)

    def train_scores(self, feeds: Feeds, outputs: Sequence[NDArray[Any]]) -> Mapping[str, float]:
        return {"snr": in_decibels(float(outputs[0]) / 100)}

    def check(self) -> None:
        self._samples.check()

    def evaluate(self, run: Run) -> dict[str, float]:
        likeness = self.measure(run)
        result = likeness.result()
        if self.before is None or likeness.beats(self.before):
            result[self.main_metric] = result["snr"]
        return result

    def measure(self, run: Run) -> Likeness:
        """How near the student's outputs are to the teacher's on what is held back.

        Raises DataError when none of that can be read, or there are no finite outputs to compare.
        """
        likeness = Likeness(self._names, self._classes)
        for feeds in self._held_back():
            likeness.update(run(feeds), self._teacher(feeds))
        if not likeness.ratios:
            raise DataError(
                f"none of the {len(self._samples.held_back)} samples that are held back to compare on can be"
                " read: give more data."
            )
        if not np.isfinite(likeness.ratios).all():
            raise DataError(
                f"outputs ({', '.join(self._names)}) are not finite on samples that are held back, so nothing"
                " can be compared: leave out such data."
            )
        return likeness

    def _held_back(self) -> Iterator[Feeds]:
        return put_together(self._samples.read, iter(self._samples.held_back), self.batch_size)
