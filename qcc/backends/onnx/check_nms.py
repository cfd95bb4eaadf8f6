"""Whether the non-maximum suppression of an ONNX file gives Paddle's rows on equal inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from qcc.backends.agreement import ROUNDING
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.nms import SUPPRESSIONS
from qcc.backends.reference import Reference


def wrong_rows(model: onnx.ModelProto, found: Reference, place: Path) -> str | None:
    """What is wrong with the rows behind a model's suppressions, each fed with what Paddle feeds its own;
    None when nothing is. `place`: a folder for files that are run.  Raises EngineError, PaddleError."""
    fetched = set(found.graph.fetches)
    for op in found.graph.ops:
        if op.type not in SUPPRESSIONS:
            continue
        inputs = [op.input("BBoxes").name, op.input("Scores").name]
        outputs = [var.name for var in op.all_outputs() if var.name in fetched]
        values = found.values([*inputs, *outputs])
        fed = dict(zip(inputs, values, strict=False))
        file = place / "suppression.onnx"
        file.write_bytes(_behind(model, fed, outputs).SerializeToString())
        with OnnxRuntime(file, optimize=False) as engine:
            rows = engine.run(fed)
        for name, row, wanted in zip(outputs, rows, values[2:], strict=True):
            if not _equal(row, wanted):
                return f"{name!r} is {_shape(row)}, and Paddle's {_shape(wanted)}, with other values"
    return None


def _behind(model: onnx.ModelProto, fed: Mapping[str, np.ndarray], outputs: Sequence[str]) -> onnx.ModelProto:
    """The part of a model that computes outputs from values that are given."""
    needed, nodes = set(outputs), []
    for node in reversed(model.graph.node):
        if any(name in needed and name not in fed for name in node.output):
            needed.update(node.input)
            nodes.append(node)
    kinds = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in fed.items()}
    inputs = [helper.make_tensor_value_info(name, kinds[name], value.shape) for name, value in fed.items()]
    known = {value.name: value for value in model.graph.output}
    results = [known[name] for name in outputs]
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = helper.make_graph(nodes[::-1], "suppression", inputs, results, constants)
    part: onnx.ModelProto = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    return part


def _equal(rows: np.ndarray, wanted: np.ndarray) -> bool:
    return rows.size == wanted.size and np.allclose(
        rows.ravel(), wanted.ravel(), rtol=ROUNDING, atol=ROUNDING
    )


def _shape(rows: np.ndarray) -> str:
    return str(list(rows.shape))
