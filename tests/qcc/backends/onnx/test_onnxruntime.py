"""Each fact and fault of ONNX Runtime's table, in ONNX Runtime itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import NETS, assert_its_case_is_there, frozen_engine_net
from frozen_models import transformed_model
from lite_case import F, build_model, floats, static
from onnx_files import HEAVY, exported, frozen, heavy_conv, ops_of, residual, without

import qcc
from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.export import export
from qcc.backends.onnx.form import onnx_form, prepare, unmeasured
from qcc.backends.onnx.translate import to_onnx
from qcc.calibrate.activations import scales_of
from qcc.errors import EngineError, ModelFormatError, OutputError, TargetError
from qcc.targets.processor import has_vnni
from qcc.targets.table import Target, find_target

TARGET = find_target("onnxruntime")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_cases(name: str, tmp_path: Path) -> None:
    """It computes what the file says, and that is what was frozen with a bit less of some."""
    model, inputs = frozen_engine_net(name)
    saved = exported(model, inputs, "onnxruntime", tmp_path)
    assert saved.checks[-1].what == "ONNX Runtime"
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        (found,), (expected,) = engine.run(inputs), model.run(inputs)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def masked(x: Any) -> Any:
    """A mask of classes chooses between two maps, as in PP-MattingV2."""
    y = F.relu(static.nn.conv2d(x, 8, 3, padding=1))
    classes = paddle.argmax(F.softmax(static.nn.conv2d(y, 3, 1), 1), 1, keepdim=True)
    coarse = paddle.cast(classes == 2, "float32")
    return paddle.where(classes == 1, F.sigmoid(static.nn.conv2d(y, 1, 1)), coarse)


def peaks(x: Any) -> Any:
    """The best of a heat map, as in CenterNet."""
    y = F.relu(static.nn.conv2d(F.relu(static.nn.conv2d(x, 16, 3, 2, 1)), 16, 3, padding=1))
    heat = F.sigmoid(static.nn.conv2d(y, 3, 1))
    heat = heat * paddle.cast(F.max_pool2d(heat, 3, 1, 1) == heat, "float32")
    return paddle.topk(paddle.flatten(heat, 1), 8)[0]


@pytest.mark.parametrize("build", [masked, peaks])
def test_what_is_chosen_among_near_values_may_be_another(build: Callable[[Any], Any], tmp_path: Path) -> None:
    inputs = {"x0": floats(1, 3, 64, 64)}
    model = frozen(build_model(build, tuple(inputs.values()), any_size=True), inputs)
    assert not exported(model, inputs, "onnxruntime", tmp_path).warnings


@pytest.mark.slow
def test_all_of_a_residual_network_runs_in_int8(tmp_path: Path) -> None:
    model, inputs = residual()
    exported(model, inputs, "onnxruntime", tmp_path)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        # What is fetched is not rounded, and the last convolution with it.
        assert (engine.int8, engine.floats) == ({"QLinearConv": 3, "QLinearAdd": 1}, {"Conv": 1})


@pytest.mark.slow
def test_depthwise(tmp_path: Path) -> None:
    """Its kernel adds no pairs, so that integers stay, and nothing is clipped."""
    model, inputs = heavy_conv(depthwise=1)
    exported(model, inputs, "onnxruntime", tmp_path)
    assert prepare(model, TARGET, {}).model.weights[f"{HEAVY}.int8"].max() == 127


@pytest.mark.slow
@pytest.mark.skipif(has_vnni(), reason="this processor has VNNI, and clips nothing")
def test_two_channels_of_each_are_no_depthwise_convolution(tmp_path: Path) -> None:
    model, inputs = heavy_conv(depthwise=2)
    with pytest.raises(OutputError, match="which is wrong"):
        exported(model, inputs, without("onnxruntime", "unclipped-sums"), tmp_path)
    exported(model, inputs, "onnxruntime", tmp_path)
    assert prepare(model, TARGET, {}).model.weights[f"{HEAVY}.int8"].max() == 64


@pytest.mark.slow
@pytest.mark.skipif(has_vnni(), reason="this processor has VNNI, and clips nothing")
def test_sums_are_clipped_without_vnni(tmp_path: Path) -> None:
    model, inputs = heavy_conv()
    with pytest.raises(
        OutputError, match=r"was not written: the engine, ONNX Runtime, beside that: .*, which is wrong"
    ):
        exported(model, inputs, without("onnxruntime", "unclipped-sums"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    exported(model, inputs, "onnxruntime", tmp_path)
    assert prepare(model, TARGET, {}).model.weights[f"{HEAVY}.int8"].max() == 64


@pytest.mark.slow
def test_a_channel_that_is_nothing_but_bias(tmp_path: Path) -> None:
    """Its bias is some 1e12 times a step, and ONNX Runtime's integers have 32 bits."""
    model, inputs = heavy_conv(bias=True)
    with pytest.raises(OutputError, match=r"the engine, ONNX Runtime, beside that: .*, which is wrong"):
        exported(model, inputs, without("onnxruntime", "bias-range"), tmp_path / "out")
    exported(model, inputs, "onnxruntime", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weight_type", "factor"), [("channel_wise_abs_max", [1e-9, 1e-9, 1, 1]), ("abs_max", [1e-7])]
)
def test_a_column_that_is_nothing_but_bias(weight_type: str, factor: list[float], tmp_path: Path) -> None:
    """The bias of a product of matrices is an integer, too, also where one scale serves all columns."""
    inputs = {"x0": floats(4, 16)}
    net = build_model(lambda x: static.nn.fc(static.nn.fc(x, 4, activation="relu"), 3), (inputs["x0"],))
    net.weights["fc_0.w_0"] = net.weights["fc_0.w_0"] * np.array(factor, np.float32)
    scheme = f"transform{{weight_type={weight_type},activation_type=moving_average_abs_max}}"
    model = qcc.PassManager.parse("freeze,prune").run(transformed_model(net, inputs, scheme))
    with pytest.raises(OutputError, match=r"the engine, ONNX Runtime, beside that: .*, which is wrong"):
        exported(model, inputs, without("onnxruntime", "bias-range"), tmp_path / "out")
    exported(model, inputs, "onnxruntime", tmp_path)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        (found,), (expected,) = engine.run(inputs), model.run(inputs)
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)


