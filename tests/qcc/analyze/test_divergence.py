"""Two models layer by layer: what is compared, and which layer is named."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lite_commands import small
from nets import several_blocks, with_a_branch
from quantized_net import OUTPUTS, WEIGHTS, quantized_net

import qcc
from qcc.analyze import others
from qcc.analyze.divergence import (
    ROUNDED,
    SAME_FLOATS,
    SAME_INTEGERS,
    Comparison,
    Limit,
    Off,
    compare_layers,
    stations,
    usual_limit,
)
from qcc.analyze.others import InEngine, InFile, InOpenVino, InPaddle, for_openvino
from qcc.backends.deploy.form import for_target
from qcc.backends.engines.openvino import openvino_missing
from qcc.backends.engines.runtime import Runtime
from qcc.backends.predictor import Engine
from qcc.errors import ModelFormatError
from qcc.model import Model
from qcc.passes.fake_quant import DEQUANTIZE_OPS, QUANTIZE_OPS
from qcc.passes.quantizable import KINDS, operands
from qcc.targets.table import find_target

NET = quantized_net()


def compared(model: Model, other: Model, limit: Limit = ROUNDED) -> Comparison:
    return compare_layers(model.graph, InPaddle(model.graph, other), NET.batches, limit)


def with_weights(model: Model, values: Mapping[str, np.ndarray]) -> Model:
    other = model.copy()
    for name, value in values.items():
        other.weights[name] = value
    return other


def test_layers_are_compared_behind_what_kernels_make_one_op_of() -> None:
    outputs = {NET.model.graph.var(name).producer for name in stations(NET.model.graph)}
    assert [op.type for op in NET.model.graph.ops if op in outputs] == [
        "relu",  # behind convolution and norm; two ops read it
        "elementwise_add",  # the depthwise convolution's bias, which the sum of both joins
        "pool2d",  # behind the sum and its relu
        "elementwise_add",
    ]


def test_a_quantized_model_is_near_and_a_model_is_equal_to_itself() -> None:
    same = compared(NET.frozen, NET.frozen)
    assert all(one.whole.noise == one.whole.largest == 0 for one in same.layers)
    found = compared(NET.model, NET.frozen)
    assert found.first is None
    assert "no layer is off by more than 10.0%" in found.verdict()
    assert all(0 < one.whole.noise < ROUNDED.noise for one in found.layers if one.op != "pool2d")
    assert found.record()["first"] is None


def test_the_layer_that_is_wrong_is_named_and_not_those_behind_it() -> None:
    name = "conv2d_1.w_0"
    wrong = with_weights(NET.frozen, {name: NET.frozen.weights[name][::-1].copy()})
    found = compared(NET.model, wrong)
    assert found.first is not None
    assert found.first.output == "conv2d_1.tmp_1"
    assert f"first come apart at the {found.first.op} of 'conv2d_1.tmp_0'" in found.verdict()
    behind = found.layers[-1]
    assert behind.own is not None
    assert behind.own.noise < ROUNDED.noise < behind.whole.noise


def test_the_worst_are_those_that_are_off_by_themselves_and_the_first_is_among_them() -> None:
    found = compared(NET.model, NET.frozen)
    by_distance = sorted(found.layers, key=lambda one: -one.nearest.noise)
    two = found.worst(2)
    assert set(two) == set(by_distance[:2])
    assert [found.layers.index(one) for one in two] == sorted(found.layers.index(one) for one in two)
    assert found.worst(len(found.layers)) == found.layers
    least = by_distance[-1]
    assert least in replace(found, first=least).worst(1)


def test_errors_that_only_add_up_are_told_from_a_layer_that_is_wrong() -> None:
    found = compared(NET.model, NET.frozen)
    most = max(one.nearest.noise for one in found.layers)
    limit = Limit((most + max(one.whole.noise for one in found.layers)) / 2, "it is a test")
    added = compared(NET.model, NET.frozen, limit)
    assert added.first is not None
    assert added.first.nearest.noise < limit.noise < added.first.whole.noise
    assert "on equal inputs; their errors add up, and pass" in added.verdict()
    assert str(limit).endswith("on: it is a test.")


def test_a_layer_is_called_what_skip_vars_takes() -> None:
    for model in (NET.model, NET.frozen):
        for one in compared(model, NET.frozen).layers:
            assert one.name in NET.model.graph
            if one.op in KINDS:
                assert operands(NET.model.graph.var(one.name).producer) is not None


@pytest.mark.slow
def test_in_an_engine_and_in_int8_kernels() -> None:
    qdq = qcc.PassManager.parse("qdq").run(NET.frozen)
    with InEngine(NET.frozen.graph, qdq, Engine(onednn=True, int8=True)) as other:
        found = compare_layers(NET.frozen.graph, other, NET.batches[:1], ROUNDED)
        assert other.wrong_op(NET.batches[0]) is None
    assert found.first is None
    assert found.kernels == "paddle.inference, oneDNN int8"
    assert all(one.own is None for one in found.layers)
    assert found.layers[-1].output in NET.frozen.fetches


def test_what_an_engine_clips_where_it_writes_it_is_compared_as_it_is_read() -> None:
    """oneDNN's int8 kernels write what the next layer quantizes within its scale, and may cut off much."""
    frozen, inputs = small()
    first = next(iter(stations(frozen.graph)))
    quantize = next(op for op in frozen.graph.var(first).consumers if op.type in QUANTIZE_OPS)
    scale = quantize.input("InScale").name
    tight = with_weights(frozen, {scale: frozen.weights[scale] / 8})
    qdq = qcc.PassManager.parse("qdq").run(tight)
    with InEngine(tight.graph, qdq, Engine(onednn=True, int8=True)) as other:
        found = compare_layers(tight.graph, other, [inputs], ROUNDED)
    assert found.layers[0].output == first
    assert found.layers[0].whole.noise < 0.02


