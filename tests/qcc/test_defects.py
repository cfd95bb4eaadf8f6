"""Defects of Paddle's own quantization passes that qcc must not have; shown in Paddle where that is cheap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agreement import assert_same_integers, observe
from both import Both, Scheme
from paddle.static.quantization import QuantWeightPass
from paddle_passes import PLACE, ir_graph, paddle_freeze, paddle_transform, run_program
from qat_nets import (
    build,
    convolutions,
    functional,
    grouped_transposed,
    matrices,
    parameter,
    static,
    values_of,
)

import qcc
from qcc._paddle import paddle
from qcc.errors import PassError, PipelineError
from qcc.ir.nodes import Op
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.numerics import abs_max, quantize_weight
from qcc.passes import PassManager
from qcc.passes.fake_quant import QUANTIZE_OPS

PER_CHANNEL = Scheme("channel_wise_abs_max", "moving_average_abs_max")
PER_TENSOR = Scheme("abs_max", "moving_average_abs_max")


def run(pipeline: str, model: Model) -> Model:
    return PassManager.parse(pipeline).run(model)


def transformed(scheme: Scheme = PER_CHANNEL) -> Both:
    return Both.transformed(convolutions(), scheme)


def quantize_ops(model: Model) -> list[Op]:
    return [op for op in model.graph.ops if op.type in QUANTIZE_OPS]


def test_d1_minimize_after_transform_is_refused_and_before_it_every_weight_learns() -> None:
    net = convolutions()
    main, startup = static.Program(), static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", [-1, 3])
        loss = paddle.mean(static.nn.fc(x, 2))
    scope = static.Scope()
    with static.scope_guard(scope):
        static.Executor(PLACE).run(startup)
    forward = qcc.from_program(main, scope, ["x"], [loss.name], for_test=False)
    with pytest.raises(PassError, match=r"no backward op of Op\(mul .*call minimize before transform"):
        run("transform", forward)

    graph = paddle_transform(main, scope, for_test=False, **PER_TENSOR.options)
    late = graph.to_program()
    with static.program_guard(late):
        _, gradients = paddle.optimizer.SGD(0.1).minimize(late.global_block().var(loss.name))
    assert "fc_0.w_0" not in [parameter.name for parameter, gradient in gradients if gradient is not None]

    model = run(PER_CHANNEL.text, net.train_model())
    scope = static.Scope()
    model.write_weights(scope, overwrite=True)
    run_program(model.to_program(), scope, net.batch(), [net.loss])
    for trained in net.train.all_parameters():
        after = np.array(scope.find_var(trained.name).get_tensor())
        assert not np.array_equal(after, net.weights[trained.name]), trained.name


@pytest.mark.parametrize("weight_type", ["range_abs_max", "moving_average_abs_max"])
def test_d2_weights_trained_with_a_running_scale_can_be_frozen(weight_type: str) -> None:
    both = transformed(Scheme(weight_type, "moving_average_abs_max"))
    frozen = run("freeze", both.model)
    assert_same_integers(both.model, frozen, both.net.batch(3))
    per_channel = run("freeze{weight_type=channel_wise_abs_max}", both.model)
    assert per_channel.weights["conv2d_0.w_0@scale"].shape == (8,)
    with pytest.raises(AssertionError, match="is not a float"):
        paddle_freeze(both.graph, both.scope, weight_type=weight_type)
    assert np.abs(np.array(both.scope.find_var("conv2d_0.w_0").get_tensor())).max() == 127


def test_d3_freezing_twice_changes_nothing() -> None:
    both = transformed(PER_TENSOR)
    frozen = run("freeze", both.model)
    before = frozen.graph.to_proto().SerializeToString()
    weights = dict(frozen.weights)
    result = PassManager.parse("freeze").apply(frozen.graph)
    assert not result.modified
    assert result.notes == ("everything is frozen already.",)
    assert frozen.graph.to_proto().SerializeToString() == before
    assert all(frozen.weights[name] is array for name, array in weights.items())
    both.freeze()
    with pytest.raises(KeyError):
        paddle_freeze(both.graph, both.scope, weight_type="abs_max")


def test_d4_the_scope_that_somebody_trains_in_is_left_alone() -> None:
    net = convolutions()
    scope = net.scope()
    model = qcc.from_program(net.test, scope, [net.feed], [net.output], for_test=True)
    frozen = run("transform{activation_type=abs_max},freeze,int8,prune", model)
    assert frozen.weights["conv2d_0.w_0.int8"].dtype == np.int8
    for name, value in values_of(scope, model.weights).items():
        assert np.array_equal(value, net.weights[name])
        assert np.array_equal(model.weights[name], net.weights[name])
    both = transformed().freeze()
    assert not np.array_equal(
        values_of(both.scope, ["conv2d_0.w_0"])["conv2d_0.w_0"], net.weights["conv2d_0.w_0"]
    )


def test_d5_fetching_a_quantized_ops_output_gives_what_it_gave_before() -> None:
    both = transformed()
    name = "conv2d_0.tmp_0"
    both.model.graph.fetches = (name,)
    before, feed = both.model, both.net.batch(7)
    (expected,) = before.run(feed)
    both = both.freeze()
    (ours,) = both.model.run(feed)
    assert np.abs(ours - expected).max() < 1e-5
    assert np.abs(both.paddles_output(name) - expected).max() > 1e3


NAMES_OF_A_TRANSFORMED_GRAPH = """
import sys
sys.path.insert(0, sys.argv[1])
from qat_nets import convolutions
from qcc.passes import PassManager
for model in (convolutions().train_model(), convolutions().test_model()):
    model = PassManager.parse("transform{weight_type=channel_wise_abs_max}").run(model)
    sys.stdout.buffer.write(model.graph.to_proto().SerializeToString())
