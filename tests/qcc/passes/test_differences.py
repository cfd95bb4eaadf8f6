"""Where qcc's passes differ from Paddle's on purpose, beside the numbered defects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from agreement import assert_same_integers, assert_same_layers, observe
from both import Both, Scheme
from paddle_passes import paddle_freeze, paddle_transform
from qat_nets import (
    build,
    convolutions,
    functional,
    old_matmul_transposed,
    paddle,
    parameter,
    shared_with_float,
    static,
    values_of,
    weight_on_the_left,
)
from same_program import NotTheSameError, same_graph

from qcc.errors import PassError
from qcc.model import Model
from qcc.numerics import SCALE_FLOOR, abs_max, quantize_weight
from qcc.passes import PassManager

PER_CHANNEL = Scheme("channel_wise_abs_max", "moving_average_abs_max")
PER_TENSOR = Scheme("abs_max", "moving_average_abs_max")


def run(pipeline: str, model: Model) -> Model:
    return PassManager.parse(pipeline).run(model)


def test_the_old_matmul_transposed_has_its_scales_along_the_outputs_channels() -> None:
    """Paddle turns the axis for matmul_v2 only; its frozen program does not run."""
    both = Both.transformed(old_matmul_transposed(), PER_CHANNEL)
    with pytest.raises(NotTheSameError, match="quant_axis"):
        both.renaming()
    assert both.model.weights["weight@scale"].shape == (3,)
    before = both.model
    both = both.freeze()
    assert_same_layers(before, both.model, both.net.batch(7))
    scope = both.net.scope()
    graph = paddle_transform(both.net.test, scope, for_test=True, **PER_CHANNEL.options)
    columns = np.abs(both.net.weights["weight"]).max(0)
    scope.find_var("weight@scale").get_tensor().set(columns, paddle.CPUPlace())
    paddle_freeze(graph, scope, weight_type="channel_wise_abs_max")
    paddles = Both(both.net, PER_CHANNEL, graph, scope, both.model)
    with pytest.raises(RuntimeError, match="Scales"):
        paddles.paddles_output(both.net.output)


def test_a_weight_on_the_left_stays_float_per_channel_and_is_quantized_per_tensor() -> None:
    """Its columns are no output channels: Paddle's frozen program does not run."""
    net = weight_on_the_left()
    model = net.test_model()
    result = PassManager.parse(PER_CHANNEL.text).apply(model.graph)
    assert not result.modified
    assert result.notes == (
        "Op(matmul_v2 -> matmul_v2_0.tmp_0) stays float: its weight 'weight' is the left operand,"
        " whose rows are no channels.",
    )
    both = Both.transformed(net, PER_TENSOR)
    assert_same_layers(both.model, run("freeze", both.model), net.batch(7))
    with pytest.raises(PassError, match="cannot have a scale per channel: its weight 'weight' is the left"):
        run("freeze{weight_type=channel_wise_abs_max}", both.model)
    scope = net.scope()
    graph = paddle_transform(net.test, scope, for_test=True, **PER_CHANNEL.options)
    paddle_freeze(graph, scope, weight_type="channel_wise_abs_max")
    paddles = Both(net, PER_CHANNEL, graph, scope, model)
    with pytest.raises(RuntimeError, match="Scales"):
        paddles.paddles_output(net.output)


@pytest.mark.parametrize("scheme", [PER_TENSOR, PER_CHANNEL], ids=str)
def test_float_ops_go_on_reading_the_float_weight(scheme: Scheme) -> None:
    """Paddle overwrites the weight, so that they read integers."""
    both = Both.transformed(shared_with_float(), scheme)
    before = both.model
    both = both.freeze()
    (expected,) = before.run(both.net.batch(7))
    assert np.abs(both.output() - expected).max() < 1e-5
    assert np.array_equal(both.model.weights["shared"], both.net.weights["shared"])
    assert np.abs(both.paddles_output(both.net.output) - expected).max() > 100
    packed = run("int8", both.model)
    assert packed.weights["shared.quantized.int8"].dtype == np.int8
    assert np.array_equal(packed.weights["shared"], both.net.weights["shared"])
    assert np.abs(packed.run(both.net.batch(7))[0] - expected).max() < 1e-5


