"""Files for TensorRT, which nobody here has: their structure, and what they compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_files import exported, residual


def test_structure(tmp_path: Path) -> None:
    """int8 with zero point 0, one scale for each activation, weights with DequantizeLinear alone."""
    model, inputs = residual()
    saved = exported(model, inputs, "tensorrt", tmp_path, check=False)
    assert str(saved.checks[-1]) == "TensorRT: not run: the file's structure was checked, and no more"
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