@pytest.mark.skipif(openvino_missing() is not None, reason=str(openvino_missing()))
@pytest.mark.parametrize("quantized", [False, True])
def test_in_openvino(quantized: bool) -> None:
    model = for_target(NET.frozen, find_target("openvino"))[0] if quantized else NET.model
    with for_openvino(Path("unread"), model) as program, InOpenVino(model.graph, program) as other:
        found = compare_layers(model.graph, other, NET.batches[:1], ROUNDED)
    assert found.first is None
    assert found.kernels == "OpenVINO"


def test_what_is_not_finite_in_both_is_not_off() -> None:
    def masked(value: float) -> Model:
        other = NET.model.copy()
        out = other.graph.var(other.fetches[0])
        mask = np.zeros((1, out.shape[-1]), np.float32)
        mask[0, 0] = value
        inputs = {"X": out, "Y": other.graph.add_var("mask", "float32", mask.shape, mask)}
        result = other.graph.add_var_like("masked", out)
        other.graph.add_op("elementwise_add", inputs, {"Out": result}, {"axis": -1})
        other.graph.fetches = ("masked",)
        return other

    for value in (-np.inf, np.nan):
        same = compared(masked(value), masked(value), SAME_FLOATS)
        assert all(one.whole.noise == one.whole.largest == 0 for one in same.layers)
    found = compared(masked(-np.inf), masked(np.inf))
    assert found.first is not None
    assert found.first.output == "masked"
    assert found.first.whole.noise == np.inf


def test_what_has_another_shape_is_said_to() -> None:
    assert str(Off(np.inf, np.inf)) == "of another shape, or with values that are not finite"