@pytest.mark.parametrize("op", ["conv2d", "conv2d_transpose"])
def test_channels_may_come_last(op: str) -> None:
    """With data_format NHWC Paddle's frozen program does not run per channel."""

    def layers(x: static.Variable) -> static.Variable:
        if op == "conv2d":
            return functional.relu(static.nn.conv2d(x, 4, 3, data_format="NHWC", bias_attr=False))
        up = static.nn.conv2d_transpose(x, 4, filter_size=3, data_format="NHWC", bias_attr=False)
        return functional.relu(up)

    both = Both.transformed(build(layers, (-1, 5, 5, 3)), PER_CHANNEL)
    before = both.model
    both = both.freeze()
    assert_same_layers(before, both.model, both.net.batch(7))
    with pytest.raises(RuntimeError, match="Scales"):
        both.paddles_output(both.net.output)
    qdq = run("qdq", both.model)
    assert np.abs(qdq.run(both.net.batch())[0] - both.model.run(both.net.batch())[0]).max() < 0.02


def test_an_output_of_channels_alone_stays_float_per_channel() -> None:
    """Paddle's dequantize op wants a dimension before the channels'."""
    net = build(lambda x: functional.relu(paddle.matmul(x, parameter("weight", 5, 4))), (5,))
    result = PassManager.parse(PER_CHANNEL.text).apply(net.test_model().graph)
    assert not result.modified
    assert "has no dimension besides the channels" in result.notes[0]
    model = run("transform{activation_type=abs_max}", net.test_model())
    vector = {"x": np.linspace(-1, 1, 5, dtype=np.float32)}
    assert np.allclose(model.run(vector)[0], run("freeze", model).run(vector)[0], atol=1e-6)


@pytest.mark.parametrize("scheme", [PER_TENSOR, PER_CHANNEL], ids=str)
def test_scales_of_dead_weights_are_positive(scheme: Scheme) -> None:
    """Paddle stores 0 per channel; per tensor it takes the same stand-in."""
    net = convolutions()
    dead = dict(net.weights)
    dead["conv2d_0.w_0"] = dead["conv2d_0.w_0"].copy()
    dead["conv2d_0.w_0"][3] = 0
    both = Both.transformed(replace(net, weights=dead), scheme)
    if scheme.per_channel:  # what Paddle's forward run leaves in the scope
        measured = np.abs(dead["conv2d_0.w_0"]).max((1, 2, 3))
        both.scope.find_var("conv2d_0.w_0@scale").get_tensor().set(measured, paddle.CPUPlace())
    before = both.model
    both = both.freeze()
    renaming = both.renaming()
    assert_same_layers(before, both.model, net.batch(7))
    assert np.array_equal(both.output(), both.paddles_output(renaming.name(net.output)))
    if scheme.per_channel:
        ours = both.model.weights["conv2d_0.w_0@scale"]
        paddles = values_of(both.scope, [renaming.name("conv2d_0.w_0@scale")]).popitem()[1]
        assert ours[3] == SCALE_FLOOR
        assert paddles[3] == 0
        assert np.array_equal(np.delete(ours, 3), np.delete(paddles, 3))


@pytest.mark.parametrize("scheme", [PER_TENSOR, PER_CHANNEL], ids=str)
def test_a_weight_that_is_all_zero_goes_through_every_form(scheme: Scheme) -> None:
    net = convolutions()
    dead = {**net.weights, "conv2d_1.w_0": np.zeros_like(net.weights["conv2d_1.w_0"])}
    both = Both.transformed(replace(net, weights=dead), scheme)
    (expected,) = both.model.run(net.batch())
    frozen = run("freeze", both.model)
    assert_same_layers(both.model, frozen, net.batch(7))
    assert not frozen.weights["conv2d_1.w_0"].any()
    for pipeline in ("int8", "qdq", "int8,qdq"):
        assert np.allclose(run(pipeline, frozen).run(net.batch())[0], expected, atol=0.05)


