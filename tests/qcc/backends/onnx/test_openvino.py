"""ONNX files for OpenVINO in OpenVINO itself, and what it gets wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_nets import NETS, frozen_engine_net
from lite_case import build_model, floats, static
from onnx_files import HEAVY, exported, frozen, heavy_conv, needs_openvino, ops_of, without

from qcc._paddle import paddle
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.onnx.form import prepare
from qcc.errors import OutputError
from qcc.targets.processor import has_vnni
from qcc.targets.table import find_target

pytestmark = [needs_openvino, pytest.mark.slow]


@pytest.mark.parametrize("name", NETS)
def test_cases(name: str, tmp_path: Path) -> None:
    model, inputs = frozen_engine_net(name)
    exported(model, inputs, "openvino", tmp_path)
    with OpenVino(tmp_path / "model.onnx") as engine:
        (found,), (expected,) = engine.run(inputs), model.run(inputs)
        # An activation with a zero point as the right operand is computed in float.
        assert bool(engine.int8) == (name != "left_weight")
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def test_a_convolution_that_several_ops_read(tmp_path: Path) -> None:
    """OpenVINO loses its scale where the batch is open and there is no bias."""

    def build(x: object) -> object:
        y = static.nn.conv2d(x, 8, 1, bias_attr=False)
        return y * paddle.nn.functional.adaptive_avg_pool2d(y, 1)

    x = floats(1, 8, 12, 12)
    model, inputs = frozen(build_model(build, (x,)), {"x0": x}), {"x0": x}
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: .*, which is wrong"):
        exported(model, inputs, without("openvino", "bias-shared-convs"), tmp_path / "out")
    exported(model, inputs, "openvino", tmp_path)


@pytest.mark.skipif(has_vnni(), reason="this processor has VNNI, and clips nothing")
def test_sums_are_clipped_without_vnni(tmp_path: Path) -> None:
    model, inputs = heavy_conv()
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: .*, which is wrong"):
        exported(model, inputs, without("openvino", "unclipped-sums"), tmp_path / "out")
    exported(model, inputs, "openvino", tmp_path)


def test_depthwise(tmp_path: Path) -> None:
    model, inputs = heavy_conv(depthwise=1)
    exported(model, inputs, "openvino", tmp_path)
    target = find_target("openvino")
    assert prepare(model, target, {}).model.weights[f"{HEAVY}.int8"].max() == 127


def test_q_and_dq_stand_in_front_of_quantized_ops_only(tmp_path: Path) -> None:
    model, inputs = frozen_engine_net("squeeze_and_excite")
    exported(model, inputs, "openvino", tmp_path)
    counts = ops_of(tmp_path / "model.onnx")
    assert (counts["Conv"], counts["QuantizeLinear"], counts["DequantizeLinear"]) == (4, 4, 8)
