"""Training a network of one's own: the batches and metrics that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from small_layer import IMAGES, LABELS, accuracy, batches

from qcc._paddle import dygraph_mode, paddle, static_mode
from qcc.errors import ConfigError, DataError
from qcc.train import Network
from qcc.train.tasks.given import GivenTask

nn = paddle.nn


@pytest.fixture(scope="module")
def network() -> Network:
    program = paddle.static.Program()
    with static_mode(), paddle.static.program_guard(program):
        paddle.static.data("image", [None, 1, 6, 6])
        paddle.static.data("label", [None, 1], "int64")
    return Network(program, program, None, ("image", "label"), "loss", (), ("image",), ("scores",))


def test_batches_by_name_as_tensors(network: Network) -> None:
    def tensors(epoch: int) -> list[Any]:
        return [{"label": paddle.to_tensor(LABELS), "image": paddle.to_tensor(IMAGES)}]

    with static_mode():  # in which training runs
        (feeds,) = GivenTask(network, tensors, accuracy).train_batches(0, 0)
    np.testing.assert_array_equal(feeds["image"], IMAGES)


class Images(paddle.io.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return IMAGES[number], LABELS[number]


def test_the_batches_of_a_loader(network: Network) -> None:
    with dygraph_mode():
        loader = paddle.io.DataLoader(Images(), batch_size=48)
    with static_mode():
        found = list(GivenTask(network, loader, accuracy).train_batches(1, 0))
    assert [len(feeds["label"]) for feeds in found] == [48, 16]
    np.testing.assert_array_equal(found[0]["image"], IMAGES[:48])


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ((batch for batch in batches(0)), "nobody knows how many batches the generator gives"),
        ([], "there is no batch to train on"),
        ([(IMAGES,)], "training is fed by 2 arrays, image, label, and a batch holds 1: give a tuple of them"),
        ([IMAGES], r"fed by 2 arrays, image, label, and a batch is one, float32\["),
        (
            [{"img": IMAGES, "label": LABELS}],
            "a batch has no 'image': it holds img, label, and .* fed by image",
        ),
        ([(IMAGES * np.nan, LABELS)], "'image' has values that are not a number"),
        ([5], "a batch is a int, where a tuple of arrays is wanted"),
        ([(IMAGES, LABELS[:, 0])], r"'label' is int64\[64\], .* fed with int64\[-1, 1\]: give it these"),
        ([(IMAGES, LABELS / 2)], r"'label' is float64\[64, 1\], .*: give it `.astype\('int64'\)`"),
        ([(IMAGES[:0], LABELS[:0])], r"'image' is float32\[0, 1, 6, 6\], which is empty: leave such a batch"),
        (lambda: batches(0), "`train` raised TypeError: .* takes 0 positional arguments"),
    ],
)
def test_batches_that_are_refused(network: Network, train: Any, told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        GivenTask(network, train, accuracy)


class OfEpoch(list[Any]):
    def __init__(self, epoch: int) -> None:
        super().__init__(batches(epoch))


def test_a_class_whose_objects_are_the_batches_of_an_epoch(network: Network) -> None:
    task = GivenTask(network, OfEpoch, accuracy)
    for epoch in (0, 1):
        np.testing.assert_array_equal(next(task.train_batches(epoch, 0))["image"], batches(epoch)[0][0])


def test_what_is_raised_is_told_in_a_line(network: Network) -> None:
    def failing(epoch: int) -> Any:
        raise ValueError("no such file:\n  a.png\n  b.png")

    def tracing(epoch: int) -> Any:
        paddle.to_tensor(IMAGES).matmul(paddle.to_tensor(IMAGES[:3]))

    with pytest.raises(DataError, match=r"^`train` raised ValueError: \(InvalidArgument\) [^\n]*$"):
        GivenTask(network, tracing, accuracy)
    with pytest.raises(DataError, match=r"^`train` raised ValueError: no such file: a\.png b\.png\.$"):
        GivenTask(network, failing, accuracy)


class Once(list[Any]):
    """Batches that are used up when they were gone through."""

    def __init__(self, given: list[Any]) -> None:
        super().__init__(given)
        self._left = iter(given)

    def __iter__(self) -> Iterator[Any]:
        return self._left


def test_every_epoch_has_as_many_batches(network: Network) -> None:
    task = GivenTask(network, lambda epoch: batches(0)[epoch:], accuracy)
    assert len(list(task.train_batches(0, 1))) == 3
    with pytest.raises(DataError, match="epoch 1 has 3 batches, and the first 4"):
        next(task.train_batches(1, 0))
    task = GivenTask(network, Once(batches(0)), accuracy)
    assert len(list(task.train_batches(0, 0))) == 4
    with pytest.raises(DataError, match="the batches of epoch 1 end after 0 of 4: give a list"):
        list(task.train_batches(1, 0))


class Whole(list[Any]):
    """Batches that have to be gone through to the last one, as those of persistent workers."""

    gone_through = True

    def __iter__(self) -> Iterator[Any]:
        assert self.gone_through
        self.gone_through = False
        for number, batch in enumerate(super().__iter__(), 1):
            self.gone_through = number == len(self)
            yield batch


def test_batches_that_were_begun_are_gone_through(network: Network) -> None:
    given = batches(0)
    for first in (0, 2):  # of a training that goes on
        task = GivenTask(network, Whole(given), accuracy)
        for epoch in (first, first + 1):
            found = [feeds["image"] for feeds in task.train_batches(epoch, 0)]
            np.testing.assert_array_equal(found, [image for image, _ in given])
        of_epochs = GivenTask(network, batches, accuracy).train_batches(first, 0)
        np.testing.assert_array_equal(next(of_epochs)["image"], batches(first)[0][0])


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (lambda predict: predict(IMAGES, LABELS), "an array for each of image, and was given 2 arrays"),
        (lambda predict: predict(IMAGES[:0]), r"'image' is float32\[0, 1, 6, 6\], which is empty"),
        (lambda predict: None, "the metric 'metric' gives a NoneType, where one finite number is wanted"),
        (lambda predict: float("nan"), "the metric 'metric' gives nan, where"),
        (lambda predict: [][0], "the metric 'metric' raised IndexError: list index out of range"),
    ],
)
def test_metrics_that_are_refused(network: Network, metric: Any, told: str) -> None:
    task = GivenTask(network, batches, metric)
    with pytest.raises(DataError, match=told):
        task.evaluate(lambda feeds: [IMAGES])


def test_a_metric_computes_with_tensors(network: Network) -> None:
    with static_mode():
        found = GivenTask(network, batches, lambda predict: paddle.to_tensor(0.5)).evaluate(lambda feeds: [])
        with pytest.raises(ConfigError, match="the metric is a float, where a function is wanted"):
            GivenTask(network, batches, 0.5)  # type: ignore[arg-type]
    assert found == {"metric": 0.5}


@pytest.mark.parametrize("name", ["epoch", "kind", "quantized", "seconds", "step", "train_loss"])
def test_a_metric_does_not_take_the_place_of_what_records_hold(network: Network, name: str) -> None:
    def metric(predict: Callable[..., Any]) -> float:
        return 0.5

    metric.__name__ = name
    assert GivenTask(network, batches, metric).evaluate(lambda feeds: []) == {"metric": 0.5}