@pytest.mark.parametrize("bits", [3, 8])
def test_bias_correction_is_that_of_paddle_per_tensor(bits: int) -> None:
    net = convolutions()
    rng = np.random.default_rng(0)
    skewed = {name: net.weights[name] for name in net.weights}
    for name in ("conv2d_0.w_0", "conv2d_1.w_0", "conv2d_2.w_0", "fc_0.w_0"):
        skewed[name] = rng.exponential(1, skewed[name].shape).astype(np.float32)
    scheme = Scheme("abs_max", "moving_average_abs_max", bits, 8)
    both = Both.transformed(replace(net, weights=skewed), scheme)
    ours = run("freeze{bias_correction=true}", both.model)
    options = {"weight_type": "abs_max", "weight_bits": bits}
    paddle_freeze(both.graph, both.scope, bias_correction=True, **options)
    for name in ("conv2d_0.w_0", "conv2d_1.w_0", "conv2d_2.w_0", "fc_0.w_0"):
        assert np.array_equal(ours.weights[name], values_of(both.scope, [name])[name]), name
    plain = run("freeze", both.model)
    assert bits > 3 or any(
        not np.array_equal(ours.weights[name], plain.weights[name]) for name in plain.weights
    )


def test_skipping_by_name_scope_marks_ops_as_paddle_does() -> None:
    def layers(x: static.Variable) -> static.Variable:
        x = functional.relu(static.nn.conv2d(x, 3, 3, padding=1))
        with static.name_scope("skip_quant"):
            x = functional.relu(static.nn.conv2d(x, 3, 3, padding=1))
        with static.name_scope("head"):
            return static.nn.conv2d(x, 3, 3)

    net = build(layers, (-1, 3, 6, 6))
    for patterns in (["skip_quant"], ["skip_quant", "head"], ["nowhere"]):
        graph = paddle_transform(
            net.test, net.scope(), for_test=True, skip_pattern=patterns, **PER_TENSOR.options
        )
        options = PER_TENSOR.text.removesuffix("}")
        model = run(f"{options},skip_pattern=[{','.join(patterns)}]}}", net.test_model())
        same_graph(model.to_program(), graph.to_program(), ["x", *net.weights])


def test_one_frozen_weight_of_two_ops_has_one_scale_variable() -> None:
    """Also where the two repeat the scales for different numbers of groups."""

    def layers(x: static.Variable) -> static.Variable:
        weight = parameter("weight", 4, 2, 3, 3)
        options = {"filter_size": 3, "param_attr": "weight", "bias_attr": False}
        one = static.nn.conv2d_transpose(x, 2, groups=1, **options)
        two = static.nn.conv2d_transpose(x, 4, groups=2, **options)
        return paddle.concat([one, two, two * paddle.mean(weight)], 1)

    net = build(layers, (-1, 4, 4, 4))
    model = run(PER_CHANNEL.text, net.test_model())
    for name, value in observe(model, net.test_model(), net.batch()).items():
        model.weights[name] = value
    frozen = run("freeze", model)
    assert frozen.weights["weight@scale"].shape == (2,)
    assert frozen.weights["weight@scale.2"].shape == (4,)
    assert np.allclose(model.run(net.batch(7))[0], frozen.run(net.batch(7))[0], atol=1e-5)
    packed = run("int8", frozen)
    assert_same_integers(frozen, packed, net.batch(7))
    qdq = run("qdq", frozen)
    assert np.abs(qdq.run(net.batch())[0] - frozen.run(net.batch())[0]).max() < 0.05


@pytest.mark.parametrize("trained", ["abs_max", "channel_wise_abs_max"])
@pytest.mark.parametrize("frozen", ["abs_max", "channel_wise_abs_max"])
def test_freeze_may_use_another_granularity_than_training(trained: str, frozen: str) -> None:
    """Paddle's freeze takes the scales that training left, and fails when they are too few or too many."""
    both = Both.transformed(convolutions(), Scheme(trained, "moving_average_abs_max", 6, 7))
    model = run(f"freeze{{weight_type={frozen}}}", both.model)
    axis = 0 if frozen == "channel_wise_abs_max" else None
    for name in ("conv2d_0.w_0", "conv2d_1.w_0", "conv2d_2.w_0"):
        w = both.net.weights[name]
        assert np.array_equal(model.weights[name], quantize_weight(w, abs_max(w, axis), 6, axis))
    # Whatever it was trained as, it is what training as that would have given.
    same = Both.transformed(both.net, Scheme(frozen, "moving_average_abs_max", 6, 7))
    expected = run("freeze", same.model)
    assert model.graph.to_proto() == expected.graph.to_proto()
    assert np.array_equal(model.run(both.net.batch())[0], expected.run(both.net.batch())[0])
