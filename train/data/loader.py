"""Batches by `paddle.io.DataLoader`, equal for any number of workers and from any starting point."""

from __future__ import annotations

import gc
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import current_thread, main_thread
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qcc._paddle import core, paddle
from qcc.errors import DataError, WorkerError
from qcc.failures import signal_name
from qcc.ir.collector import collector_paused

_GOOD, _BAD_DATA, _DEFECT = (np.array([kind], np.uint8) for kind in range(3))

Sample = tuple[NDArray[Any], ...]
Batch = list[NDArray[Any]]


class _Indices(paddle.io.Dataset):  # type: ignore[misc]
    """The data set that DataLoader asks for: the samples are made where a batch is put together."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __getitem__(self, index: int) -> int:
        return index

    def __len__(self) -> int:
        return self._count


def spread(total: int, count: int) -> list[int]:
    """At most `count` of the indices below `total`, evenly apart."""
    return [index * total // min(count, total) for index in range(min(count, total))]


def split_batches(order: Sequence[int], batch_size: int, drop_last: bool) -> list[list[int]]:
    """Cut an order of sample indices into batches; `drop_last` leaves out a shorter last one."""
    batches = [list(order[start : start + batch_size]) for start in range(0, len(order), batch_size)]
    if drop_last and batches and len(batches[-1]) < batch_size:
        batches.pop()
    return batches


def part_of_each(batches: Sequence[Sequence[int]], part: int, parts: int) -> list[list[int]]:
    """Part number `part` of each batch, all of whose `parts` are as large; together they are the batch."""
    sizes = [len(batch) // parts for batch in batches]
    return [list(batch[part * size : (part + 1) * size]) for batch, size in zip(batches, sizes, strict=True)]


def load_batches(
    sample: Callable[[int], Sample], batches: Sequence[Sequence[int]], num_workers: int
) -> Iterator[Batch]:
    """Yield one list of arrays per batch, in order: field i stacked over the samples of the batch.

    `sample` maps an index to a tuple of arrays and must be a pure function of it; with workers it runs in
    `num_workers` forked processes. A DataError that it raises is raised here, also for a batch that does not
    fit into memory; WorkerError when a process is ended by a signal. The processes end with the batches: when
    there are no more, at an error, and when nobody wants any more.
    """
    if not batches:
        return
    if num_workers:
        # A forked process inherits the locks of OpenCV's threads and not the threads, and would wait forever.
        cv2.setNumThreads(0)
    count = 1 + max(max(batch) for batch in batches)
    loader = paddle.io.DataLoader(
        _Indices(count),
        batch_sampler=[list(batch) for batch in batches],
        places=core.CPUPlace(),
        return_list=True,
        collate_fn=partial(_batch, sample),
        num_workers=num_workers,
        worker_init_fn=_begin_as_worker,
    )
    handler = signal.getsignal(signal.SIGCHLD)
    with collector_paused():
        iterator = iter(loader)
    # Paddle's own handler raises where the program happens to be when a process ends, in a training step or
    # in the clearing up. Without it the thread that collects batches finds out within 5 seconds.
    if current_thread() is main_thread():  # nobody can set one elsewhere
        signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
    try:
        for tensors in _watched(iterator):
            kind, *fields = (np.array(tensor) for tensor in tensors)
            if kind == _BAD_DATA:
                raise DataError(fields[0].tobytes().decode())
            if kind == _DEFECT:
                raise RuntimeError(f"a batch could not be made:\n{fields[0].tobytes().decode()}")
            yield fields
    finally:
        # The thread that collects batches refers to the iterator, which therefore never ends by itself.
        iterator._try_shutdown_all()


def _watched(iterator: Any) -> Iterator[Any]:
    """What a DataLoader gives.  Raises WorkerError when one of its processes has been ended by a signal."""
    while True:
        try:
            tensors = next(iterator)
        except StopIteration:
            return
        except SystemError as error:
            # Paddle says that its queue was killed, and not why. A process that a signal ends removes the
            # memory that it shares before it is gone: when all have been waited for, it is known which.
            iterator._try_shutdown_all()
            codes = [worker.exitcode for worker in getattr(iterator, "_workers", ())]
            ended = next((code for code in codes if code is not None and code < 0), None)
            if ended is None:
                raise
            name = signal_name(-ended)
            out_of_memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            raise WorkerError(f"a process that loads data was ended by {name}{out_of_memory}.") from error
        yield tensors


def _begin_as_worker(_worker: int) -> None:
    """Ctrl-C reaches workers, too; the training loop decides what it means, and ends them.

    And what the parent has left behind is not collected here: an executor of Paddle that is destroyed in a
    forked process waits forever for its threads, which are not there.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()
    gc.enable()


def _batch(sample: Callable[[int], Sample], indices: Sequence[int]) -> Batch:
    """`_GOOD` and the fields, or how it failed and a message.

    DataLoader prints what is raised here from a thread of its own and waits forever for the batch. So every
    error, also one that is a defect of qcc, goes to the process that asks, in place of the batch.
    """
    try:
        fields = zip(*(sample(index) for index in indices), strict=True)
        return [_GOOD, *(np.stack(field) for field in fields)]
    except DataError as error:
        return [_BAD_DATA, _text(str(error))]
    except MemoryError as error:
        return [_BAD_DATA, _text(f"a batch of {len(indices)} samples does not fit into memory: {error}.")]
    except Exception:
        return [_DEFECT, _text(traceback.format_exc())]


def _text(message: str) -> NDArray[Any]:
    return np.frombuffer(message.encode(), np.uint8)
