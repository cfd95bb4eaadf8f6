"""What stands in an ONNX file: the integers and scales that were frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import engine_net, frozen_engine_net
from lite_case import F, build_model, floats, static
from lite_nets import ssd
from nets import with_a_branch
from onnx import numpy_helper

import qcc
from qcc._paddle import paddle
from qcc.backends.deploy.signs import non_negative
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.export import export
from qcc.backends.onnx.form import prepare
from qcc.backends.onnx.translate import to_onnx
from qcc.errors import MissingDependencyError, PassError, TargetError
from qcc.passes.frozen import frozen_ops
from qcc.targets.table import find_target


def test_integers_and_scales_are_those_that_were_frozen() -> None:
    frozen, _ = frozen_engine_net("squeeze_and_excite")
    # With VNNI no weight loses anything.
    prepared = prepare(frozen, find_target("openvino+vnni"), {})
    model = to_onnx(prepared.model.graph, "uint8")
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for found in frozen_ops(frozen.graph):
        weight = f"{found.weight.name}.int8"
        np.testing.assert_array_equal(values[weight], frozen.weights[found.weight.name])
        np.testing.assert_allclose(
            values[f"{weight}@step"], found.weight_scale(frozen.graph) / 127, rtol=1e-6
        )
        assert values[f"{weight}@zero"].dtype == np.int8
        source = found.quantize.output("Out").name
        # ONNX Runtime refuses to fuse additions whose scales have a dimension.
        assert values[f"{source}@step"].shape == ()
    zeros = {int(values[name]) for name in values if name.endswith("quantized@zero")}
    assert zeros == {0, 128}
    assert {node.op_type for node in model.graph.node} == {
        *("Conv", "QuantizeLinear", "DequantizeLinear", "HardSwish", "GlobalAveragePool", "Relu"),
        *("HardSigmoid", "Mul"),
    }
    assert all(len(node.input) == 3 for node in model.graph.node if node.op_type == "Conv")


@pytest.mark.parametrize(("target", "steps"), [("openvino", 127), ("openvino+vnni", 255)])
def test_with_vnni_steps_behind_a_relu_are_half_as_large(target: str, steps: int) -> None:
    """Without it, sums of two products of activations up to 255 are clipped."""
    frozen, _ = frozen_engine_net("squeeze_and_excite")
    model = to_onnx(prepare(frozen, find_target(target), {}).model.graph, "uint8")
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    unsigned = non_negative(frozen.graph)
    found = {}
    for op in frozen_ops(frozen.graph):
        source, scale = op.quantize.output("Out").name, op.quantize.input("InScale").name
        behind_relu = op.quantize.input("X") in unsigned
        found[behind_relu] = float(frozen.weights[scale][0] / values[f"{source}@step"])
        assert int(values[f"{source}@zero"]) == (0 if behind_relu else 128)
    assert found == {True: pytest.approx(steps, rel=1e-5), False: pytest.approx(127, rel=1e-5)}


def test_a_graph_whose_rounding_is_no_round_trip() -> None:
    transformed = qcc.PassManager.parse("transform").run(engine_net("fc_behind_relu")[0])
    with pytest.raises(PassError, match=r"quantize.* is no part of a quantization that ONNX can be given"):
        to_onnx(transformed.graph, "uint8")


def test_what_paddle2onnx_does_not_translate_is_one_sentence() -> None:
    with pytest.raises(
        TargetError, match=r"^paddle2onnx, .* does not know box_coder and prior_box, first for 'prior_box"
    ):
        to_onnx(qcc.PassManager.parse("cut-nms").run(ssd()[0]).graph, "uint8")


def test_a_fetch_that_is_written_over(tmp_path: Path) -> None:
    """As in models that Paddle's tools have saved twice."""

    def build(x: Any) -> Any:
        y = static.nn.conv2d(x, 4, 3)
        for factor in (2.0, 3.0):
            y.block.append_op(type="scale", inputs={"X": y}, outputs={"Out": y}, attrs={"scale": factor})
        return y

    inputs = {"x0": floats(1, 3, 8, 8)}
    model = build_model(build, tuple(inputs.values()))
    checks = export(model, tmp_path / "a.onnx", find_target("onnxruntime"), check=inputs).checks
    assert all(check.good for check in checks), checks


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'qcc\[onnx\]'"):
        to_onnx(engine_net("fc_behind_relu")[0].graph, "uint8")


def test_what_cannot_be_negative() -> None:
    def build(x: object) -> list[object]:
        relu, swish = F.relu(x), F.hardswish(x)
        pooled = F.max_pool2d(paddle.concat([relu, F.sigmoid(x)], 1), 2)
        return [pooled, F.avg_pool2d(swish, 2), relu * swish, relu + F.hardsigmoid(x), relu - 1.0, relu * 2.0]

    graph = build_model(build, (floats(1, 4, 8, 8),)).graph
    found = {var.name for var in non_negative(graph)}
    assert [name in found for name in graph.fetches] == [True, False, False, True, False, True]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_branch_reads_values_of_the_graph_around_it(sign: int, tmp_path: Path) -> None:
    model, x = with_a_branch(), np.float32(sign) * np.abs(floats(2, 4, 6, 6))
    file = tmp_path / "model.onnx"
    prepared = prepare(model, find_target("onnxruntime"), {})
    file.write_bytes(to_onnx(prepared.model.graph, "uint8").SerializeToString())
    with OnnxRuntime(file, optimize=False) as engine:
        found = engine.run({"x": x})
    for one, wanted in zip(found, model.run({"x": x}), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-5)
