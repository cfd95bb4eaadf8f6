"""Batches for training out of samples that are read one by one, in an order without end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import numpy as np

from qcc.calibrate.data.batches import Batch
from qcc.train.data.randomness import epoch_order

Read = Callable[[int], Batch | None]
"""Reads sample number so and so; None for one that is left out."""


def shuffled(numbers: Sequence[int], seed: int) -> Iterator[int]:
    """The numbers again and again, each time in another order."""
    for turn in count():
        for index in epoch_order(seed, turn, len(numbers)):
            yield numbers[index]


def put_together(read: Read, order: Iterator[int], size: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of `size` samples that follow each other, joined along the first axis; of fewer where the next
    sample has other shapes."""
    waiting: list[Batch] = []
    for number in order:
        sample = read(number)
        if sample is None:
            continue
        if waiting and (len(waiting) == size or not _alike(waiting[0], sample)):
            yield _joined(waiting)
            waiting = []
        waiting.append(sample)
    if waiting:
        yield _joined(waiting)


def _alike(one: Batch, other: Batch) -> bool:
    return all(one[name].shape[1:] == other[name].shape[1:] for name in one)


def _joined(samples: Sequence[Batch]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}


def batch_size(sample: Batch, largest: int, elements: int) -> int:
    """How many samples like this one make a batch: at most `largest`, and no more than `elements` numbers,
    but at least one."""
    return max(1, min(largest, elements // max(1, sum(math.prod(array.shape) for array in sample.values()))))