"""


def test_d6_names_and_order_are_the_same_in_every_process() -> None:
    support = str(Path(__file__).parents[1] / "support")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", NAMES_OF_A_TRANSFORMED_GRAPH, support],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in ("0", "1")
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert outputs[0] == outputs[1] != b""
    net = convolutions()
    known = set(net.train_model().graph._versions)
    model = run(PER_CHANNEL.text, net.train_model())
    made = {var.name for var in model.graph.vars} - known
    assert made
    for name in made:
        assert any(name.removeprefix(old)[:1] in ("@", ".") for old in known if name.startswith(old)), name
    graph = paddle_transform(net.train, net.scope(), for_test=False, **PER_CHANNEL.options)
    assert "state_0" in [node.name() for node in graph.all_var_nodes()]


def test_d7_scales_of_a_transposed_weight_lie_along_the_outputs_channels() -> None:
    both = Both.transformed(matrices(), PER_CHANNEL)
    assert both.model.graph.var("turned").shape == (5, 6)
    assert both.model.weights["turned@scale"].shape == (5,)
    qdq = run("freeze,qdq", both.model)
    (op,) = (
        op for op in qdq.graph.ops if op.type == "dequantize_linear" and op.input("X").name == "turned.int8"
    )
    assert op.attr("quant_axis") == 0
    assert qdq.weights["turned.int8@scale"].shape == (5,)


@pytest.mark.parametrize("weight_type", ["abs_max", "channel_wise_abs_max"])
@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(4, 8), (8, 4), (5, 6), (2, 8)])
def test_d8_the_qdq_form_takes_other_bits_than_8(
    weight_type: str, weight_bits: int, activation_bits: int
) -> None:
    scheme = Scheme(weight_type, "moving_average_abs_max", weight_bits, activation_bits)
    both = transformed(scheme)
    for name, value in observe(both.model, both.net.test_model(), both.net.batch(), share=1).items():
        both.model.weights[name] = value
    frozen = run("freeze", both.model)
    qdq = run("qdq", frozen)
    assert_same_integers(frozen, qdq, both.net.batch())
    largest = 2 ** (weight_bits - 1) - 1
    weights = [array for name, array in qdq.weights.items() if name.endswith(".int8")]
    assert [array.dtype for array in weights] == [np.int8] * 4
    assert max(np.abs(array).max() for array in weights) == largest


def test_d8_in_paddle_other_bits_are_an_unbound_variable() -> None:
    net = convolutions()
    scope = net.scope()
    from paddle.static.quantization import QuantizationTransformPassV2

    graph = ir_graph(net.test, for_test=True)
    with paddle.utils.unique_name.guard():
        QuantizationTransformPassV2(scope=scope, place=PLACE, weight_bits=4, is_test=True).apply(graph)
    with pytest.raises(UnboundLocalError):
        QuantWeightPass(scope, PLACE, quant_bits=4).apply(graph)


def test_d9_a_transposed_convolution_of_groups_can_be_frozen_per_channel() -> None:
    both = Both.transformed(grouped_transposed(), PER_CHANNEL)
    before = both.model
    both = both.freeze()
    assert_same_integers(before, both.model, both.net.batch(7))
    assert np.abs(both.output() - before.run(both.net.batch(7))[0]).max() < 1e-5
    # in, out / groups, h, w: each group repeats the scales.
    scales = both.model.weights["conv2d_transpose_0.w_0@scale.2"]
    assert np.array_equal(scales[:3], scales[3:])
    with pytest.raises(RuntimeError, match="Scales"):
        both.paddles_output(both.net.output)


def test_d10_weights_have_the_weights_bits_and_there_is_no_hook_that_could_change_it() -> None:
    model = run("transform{weight_bits=4,activation_bits=7}", convolutions().test_model())
    bits = {op.input("X").persistable: set() for op in quantize_ops(model)}
    for op in quantize_ops(model):
        bits[op.input("X").persistable].add(op.attr("bit_length"))
    assert bits == {True: {4}, False: {7}}
    with pytest.raises(PipelineError, match="no option 'weight_preprocess_func'"):
        PassManager.parse("transform{weight_preprocess_func=f}")


def skipping() -> qcc.Model:
    """Two convolutions on one input, the second in the scope skip_quant."""

    def layers(x: static.Variable) -> static.Variable:
        x = functional.relu(static.nn.conv2d(x, 3, 3, padding=1))
        first = static.nn.conv2d(x, 3, 3, bias_attr=False)
        with static.name_scope("skip_quant"):
            second = static.nn.conv2d(x, 3, 3, bias_attr=False)
        return first + second

    return build(layers, (-1, 3, 6, 6))


def test_d11_the_gradient_of_a_skipped_op_reads_what_the_op_reads() -> None:
    net = skipping()
    model = run("transform", net.train_model())
    skipped = model.graph.var("conv2d_2.tmp_0").producer
    assert skipped.input("Input").name == "relu_0.tmp_0"
    assert skipped.attr("skip_quant")
    (gradient,) = (
        op for op in model.graph.ops if op.type == "conv2d_grad" and op.input("Filter").name == "conv2d_2.w_0"
    )
    assert gradient.input("Input").name == "relu_0.tmp_0"
    graph = paddle_transform(net.train, net.scope(), for_test=False, **PER_TENSOR.options)
    (wrong,) = (
        op
        for op in graph.all_op_nodes()
        if op.name() == "conv2d_grad" and op.input("Filter") == ["conv2d_2.w_0"]
    )
    assert wrong.input("Input") == ["relu_0.tmp_0.quantized.dequantized"]


@pytest.mark.parametrize("activation_type", ["moving_average_abs_max", "range_abs_max", "abs_max"])
def test_d12_residuals_make_no_cycle(activation_type: str) -> None:
    net = convolutions()
    model = run(f"transform{{activation_type={activation_type}}}", net.train_model())
    verify(model.graph)
    for pair in quantize_ops(model):
        # What dequantizes reads the scale that was written, not the one before.
        (dequantize,) = pair.output("Out").consumers
        scale = dequantize.inputs.get("Scale", dequantize.inputs.get("Scales"))[0]
        assert scale is pair.output("OutScale")
    scope = static.Scope()
    model.write_weights(scope, overwrite=True)
    (loss,) = run_program(model.to_program(), scope, net.batch(), [net.loss])
    assert np.isfinite(loss)


def test_d13_ops_in_further_blocks_stay_as_they_are() -> None:
    """Paddle loops over sub-graphs with a typing error; qcc quantizes the main block alone, and says so."""
    model = looping()
    pipeline = "transform{activation_type=abs_max},freeze,int8,unpack,prune"
    quantized = run(pipeline, model)
    assert quantized.graph.to_proto().blocks[1:] == model.graph.to_proto().blocks[1:]
    assert "weight" in quantized.weights
    feed = {"x": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}
    assert np.abs(quantized.run(feed)[0] - model.run(feed)[0]).max() < 0.05


def looping() -> Model:
    """A weight in the main block and in a while loop."""
    main, scope = static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        x = static.data("x", [2, 3])
        weight = parameter("weight", 3, 3)
        y = paddle.matmul(x, weight)
        count, steps = paddle.zeros([1], "int64"), paddle.full([1], 2, "int64")
        _, y = static.nn.while_loop(
            lambda i, _: i < steps, lambda i, y: [i + 1, paddle.matmul(y, weight)], [count, y]
        )
    value = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    scope.var("weight").get_tensor().set(value, PLACE)
    return qcc.from_program(main, scope, ["x"], [y.name], for_test=True)


def test_d14_a_test_graph_stays_one_and_the_first_convolution_is_quantized_in_training() -> None:
    """qcc has no PACT, which the defect breaks by losing for_test and by wanting a gradient of the input."""
    model = convolutions().test_model()
    for pipeline in ("transform{activation_type=abs_max}", "freeze", "int8", "unpack", "prune"):
        model = run(pipeline, model)
        assert model.graph.for_test
        assert model.copy().graph.for_test
        assert all(op.attr("is_test", True) for op in quantize_ops(model))
    train = run("transform", convolutions().train_model())
    assert not train.graph.for_test
    assert not any(op.attr("is_test", False) for op in quantize_ops(train))
    first = train.graph.var("conv2d_0.tmp_0").producer
    assert first.input("Input").name == "x.quantized.dequantized"


def test_d15_duplicate_quantize_ops_are_pruned() -> None:
    both = Both.transformed(matrices(), PER_CHANNEL)
    model = run("freeze,qdq", both.model)
    ops, (before,) = len(model.graph.ops), model.run(both.net.batch())
    repeat_pair(model, "relu_0.tmp_0", "matmul_v2_1.tmp_0")
    verify(model.graph)
    assert np.array_equal(model.run(both.net.batch())[0], before)
    assert len(model.graph.ops) == ops + 2
    pruned = run("prune", model)
    assert len(pruned.graph.ops) == ops
    assert len(pruned.graph.versions("relu_0.tmp_0.quantized")) == 1
    assert np.array_equal(pruned.run(both.net.batch())[0], before)


def repeat_pair(model: Model, source: str, output: str) -> None:
    """Give the op behind `output` a pair of its own that writes the same variables, as Paddle does."""
    graph = model.graph
    reader = graph.var(output).producer
    quantized, dequantized = (graph.var(f"{source}.quantized{suffix}") for suffix in ("", ".dequantized"))
    again = {var: graph.add_version(var) for var in (quantized, dequantized)}
    for var in (quantized, dequantized):
        op = var.producer
        inputs = {slot: [again.get(read, read) for read in reads] for slot, reads in op.inputs.items()}
        attrs = {name: op.attr(name) for name in ("bit_length", "quant_axis", "op_role")}
        graph.add_op(op.type, inputs, {"Y": again[var]}, attrs, before=reader)
    graph.replace_input(reader, dequantized, again[dequantized])


def test_d16_per_tensor_weights_reach_the_qdq_form_as_such() -> None:
    """Paddle compares an op's name with 'abs_max', which no op has; qcc asks what the frozen op is."""
    both = transformed(PER_TENSOR)
    qdq = run("freeze,qdq", both.model)
    weights = [
        op for op in qdq.graph.ops if op.type == "dequantize_linear" and op.input("X").name.endswith(".int8")
    ]
    assert len(weights) == 4
    for op in weights:
        assert op.attr("quant_axis") == -1
        source = op.input("X").name.removesuffix(".int8")
        scale = qdq.weights[op.input("Scale").name]
        assert scale.shape == (1,)
        assert scale == pytest.approx(np.abs(both.net.weights[source]).max(), rel=1e-6)