def test_how_far_a_layer_may_be_off() -> None:
    assert usual_limit(NET.model.graph, NET.frozen.graph) == ROUNDED
    assert usual_limit(NET.model.graph, NET.model.graph) == SAME_FLOATS
    assert usual_limit(NET.frozen.graph, NET.frozen.graph) == SAME_INTEGERS
    moved = with_weights(NET.model, {"fc_0.w_0": NET.model.weights["fc_0.w_0"] + 1})
    assert usual_limit(NET.model.graph, moved.graph) == ROUNDED


def test_weights_may_be_called_otherwise() -> None:
    def renamed(factor: float) -> Model:
        model = NET.model.copy()
        old = model.graph.var("fc_0.w_0")
        value = model.weights["fc_0.w_0"] * np.float32(factor)
        model.graph.replace_uses(old, model.graph.add_weight_like("another", old, value))
        model.graph.remove_var(old)
        return model

    assert usual_limit(NET.model.graph, renamed(1).graph) == SAME_FLOATS
    assert usual_limit(NET.model.graph, renamed(2).graph) == ROUNDED


def test_two_networks_have_nothing_to_compare() -> None:
    with pytest.raises(ModelFormatError, match="no variable in common"):
        InPaddle(NET.model.graph, several_blocks())


class Given(Runtime):
    """A runtime that gives what it was given."""

    def __init__(self, outputs: list[np.ndarray]) -> None:
        self.outputs, self.closed = outputs, False

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return self.outputs

    def close(self) -> None:
        self.closed = True


def test_of_a_file_weights_and_feeds_that_are_fetched_are_no_layers() -> None:
    model, inputs = NET.model.copy(), NET.batches[0]
    model.graph.fetches = (*NET.model.feeds, *NET.model.fetches, WEIGHTS[0])
    other = InFile(model.graph, Path("net.onnx"), Given(model.run(inputs)))
    other.kernels = "none"

    found = compare_layers(model.graph, other, [inputs], ROUNDED)

    assert [one.name for one in found.layers] == list(NET.model.fetches)
    assert found.first is None


def test_an_output_that_is_scaled_back_is_known_by_the_op_in_front() -> None:
    model, inputs = NET.frozen.copy(), NET.batches[0]
    model.graph.fetches = OUTPUTS
    writers = [model.graph.var(name).producer for name in OUTPUTS]
    assert all(op is not None and op.type in DEQUANTIZE_OPS for op in writers)
    other = InFile(model.graph, Path("net.onnx"), Given(model.run(inputs)))
    other.kernels = "none"

    found = compare_layers(model.graph, other, [inputs], ROUNDED)

    computing = [NET.model.graph.var(name).producer for name in OUTPUTS]
    assert [one.op for one in found.layers] == [op.type for op in computing if op is not None]
    assert [one.name for one in found.layers] == list(OUTPUTS)


def test_a_file_whose_outputs_nothing_computes_cannot_be_compared() -> None:
    model = NET.model.copy()
    model.graph.fetches = NET.model.feeds
    runtime = Given([])

    with pytest.raises(ModelFormatError, match="computes none of its outputs"):
        InFile(model.graph, Path("net.onnx"), runtime)
    assert runtime.closed


def test_outputs_of_the_fixture_are_those_of_its_ops() -> None:
    assert all(NET.model.graph.var(name).producer is not None for name in OUTPUTS)


def test_an_engine_that_does_not_open_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: object) -> None:
        raise ModelFormatError("it does not open.")

    monkeypatch.setattr(others, "Predictor", failing)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ModelFormatError) as caught:
        InEngine(NET.frozen.graph, NET.frozen, Engine())
    assert not list(tmp_path.iterdir())
    assert "does not open" in str(caught.value)


def test_what_a_branch_leaves_unwritten_is_not_compared() -> None:
    model = with_a_branch()
    batches = [{"x": np.full((2, 4, 6, 6), size, np.float32)} for size in (0.5, -0.5)]
    found = compare_layers(model.graph, InPaddle(model.graph, model), batches, ROUNDED)
    assert found.first is None
    assert {one.output for one in found.layers} >= {model.fetches[1]}
