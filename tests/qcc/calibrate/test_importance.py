"""How much each channel of an activation matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lite_case import build_model, floats

from qcc._paddle import paddle
from qcc.calibrate.importance import Importance, importances, importances_before
from qcc.model import Model
from qcc.passes.quantizable import operands


def only(model: Model) -> Importance:
    (found,) = importances(model.graph, model.weights).values()
    return found


def by_channel(importance: Importance) -> np.ndarray:
    return importance.of_rows[importance.rows.of_channels]


def set_weight(model: Model, value: np.ndarray) -> None:
    (found,) = (one for op in model.graph.ops if (one := operands(op)) is not None)
    model.weights[found.weight.name] = value.astype(np.float32)


# Of each: a layer for 4 channels, the shape of its input, and of its weight; the weight's dimension of them.
LAYERS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], int]] = {
    "conv": (lambda: paddle.nn.Conv2D(4, 6, 3, bias_attr=False), (1, 4, 8, 8), (6, 4, 3, 3), 1),
    "depthwise": (
        lambda: paddle.nn.Conv2D(4, 4, 3, groups=4, bias_attr=False),
        (1, 4, 8, 8),
        (4, 1, 3, 3),
        0,
    ),
    "transposed": (
        lambda: paddle.nn.Conv2DTranspose(4, 6, 2, bias_attr=False),
        (1, 4, 8, 8),
        (4, 6, 2, 2),
        0,
    ),
    "linear": (lambda: paddle.nn.Linear(4, 6, bias_attr=False), (2, 3, 4), (4, 6), 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_the_sum_of_squares(name: str) -> None:
    layer, shape, weight_shape, dimension = LAYERS[name]
    model = build_model(lambda x: layer()(x), (floats(*shape),))
    channels = np.array([1, 2, 4, 0.5])
    ones = [1] * len(weight_shape)
    ones[dimension] = 4
    set_weight(model, np.ones(weight_shape) * channels.reshape(ones))
    found = only(model)
    per_channel = np.prod(weight_shape) / 4
    np.testing.assert_array_equal(by_channel(found), 2 ** np.rint(np.log2(per_channel * channels**2)))
    assert found.rows.axis == (-1 if name == "linear" else 1)


def test_groups_meet_their_own_inputs() -> None:
    model = build_model(
        lambda x: paddle.nn.Conv2D(4, 6, 1, groups=2, bias_attr=False)(x), (floats(1, 4, 8, 8),)
    )
    # Outputs 0 to 2 read channels 0 and 1, outputs 3 to 5 channels 2 and 3.
    weight = np.array([[1, 2]] * 3 + [[8, 16]] * 3).reshape(6, 2, 1, 1)
    set_weight(model, weight)
    np.testing.assert_array_equal(by_channel(only(model)), 4 * np.array([1, 2, 8, 16]) ** 2)


def test_readers_add_up_or_do_not_agree() -> None:
    def two(x: Any) -> Any:
        first, second = (paddle.nn.Conv2D(4, 4, 1, bias_attr=False) for _ in range(2))
        return first(x) + second(x)

    model = build_model(two, (floats(1, 4, 4, 4),))
    for op in model.graph.ops:
        found = operands(op)
        if found is not None:
            model.weights[found.weight.name] = np.ones((4, 4, 1, 1), np.float32)
    np.testing.assert_array_equal(by_channel(only(model)), [8, 8, 8, 8])

    def other_axes(x: Any) -> Any:
        conv, linear = paddle.nn.Conv2D(4, 4, 1), paddle.nn.Linear(4, 4)
        return conv(x) + linear(x)

    other = build_model(other_axes, (floats(1, 4, 4, 4),))
    assert importances(other.graph, other.weights) == {}
    assert importances(model.graph, []) == {}


def test_channels_that_do_not_matter() -> None:
    model = build_model(lambda x: paddle.nn.Conv2D(2, 2, 1, bias_attr=False)(x), (floats(1, 2, 4, 4),))
    set_weight(model, np.array([[1, 0], [1, 0]]).reshape(2, 2, 1, 1))
    np.testing.assert_array_equal(by_channel(only(model)), [2, 2 * 2.0**-30])
    set_weight(model, np.zeros((2, 2, 1, 1)))
    assert only(model).rows.count == 1


def test_it_is_told_of_what_comes_before_activations_and_sums() -> None:
    def net(x: Any) -> Any:
        first = paddle.nn.functional.hardswish(paddle.nn.Conv2D(4, 4, 1)(x))
        second = paddle.nn.Conv2D(4, 4, 1, bias_attr=False)(first)
        layer = paddle.nn.Conv2D(4, 2, 1, bias_attr=False)
        return layer(second + first), paddle.nn.functional.softmax(paddle.nn.Conv2D(4, 4, 1)(first))

    model = build_model(net, (floats(1, 4, 4, 4),))
    convs = [op for op in model.graph.ops if op.type == "conv2d"]
    for op, value in zip(convs, ([1.0] * 4, [2.0, 1, 1, 1], [1.0, 4, 1, 1], [1.0] * 4), strict=True):
        shape = model.weights[op.input("Filter").name].shape
        model.weights[op.input("Filter").name] = np.full(shape, np.reshape(value, (1, 4, 1, 1)), np.float32)
    names = [op.input("X").name for op in model.graph.ops if op.type == "hard_swish"]
    sums = [convs[1].output("Output").name, convs[3].output("Output").name]
    found = importances_before(model.graph, [*names, *sums])
    # Four outputs of the second, two of the layer, and four of the one in front of softmax, rounded.
    np.testing.assert_array_equal(by_channel(found[names[0]]), [16, 32, 8, 8])
    np.testing.assert_array_equal(by_channel(found[sums[0]]), [2, 32, 2, 2])
    assert sums[1] not in found  # what softmax reads is no layer's


def test_it_is_told_of_what_comes_before_joins_and_factors() -> None:
    def net(x: Any) -> Any:
        halves = [paddle.nn.Conv2D(4, 2, 1, bias_attr=False)(x) for _ in range(2)]
        factor = paddle.static.create_parameter([1, 4, 1, 1], "float32", name="factor")
        return paddle.nn.Conv2D(4, 1, 1, bias_attr=False)(paddle.concat(halves, 1) * factor)

    model = build_model(net, (floats(1, 4, 4, 4),))
    *halves, last = (op for op in model.graph.ops if op.type == "conv2d")
    model.weights["factor"] = np.float32([1, 2, 4, 8]).reshape(1, 4, 1, 1)
    model.weights[last.input("Filter").name] = np.ones((1, 4, 1, 1), np.float32)
    names = [half.output("Output").name for half in halves]
    found = importances_before(model.graph, names)
    assert [list(by_channel(found[name])) for name in names] == [[1, 4], [16, 64]]