def test_d17_rounding_by_adaround_does_not_exist_and_is_not_accepted_silently() -> None:
    with pytest.raises(
        PipelineError, match="pass 'freeze' has no option 'round_type'; it has weight_type, bias"
    ):
        PassManager.parse("freeze{round_type=adaround}")


@pytest.mark.parametrize("scheme", [PER_TENSOR, PER_CHANNEL], ids=str)
def test_d18_stale_weight_scales_are_computed_anew(scheme: Scheme) -> None:
    both = transformed(scheme)
    name = "conv2d_0.w_0"
    stale = both.model.weights[f"{name}@scale"] * np.float32(0.5)
    both.model.weights[f"{name}@scale"] = stale
    both.scope.find_var(f"{name}@scale").get_tensor().set(stale, PLACE)
    both = both.freeze()
    axis = 0 if scheme.per_channel else None
    w = both.net.weights[name]
    assert np.array_equal(both.model.weights[name], quantize_weight(w, abs_max(w, axis), 8, axis))
    paddles = values_of(both.scope, [name])[name]
    assert np.array_equal(paddles, quantize_weight(w, stale, 8, axis))
    assert (np.abs(paddles) == 127).mean() > 2 * (np.abs(both.model.weights[name]) == 127).mean()


@pytest.mark.parametrize("activation_type", ["moving_average_abs_max", "range_abs_max"])
def test_d19_scales_that_were_never_observed_are_refused(activation_type: str) -> None:
    net = convolutions()
    model = run(f"transform{{activation_type={activation_type}}}", net.test_model())
    with pytest.raises(PassError, match=r"Op\(conv2d .* reads 'x', whose scale 'x@scale' was never observed"):
        run("freeze", model)
    for name, value in observe(model, net.test_model(), net.batch()).items():
        model.weights[name] = value
    model.weights["relu_0.tmp_0@scale"] = np.zeros(1, np.float32)
    with pytest.raises(qcc.errors.QccError, match=r"relu_0.tmp_0@scale.*0"):
        run("freeze", model)

    scope = net.scope()
    scheme = Scheme("channel_wise_abs_max", activation_type)
    graph = paddle_transform(net.test, scope, for_test=True, **scheme.options)
    paddle_freeze(graph, scope, weight_type="channel_wise_abs_max")
    assert (np.abs(values_of(scope, ["conv2d_0.w_0"])["conv2d_0.w_0"]) == 127).all()
