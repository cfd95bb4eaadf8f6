"""Batches by `paddle.io.DataLoader`, equal for any number of workers and from any starting point."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc._paddle import core, paddle

Sample = tuple[NDArray[Any], ...]
Batch = list[NDArray[Any]]


class _Samples(paddle.io.Dataset):  # type: ignore[misc]
    """A function of the index, as the data set that DataLoader asks for."""

    def __init__(self, sample: Callable[[int], Sample], count: int) -> None:
        super().__init__()
        self._sample = sample
        self._count = count

    def __getitem__(self, index: int) -> Sample:
        return self._sample(index)

    def __len__(self) -> int:
        return self._count


def split_batches(order: Sequence[int], batch_size: int, drop_last: bool) -> list[list[int]]:
    """Cut an order of sample indices into batches; `drop_last` leaves out a shorter last one."""
    batches = [list(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
    if drop_last and batches and len(batches[-1]) < batch_size:
        batches.pop()
    return batches


def load_batches(
    sample: Callable[[int], Sample], batches: Sequence[Sequence[int]], num_workers: int
) -> Iterator[Batch]:
    """Yield one list of arrays per batch, in order: field i stacked over the samples of the batch.

    `sample` maps an index to a tuple of arrays and must be a pure function of it; with workers it runs in
    `num_workers` forked processes.
    """
    if not batches:
        return
    count = 1 + max(max(batch) for batch in batches)
    loader = paddle.io.DataLoader(
        _Samples(sample, count),
        batch_sampler=[list(batch) for batch in batches],
        places=core.CPUPlace(),
        return_list=True,
        collate_fn=_stack,
        num_workers=num_workers,
        worker_init_fn=_leave_signals_to_the_parent,
    )
    for tensors in loader:
        yield [np.array(tensor) for tensor in tensors]


def _leave_signals_to_the_parent(_worker: int) -> None:
    """Ctrl-C reaches workers, too; the training loop decides what it means, and ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _stack(samples: Sequence[Sample]) -> Batch:
    return [np.stack(field) for field in zip(*samples, strict=True)]
