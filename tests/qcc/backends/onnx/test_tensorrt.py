"""Files for TensorRT: their structure, and what they compute, in TensorRT itself where there is a GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_nets import NETS, frozen_engine_net
from onnx import numpy_helper
from onnx_files import exported, heavy_conv, residual

from qcc.backends.engines.tensorrt import TensorRt, tensorrt_missing
from qcc.errors import EngineError, OutputError

needs_tensorrt = pytest.mark.skipif(tensorrt_missing() is not None, reason=str(tensorrt_missing()))


def test_structure(tmp_path: Path) -> None:
    """int8 with zero point 0, one scale for each activation, weights with DequantizeLinear alone."""
    model, inputs = residual()
    exported(model, inputs, "tensorrt", tmp_path, check=False)
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = values[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
        if node.op_type == "QuantizeLinear":
            assert values[node.input[1]].shape == ()
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv":
            assert [made_by[name] for name in node.input[:2]] == ["DequantizeLinear", "DequantizeLinear"]


@pytest.mark.slow
def test_shortcuts_are_quantized(tmp_path: Path) -> None:
    """The operand of an addition that the convolution in front of it does not make."""
    model, inputs = residual()
    exported(model, inputs, "tensorrt", tmp_path)
    graph = onnx.load(str(tmp_path / "model.onnx")).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    (add,) = (node for node in graph.node if node.op_type == "Add")
    assert sorted(made_by[name] for name in add.input) == ["Conv", "DequantizeLinear"]


def test_without_tensorrt_the_file_is_written_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    model, inputs = residual()
    saved = exported(model, inputs, "tensorrt", tmp_path)
    last = saved.checks[-1]
    assert (str(last), last.good) == (
        "TensorRT: not run, because TensorRT is not installed: `pip install 'qcc[tensorrt]'`, for a GPU of"
        " NVIDIA's.",
        False,
    )


@needs_tensorrt
def test_a_residual_block_runs_in_int8(tmp_path: Path) -> None:
    model, inputs = residual()
    saved = exported(model, inputs, "tensorrt", tmp_path)
    assert str(saved.checks[-1]) == "TensorRT: in int8: 4 Convolution"


@needs_tensorrt
@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_small_networks_are_right(name: str, tmp_path: Path) -> None:
    exported(*frozen_engine_net(name), "tensorrt", tmp_path)


@needs_tensorrt
@pytest.mark.slow
def test_nothing_is_clipped(tmp_path: Path) -> None:
    """Sums of products have 32 bits, whatever integers there are."""
    exported(*heavy_conv(), "tensorrt", tmp_path)


@needs_tensorrt
@pytest.mark.slow
def test_inputs_of_other_sizes(tmp_path: Path) -> None:
    """The engine is built anew, and computes what ONNX Runtime does."""
    model, inputs = frozen_engine_net("squeeze_and_excite")
    exported(model, inputs, "tensorrt", tmp_path)
    with TensorRt(tmp_path / "model.onnx") as engine:
        twice = {name: np.concatenate([array, array]) for name, array in inputs.items()}
        (once,), (doubled,) = engine.run(inputs), engine.run(twice)
    np.testing.assert_allclose(doubled, np.concatenate([once, once]), atol=1e-5 * np.abs(once).max())


@needs_tensorrt
def test_outputs_in_the_order_of_the_file(tmp_path: Path) -> None:
    """And of its types: TensorRT has an order of its own, and no int64."""
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])
    last = onnx.helper.make_tensor_value_info("last", onnx.TensorProto.INT64, [1])
    first = onnx.helper.make_tensor_value_info("first", onnx.TensorProto.FLOAT, [1, 4])
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["first"]),
        onnx.helper.make_node("ArgMax", ["first"], ["last"], axis=1, keepdims=0),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [x], [last, first])
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(tmp_path / "model.onnx"))
    values = np.array([[-1, 3, 2, 0]], np.float32)
    with TensorRt(tmp_path / "model.onnx") as engine:
        largest, kept = engine.run({"x": values})
    assert (largest.dtype, largest.tolist()) == (np.int64, [1])
    np.testing.assert_array_equal(kept, np.maximum(values, 0))


@needs_tensorrt
def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(EngineError, match="TensorRT ended with code 1 on "):
        TensorRt(tmp_path / "model.onnx")


@needs_tensorrt
def test_integers_that_are_others_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What TensorRT gives is compared: outputs that are off are refused."""
    run = TensorRt.run
    monkeypatch.setattr(TensorRt, "run", lambda self, inputs: [1.1 * one for one in run(self, inputs)])
    with pytest.raises(OutputError, match=r"the engine, TensorRT, beside that: .*, which is wrong"):
        exported(*residual(), "tensorrt", tmp_path)
