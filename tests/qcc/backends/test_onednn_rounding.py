"""What oneDNN's int8 engine rounds to: the very numbers that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from lite_commands import small
from onnx_files import frozen

import qcc
from qcc.backends.agreement import distances
from qcc.backends.apart import take_apart
from qcc.backends.engines.engine import Engine
from qcc.backends.onednn_rounding import as_onednn_rounds, is_unsigned, rounded_again
from qcc.backends.predictor import PaddleExecutor, Predictor
from qcc.backends.reference import reference, write_opened
from qcc.model import Model
from qcc.passes.frozen import frozen_ops
from qcc.passes.round_trip import linear_attrs
from qcc.quantization import quantized_ops
from qcc.targets.processor import has_vnni

QUANTIZE = "fake_quantize_moving_average_abs_max"
LISTED = ("conv2d", "depthwise_conv2d", "fused_conv2d")


@pytest.fixture(scope="module", params=["float", "qdq"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    folder = tmp_path_factory.mktemp("rounding")
    target = {} if request.param == "float" else {"target": "paddle-x86"}
    qcc.save(small()[0], folder, form=request.param, check=False, **target)
    return qcc.load(folder), folder


def test_ops_of_unsigned_activations_give_what_the_engine_gives(tmp_path: Path) -> None:
    model, inputs = channel_wise()
    qcc.save(model, tmp_path, target="paddle-x86", check=False)
    found = reference(qcc.load(tmp_path), tmp_path / "model.pdmodel", tmp_path / "model.pdiparams", inputs)
    (apart,) = take_apart(found)
    engine = Predictor(apart.program, apart.params, Engine(onednn=True, int8=True, int8_ops=LISTED))
    program = tmp_path / "rounded"
    write_opened(as_onednn_rounds(apart.cut.graph, LISTED), apart.cut.ends, program)
    rounded = PaddleExecutor(program, apart.params).run(apart.inputs, apart.cut.ends)
    given = engine.run(apart.inputs)
    # The first convolution reads the network's input, which is signed, the second one what a relu gives.
    _, near, product = distances(given, rounded)
    _, far, rounding = distances(given, apart.wanted)
    assert near.mean < 1e-6 < 1e-4 < far.mean
    assert product.mean < 1e-6 < 1e-4 < rounding.mean


def test_pairs_of_ops_without_a_weight_are_left_out(tmp_path: Path) -> None:
    """The PTQ of Paddle 3 puts them in front of sums and pools; the engine takes all of them out."""
    model, inputs = channel_wise()
    model = qcc.load(qcc.save(model, tmp_path / "qdq", form="qdq", check=False).files[0].parent)
    graph = model.graph
    relu = next(op for op in graph.ops if op.type == "relu")
    var = relu.output("Out")
    attrs = linear_attrs(8, -1)
    scale = graph.add_var("coarse", "float32", (1,), np.array([8.0], np.float32))
    zero = graph.add_var("zero", "int32", (1,), np.zeros(1, np.int32))
    integers, rounded = graph.add_var_like("integers", var), graph.add_var_like("rounded", var)
    slots = {"Scale": scale, "ZeroPoint": zero}
    result = graph.add_var_like("result", var)
    for op_type, x, slot, out in (
        ("quantize_linear", var, "Y", integers),
        ("dequantize_linear", integers, "Y", rounded),
    ):
        graph.add_op(op_type, {"X": x, **slots}, {slot: out}, attrs)
    graph.add_op("relu", {"X": rounded}, {"Out": result}, {})
    graph.fetches = (*graph.fetches, result.name)
    saved = qcc.save(model, tmp_path / "engine", form="qdq", check=inputs)
    assert all(check.good for check in saved.checks), saved.checks
    found = as_onednn_rounds(graph, LISTED)
    assert found.var("result").producer.input("X").name == var.name


def channel_wise() -> tuple[Model, dict[str, np.ndarray]]:
    return small(weight_type="channel_wise_abs_max")


def test_weights_are_rounded_again_for_signed_activations_or_one_scale() -> None:
    one_scale, per_channel = small()[0].graph, channel_wise()[0].graph
    first, second = "conv2d_0.w_0", "conv2d_1.w_0"
    assert rounded_again(per_channel, LISTED, vnni=False) == [first]
    assert rounded_again(per_channel, LISTED, vnni=True) == []
    for vnni in (False, True):
        assert rounded_again(one_scale, LISTED, vnni) == [first, second]
        assert rounded_again(one_scale, ("depthwise_conv2d",), vnni) == []


def test_steps_of_an_unsigned_activation_are_finer_by_255_to_127(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    found = as_onednn_rounds(model.graph, LISTED)
    made = [op.output("Out").name for op in found.ops if op.type == "round"]
    assert made
    unsigned = {one.op for one in quantized_ops(model.graph) if one.op.type in LISTED}
    assert len(made) <= len(unsigned)
    program = folder / "steps"
    write_opened(found, made, program)
    for steps in PaddleExecutor(program, folder / "model.pdiparams").run(small()[1], made):
        assert np.array_equal(steps, np.rint(steps))
        assert steps.min() >= 0
        assert 127 < steps.max() <= 255
    program.unlink()


def test_what_is_not_listed_reads_what_is_not_rounded(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    found = as_onednn_rounds(model.graph, ())
    program, name = folder / "unrounded", model.fetches[0]
    write_opened(found, [name], program)
    inputs = small()[1]
    nudged = {name: array * np.float32(1 + 1e-5) for name, array in inputs.items()}
    runs = [
        PaddleExecutor(program, folder / "model.pdiparams").run(one, [name])[0] for one in (inputs, nudged)
    ]
    # What is rounded stays where it is, or jumps by a step.
    share = np.abs(runs[1] - runs[0]) / np.ptp(runs[0])
    assert 0 < share.max() < 1e-4
    program.unlink()


def test_a_scale_of_zero_gives_zeros(saved: tuple[Model, Path]) -> None:
    """As other tools write it where an activation is dead."""
    model = saved[0].copy()
    quantizes = [op for op in model.graph.ops if op.type in ("quantize_linear", QUANTIZE)]
    (unsigned,) = [op for op in quantizes if is_unsigned(op.input("X"))]
    scale = unsigned.input("Scale" if unsigned.type == "quantize_linear" else "InScale").name
    model.weights[scale] = np.zeros_like(model.weights[scale])
    found, inputs = Model(as_onednn_rounds(model.graph, LISTED)), small()[1]
    # Up to the steps of what is rounded elsewhere.
    assert np.abs(found.run(inputs)[0] - model.run(inputs)[0]).max() < 0.01


def test_only_what_a_relu_gives_is_unsigned(saved: tuple[Model, Path]) -> None:
    graph = saved[0].graph
    assert {var.producer.type for op in graph.ops for var in op.all_inputs() if is_unsigned(var)} == {"relu"}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("fetched", [True, False])
def test_what_a_convolution_gives_is_rounded_for_all(signed: bool, fetched: bool, tmp_path: Path) -> None:
    """One reader takes its integers; the other one, or the fetch, gets no more than these."""
    x = floats(1, 4, 8, 8)

    def build(image: Any) -> list[Any]:
        between = static.nn.conv2d(image, 4, 3, padding=1)
        between = between if signed else F.relu(between)
        return [static.nn.conv2d(between, 4, 1), between if fetched else between[:, 1:]]

    model = frozen(build_model(build, (x,)), {"x0": x})
    for one in frozen_ops(model.graph):
        # Without VNNI the engine halves the integers that meet signed ones: even ones lose nothing by that,
        # and the largest, which stand for the scale, are not to be.
        whole = model.weights[one.weight.name]
        even = np.where(np.abs(whole) == 127, whole, np.clip(2 * np.rint(whole / 2), -126, 126))
        model.weights[one.weight.name] = even.astype(whole.dtype)
    qcc.save(model, tmp_path, target="paddle-x86", check=False)
    saved, params = qcc.load(tmp_path), tmp_path / "model.pdiparams"
    given = Predictor(
        tmp_path / "model.pdmodel", params, Engine(onednn=True, int8=True, int8_ops=LISTED)
    ).run({"x0": x})
    program = tmp_path / "rounded"
    write_opened(as_onednn_rounds(saved.graph, LISTED), saved.fetches, program)
    rounded = PaddleExecutor(program, params).run({"x0": x}, saved.fetches)
    near, far = (distances(given, values)[1] for values in (rounded, saved.run({"x0": x})))
    assert far.mean > 1e-4
    # Of the largest weights, 127, a processor without VNNI makes 128.
    assert near.mean < (1e-6 if has_vnni() else 0.8 * far.mean)
