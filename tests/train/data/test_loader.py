from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from qcc.errors import DataError, WorkerError
from qcc.train.data.loader import Sample, load_batches, split_batches
from qcc.train.data.randomness import epoch_order, sample_generator


def noisy(index: int) -> Sample:
    noise = sample_generator(7, 1, index).random((2, 3), np.float32)
    return noise + np.float32(index), np.array([index], np.int64)


def test_split_batches() -> None:
    assert split_batches(range(5), 2, drop_last=False) == [[0, 1], [2, 3], [4]]
    assert split_batches(range(5), 2, drop_last=True) == [[0, 1], [2, 3]]
    assert split_batches(range(4), 2, drop_last=True) == [[0, 1], [2, 3]]
    assert split_batches(range(1), 2, drop_last=True) == []


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("first", [0, 3])
def test_batches_are_equal_for_any_number_of_workers_and_any_start(num_workers: int, first: int) -> None:
    batches = split_batches(epoch_order(7, 1, 20).tolist(), 4, drop_last=True)
    expected = [[np.stack(field) for field in zip(*map(noisy, batch), strict=True)] for batch in batches]
    loaded = list(load_batches(noisy, batches[first:], num_workers))
    assert len(loaded) == len(batches) - first
    for got, wanted in zip(loaded, expected[first:], strict=True):
        for array, reference in zip(got, wanted, strict=True):
            assert array.dtype == reference.dtype
            np.testing.assert_array_equal(array, reference)


def test_batches_in_another_thread() -> None:
    loaded: list[int] = []
    thread = threading.Thread(
        target=lambda: loaded.extend(len(batch) for batch in load_batches(noisy, [[0, 1]], 0))
    )
    thread.start()
    thread.join()
    assert loaded == [2]


def test_no_batches() -> None:
    assert list(load_batches(noisy, [], 0)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_data_is_raised_where_the_batch_is_asked_for(num_workers: int) -> None:
    def sample(index: int) -> Sample:
        if index == 5:
            raise DataError("file.xml, line 3: no such class.")
        return noisy(index)

    loaded = load_batches(sample, [[0, 1], [4, 5], [6, 7]], num_workers)

    next(loaded)
    with pytest.raises(DataError, match=r"^file\.xml, line 3: no such class\.$"):
        next(loaded)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (MemoryError("20 GiB"), DataError, r"^a batch of 2 samples does not fit into memory: 20 GiB\.$"),
        (
            KeyError("a slip"),
            RuntimeError,
            r"a batch could not be made:(.|\n)*KeyError: 'a slip'",
        ),
    ],
    ids=["memory", "defect"],
)
def test_every_error_reaches_the_one_who_asks(
    num_workers: int, error: Exception, raised: type[Exception], message: str
) -> None:
    def sample(index: int) -> Sample:
        raise error

    with pytest.raises(raised, match=message):
        next(load_batches(sample, [[0, 1]], num_workers))


def test_workers_do_not_wait_for_threads_that_were_not_forked() -> None:
    cv2.setNumThreads(2)

    (batch,) = load_batches(lambda index: (np.array(cv2.getNumThreads()),), [[0, 1]], 1)

    assert batch[0].tolist() == [1, 1]


def bad_from_five(index: int) -> Sample:
    if index >= 5:
        raise DataError("broken")
    return noisy(index)


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    assert not multiprocessing.active_children()
    yield
    assert not multiprocessing.active_children()


def test_an_error_ends_the_workers() -> None:
    loaded = load_batches(bad_from_five, [[index] for index in range(20)], 2)
    next(loaded)
    assert len(multiprocessing.active_children()) == 2
    with pytest.raises(DataError, match="broken"):
        list(loaded)
    assert not multiprocessing.active_children()


def test_a_loop_that_is_left_ends_the_workers() -> None:
    for _ in load_batches(noisy, [[index] for index in range(20)], 2):
        assert len(multiprocessing.active_children()) == 2
        break
    assert not multiprocessing.active_children()


def test_an_error_of_the_one_who_asks_ends_the_workers() -> None:
    def ask() -> None:
        for _ in load_batches(noisy, [[index] for index in range(20)], 2):
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ask()
    assert not multiprocessing.active_children()


def test_the_thread_that_prepares_batches_ends_with_them() -> None:
    """Without workers, too, nothing goes on in the background."""
    threads = set(threading.enumerate())
    for _ in load_batches(noisy, [[index] for index in range(20)], 0):
        break
    assert set(threading.enumerate()) <= threads


class Threads:
    """What Paddle's executors are: destroyed in a forked process, it waits for threads that are not there."""

    def __init__(self) -> None:
        self.owner, self.itself = os.getpid(), self

    def __del__(self) -> None:
        if os.getpid() != self.owner:
            os._exit(7)


def collecting_sample(index: int) -> tuple[np.ndarray]:
    gc.collect()
    return (np.array([index]),)


def test_workers_collect_nothing_that_the_parent_has_left_behind() -> None:
    gc.disable()
    try:
        Threads()
        batches = list(load_batches(collecting_sample, [[0], [1]], num_workers=1))
    finally:
        gc.enable()
    assert [int(fields[0][0, 0]) for fields in batches] == [0, 1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, r"was ended by SIGKILL, as the system does when memory runs out\.$"),
        (signal.SIGSEGV, r"was ended by SIGSEGV\.$"),
    ],
)
def test_a_worker_that_is_killed(number: signal.Signals, message: str) -> None:
    def sample(index: int) -> Sample:
        if index == 13:
            os.kill(os.getpid(), number)
        return noisy(index)

    with pytest.raises(WorkerError, match=f"a process that loads data {message}"):
        for _ in load_batches(sample, [[index] for index in range(20)], 2):
            pass
