"""Passes that move factors and biases between layers leave the function as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static

from qcc._paddle import paddle
from qcc.calibrate.collect import numbered
from qcc.calibrate.equalization import absorbing_biases, equalizing, gaining
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.absorb_bias import absorbing
from qcc.passes.channels import links, unlinked

IMAGE = floats(2, 4, 10, 10)
nn = paddle.nn


def conv(x: Any, channels: int, size: int = 1, **options: Any) -> Any:
    return static.nn.conv2d(x, channels, size, **options)


def plain(x: Any) -> Any:
    x = F.relu(conv(x, 8, 3, padding=1))
    x = F.leaky_relu(conv(x, 8, 3, groups=8, bias_attr=False))
    x = F.max_pool2d(conv(x, 8, groups=2), 2)
    return conv(F.upsample(x, scale_factor=2, mode="nearest"), 4)


def to_matrices(x: Any) -> Any:
    x = F.adaptive_avg_pool2d(F.relu(conv(x, 8)), 1)
    x = paddle.flatten(x, 1)
    return paddle.nn.Linear(6, 3)(F.relu(paddle.nn.Linear(8, 6)(x)))


def transposed(x: Any) -> Any:
    x = F.relu(conv(x, 8))
    x = F.relu(static.nn.conv2d_transpose(x, 8, filter_size=2, stride=2, groups=2))
    return conv(x, 2), conv(x, 3)


def with_slopes(x: Any) -> Any:
    x = static.nn.prelu(conv(x, 8), "channel")
    return conv(static.nn.prelu(conv(x, 6), "all"), 4)


NETS = {
    "plain": (plain, 3),
    "with slopes": (with_slopes, 2),
    "to matrices": (to_matrices, 2),
    "transposed": (transposed, 2),
}


def spread(model: Model) -> Model:
    """The model with weights of very different sizes."""
    random = np.random.default_rng(0)
    for name, value in model.weights.items():
        if value.ndim > 1:
            octaves = random.integers(-6, 6, value.shape[:2])
            factors = np.exp2(octaves).reshape(*octaves.shape, *[1] * (value.ndim - 2))
            model.weights[name] = (value * factors).astype(np.float32)
    return model


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("by", ["weights", "data"])
def test_equalizing_moves_no_output(name: str, by: str) -> None:
    net, count = NETS[name]
    model = spread(build_model(net, (IMAGE,)))
    assert len(list(links(model.graph))) == count
    passes = PassManager.parse("equalize").passes
    if by == "data":
        passes = equalizing(model, list(numbered([{"x0": IMAGE}])))
    equalized = PassManager(passes).run(model)
    changed = [name for name, value in model.weights.items() if (equalized.weights[name] != value).any()]
    assert len(changed) > count
    for wanted, found in zip(model.run({"x0": IMAGE}), equalized.run({"x0": IMAGE}), strict=True):
        np.testing.assert_array_equal(found, wanted)
    again = PassManager(passes).run(equalized)
    assert all((again.weights[name] == value).all() for name, value in equalized.weights.items())


def affine(x: Any) -> Any:
    """A scale and a shift behind hard_swish, as PaddleOCR's newer networks have, a batch norm that no
    convolution takes in, and a norm of tokens."""

    def number(value: float) -> Any:
        return static.create_parameter([1], "float32", default_initializer=nn.initializer.Constant(value))

    x = number(1.3) * F.hardswish(conv(x, 8)) + number(0.2)
    x = conv(x, 8, 3, groups=8)
    x = conv(F.relu(static.nn.batch_norm(F.sigmoid(x), is_test=True)), 6)
    tokens = nn.LayerNorm(6)(paddle.transpose(paddle.flatten(x, 2), [0, 2, 1]))
    return nn.Linear(6, 3)(tokens)


def test_equalizing_from_gains_moves_no_output() -> None:
    model = spread(build_model(affine, (IMAGE,)))
    found = [link.first.op.type for link in links(model.graph, from_gains=True)]
    assert found == ["elementwise_mul", "batch_norm", "layer_norm"]
    assert not list(links(model.graph))
    passes = equalizing(model, list(numbered([{"x0": IMAGE}])))
    equalized = PassManager(passes).run(model)
    np.testing.assert_array_equal(equalized.run({"x0": IMAGE})[0], model.run({"x0": IMAGE})[0])
    again = PassManager(passes).run(equalized)
    assert all((again.weights[name] == value).all() for name, value in equalized.weights.items())


def smooth(x: Any) -> Any:
    """Activations and sums that no factor passes through."""
    x = F.hardswish(conv(x, 8))
    x = conv(x, 8, 3, groups=8) + F.silu(conv(x, 8, 3))
    tokens = paddle.transpose(paddle.flatten(conv(x, 6), 2), [0, 2, 1])
    return nn.Linear(5, 3)(F.gelu(nn.Linear(6, 5)(tokens)))


def test_gains_move_no_output_and_bring_channels_to_like_ranges() -> None:
    model = spread(build_model(smooth, (IMAGE,)))
    found = [one.op.type for one in unlinked(model.graph)]
    assert found == ["hard_swish", "elementwise_add", "transpose2", "gelu"]
    names = [one.var.name for one in unlinked(model.graph)]
    batches = list(numbered([{"x0": IMAGE}]))
    assert not gaining(model, batches, ())
    passes = gaining(model, batches, names[:2])
    gained = PassManager(passes).run(model)
    np.testing.assert_array_equal(gained.run({"x0": IMAGE})[0], model.run({"x0": IMAGE})[0])
    assert [one.var.name for one in unlinked(gained.graph)] == names[2:]

    def apart(one: Model) -> float:
        shown = one.copy()
        shown.graph.fetches = (names[0],)
        largest = np.abs(shown.run({"x0": IMAGE})[0]).max((0, 2, 3))
        return float(largest.max() / np.median(largest))

    assert apart(gained) < 2 < apart(model)


def test_a_relu6_that_stays_below_its_limit_lets_factors_pass() -> None:
    def net(x: Any) -> Any:
        return conv(F.relu6(conv(x, 8)), 2)

    for scale, count in ((0.01, 2), (100.0, 0)):
        model = build_model(net, (IMAGE,))
        model.weights["conv2d_0.w_0"] = spread(model).weights["conv2d_0.w_0"] * np.float32(scale)
        passes = equalizing(model, list(numbered([{"x0": IMAGE}])))
        assert len(passes) == count
        if passes:
            assert [op.type for op in PassManager(passes).run(model).graph.ops][2] == "relu"


def test_absorbing_moves_the_output_little_and_the_range_much() -> None:
    def net(x: Any) -> Any:
        x = F.relu(conv(x, 8))
        return conv(x, 4)

    model = build_model(net, (IMAGE,))
    (first,) = (link.bias(model.graph) for link in links(model.graph))
    assert first is not None
    first.put(model.graph, first.value + np.float32([20, 0, 0, 0, 0, 0, 0, 30]))
    batches = list(numbered([{"x0": IMAGE}]))
    (absorbing,) = absorbing_biases(model, batches)
    absorbed = PassManager((absorbing,)).run(model)
    (link,) = links(model.graph)
    before, after = (one.run({"x0": IMAGE})[0] for one in (model, absorbed))
    np.testing.assert_allclose(after, before, atol=0.02 * np.abs(before).max())
    ranges = []
    for one in (model, absorbed):
        shown = one.copy()
        shown.graph.fetches = (link.var.name,)
        ranges.append(float(shown.run({"x0": IMAGE})[0].max()))
    assert ranges[1] < 0.5 * ranges[0]


def test_biases_do_not_move_into_a_transposed_convolution() -> None:
    def net(x: Any) -> Any:
        return static.nn.conv2d_transpose(F.relu(conv(x, 8)), 4, filter_size=3, stride=2)

    assert len(list(links(build_model(net, (IMAGE,)).graph))) == 1
    assert not absorbing(build_model(net, (IMAGE,)).graph)


def test_channels_are_not_taken_for_another_dimension_that_is_as_long() -> None:
    # A convolution's channels stand in dimension 1, a product's in the last one; here both are 10.
    model = build_model(lambda x: conv(paddle.nn.Linear(10, 10)(conv(x, 10)), 4), (IMAGE,))
    assert not list(links(model.graph, from_gains=True))