@pytest.mark.slow
def test_a_bias_beside_integers_of_few_bits(tmp_path: Path) -> None:
    """It is a whole number of steps, and those of 2 bits are large."""
    inputs = {"x0": floats(4, 16)}
    net = build_model(lambda x: static.nn.fc(x, 8), (inputs["x0"],))
    scheme = (
        "transform{weight_type=abs_max,activation_type=moving_average_abs_max,"
        "weight_bits=2,activation_bits=2}"
    )
    model = qcc.PassManager.parse("freeze,prune").run(transformed_model(net, inputs, scheme))
    (wanted,) = prepare(model, TARGET, {}).model.run(inputs)

    def off(target: Target) -> float:
        exported(model, inputs, target, tmp_path, check=False)
        with OnnxRuntime(tmp_path / "model.onnx") as engine:
            (found,) = engine.run(inputs)
        return float(np.abs(found - wanted).max() / np.ptp(wanted))

    assert off(TARGET) < 0.01 < off(without("onnxruntime", "bias-range"))


@pytest.mark.slow
def test_signed_activations_run_in_float(tmp_path: Path) -> None:
    model, inputs = residual()
    names = unmeasured(model, TARGET)
    prepared = prepare(model, without("onnxruntime", "unsigned"), scales_of(model, names, [inputs]))
    (tmp_path / "s8.onnx").write_bytes(to_onnx(prepared.model.graph, "int8").SerializeToString())
    with OnnxRuntime(tmp_path / "s8.onnx") as engine:
        assert engine.int8 == {"QLinearConv": 1}


@pytest.mark.slow
def test_without_q_behind_it_a_convolution_runs_in_float(tmp_path: Path) -> None:
    """And the export says so, when there is no data to measure scales on."""
    model, inputs = residual()
    saved = export(model, tmp_path / "model.onnx", TARGET, check=inputs)
    told = [str(check) for check in saved.checks]
    assert any(
        "1 of 4 places where this engine wants integers have no scale" in line
        and "`qcc export --calibrate DATA` measures the scales of 'conv2d_2.tmp_1'" in line
        for line in told
    ), told
    assert any(
        "can run in int8, where the scale behind it is measured, too: 4 conv2d." in one for one in told
    )
    assert told[-1] == "ONNX Runtime: in int8: 2 QLinearConv; in float: 1 Conv, 1 FusedConv"


@pytest.mark.slow
def test_a_product_with_a_bias_runs_in_int8(tmp_path: Path) -> None:
    model, inputs = frozen_engine_net("fc_behind_relu")
    exported(model, inputs, "onnxruntime", tmp_path)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        assert (engine.int8, engine.floats) == ({"QGemm": 1}, {})


@pytest.mark.slow
def test_hard_swish_stays_float(tmp_path: Path) -> None:
    model, inputs = frozen_engine_net("squeeze_and_excite")
    exported(model, inputs, "onnxruntime", tmp_path)
    assert ops_of(tmp_path / "model.onnx")["HardSwish"] == 1


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(ModelFormatError, match=r"model\.onnx cannot be read: it is no regular file\.$"):
        OnnxRuntime(tmp_path / "model.onnx")


def test_what_it_does_not_read(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError, match=r"^ONNX Runtime ended with code 1 on .*model.onnx.*"):
        OnnxRuntime(tmp_path / "model.onnx")


def test_it_reads_no_models_of_paddle(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"reads no models of Paddle, but ONNX files: `qcc export MODEL"):
        qcc.save(frozen_engine_net("fc_behind_relu")[0], tmp_path, target="onnxruntime")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt"])
def test_every_row_of_the_tables_has_its_case(name: str) -> None:
    target = find_target(name)
    for row in (*target.facts, *target.faults, *onnx_form(target).faults):
        assert_its_case_is_there(row.case)
