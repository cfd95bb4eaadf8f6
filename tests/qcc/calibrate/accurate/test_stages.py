"""Running a network part by part gives what running it at once gives."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
import pytest
from lite_case import F, build_model, conv, floats, static

import qcc
from qcc._paddle import paddle
from qcc.calibrate.accurate.stages import Advance, parts
from qcc.calibrate.parts import Parts
from qcc.errors import DataError
from qcc.model import Model, Runner
from qcc.passes.channels import layers


def _overwritten(x: Any) -> Any:
    """A variable that is written twice, and read in between and behind."""
    first = conv(4, 3, padding=1)(x)
    out = paddle.assign(first)
    y = conv(4, 1)(F.relu(out))
    paddle.assign(y, output=out)
    return conv(4, 1)(F.relu(out) + y)


def _two_heads(x: Any) -> Any:
    x = F.relu(conv(4, 3)(x))
    left, right = conv(4, 1)(x), F.hardswish(x)
    return conv(2, 1)(left) + conv(2, 1)(right), F.softmax(left)


MODELS = {
    "residual": lambda: nets.build(nets.residual_net)["test"],
    "overwritten": lambda: build_model(_overwritten, (floats(1, 4, 8, 8),)),
    "two heads": lambda: build_model(_two_heads, (floats(1, 4, 8, 8),)),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers_read_what_they_read_in_one_run(name: str) -> None:
    model: Model = MODELS[name]()
    (feed,) = model.feeds
    image = floats(2, *model.graph.var(feed).shape[1:])
    found = [layer.op for layer in layers(model.graph)]
    values = {feed: image}
    for op, stage in zip(found, parts(model.graph, found), strict=True):
        values = Advance(model.graph, stage)(values)
        data = next(var for var in op.all_inputs() if not var.persistable)
        assert set(values) <= stage.kept
        if len(model.graph.versions(data.name)) == 1:
            (wanted,) = Runner(model).run({feed: image}, (data.name,))
            np.testing.assert_array_equal(values[data.name], wanted)
    assert name != "overwritten" or len(found) == 3


def test_what_cannot_be_cut_is_refused() -> None:
    def net(x: Any) -> Any:
        array = paddle.tensor.create_array("float32")
        place = paddle.zeros([1], "int64")
        paddle.tensor.array_write(conv(4, 1)(x), place, array)
        y = conv(4, 1)(x)
        return conv(4, 1)(paddle.tensor.array_read(array, place) + y)

    model = build_model(net, (floats(1, 4, 8, 8),))
    with pytest.raises(DataError, match=r"cannot be run in parts: .* is no dense tensor"):
        parts(model.graph, [layer.op for layer in layers(model.graph)])


def _of_one_size(x: Any) -> Any:
    y = conv(4, 3, padding=1)(x) + static.create_parameter([4, 8, 8], "float32")
    return conv(4, 1)(F.relu(y))


@pytest.mark.parametrize("size", [8, 6])
def test_what_a_part_does_not_run_on_is_an_error_of_the_data(size: int) -> None:
    """So that a step that cannot run the network in parts is left out, and the others go on."""
    model = build_model(_of_one_size, (floats(1, 4, 8, 8),), any_size=True)
    found = [layer.op for layer in layers(model.graph)]
    values = {"x0": floats(1, 4, size, size)}
    first, second = (Advance(model.graph, stage) for stage in parts(model.graph, found))
    if size == 8:
        assert second(first(values))
    else:
        with pytest.raises(
            DataError, match="the model does not run in parts: Paddle cannot run the model fed"
        ):
            second(first(values))


@pytest.mark.parametrize("size", [8, 6])
def test_what_a_network_that_is_cut_does_not_run_on_is_an_error_of_the_data(size: int) -> None:
    model = build_model(_of_one_size, (floats(1, 4, 8, 8),), any_size=True)
    network = Parts(model.graph, [], model.fetches, model.fetches)
    if size == 8:
        assert network.run({"x0": floats(1, 4, 8, 8)})
    else:
        with pytest.raises(
            DataError, match="the model does not run on the data: Paddle cannot run the model"
        ):
            network.run({"x0": floats(1, 4, 6, 6)})


def test_a_batch_that_the_model_does_not_run_on_is_named() -> None:
    model = build_model(_of_one_size, (floats(1, 4, 8, 8),), any_size=True)
    batches = [{"x0": floats(1, 4, size, size)} for size in (8, 6)]
    with pytest.raises(
        DataError, match="the model does not run on batch 2 of the data: Paddle cannot run the"
    ):
        qcc.quantize(model, batches)
