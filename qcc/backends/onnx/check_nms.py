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

_SCORE = 1
"""The column of a row's score, behind its class."""


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
            rows = dict(zip(outputs, engine.run(fed), strict=True))
        wanted = dict(zip(outputs, map(_without_nothing, values[2:]), strict=True))
        for name in outputs:
            if rows[name].size != wanted[name].size:
                return f"{name!r} is {_shape(rows[name])}, and Paddle's {_shape(wanted[name])}"
        of_rows = [var.name for slot in ("Out", "Index") for var in op.outputs.get(slot, ())]
        for name in outputs:
            if name not in of_rows and not np.array_equal(rows[name].ravel(), wanted[name].ravel()):
                return f"{name!r} is {rows[name].ravel()}, and Paddle's {wanted[name].ravel()}"
        if not _same_rows(_table(of_rows, rows), _table(of_rows, wanted)):
            return f"the rows of {', '.join(map(repr, outputs))} have other values than Paddle's"
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


def _without_nothing(written: np.ndarray) -> np.ndarray:
    """What Paddle wrote, without the -1 that `multiclass_nms` writes where it finds nothing."""
    return written[:0] if written.shape == (1, 1) and written.item() == -1 else written


def _table(names: Sequence[str], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """All that is said of each row, side by side: class, score and box, and which box it was; of these, what
    is fetched."""
    there = [values[name] for name in names if name in values and values[name].size]
    return np.hstack([value.reshape(len(value), -1) for value in there]) if there else np.empty((0, 0))


def _same_rows(rows: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether rows are equal, and in the same order but for those whose scores are equal up to rounding:
    which of these comes first, or is the last to be kept, is no matter."""
    equal = np.isclose(rows, wanted, rtol=ROUNDING, atol=ROUNDING)
    if rows.shape[1] <= _SCORE or not equal[:, _SCORE].all():
        return bool(equal.all())
    moved = ~equal.all(axis=1)
    others = rows[moved]
    for row in wanted[moved]:
        found = np.isclose(others, row, rtol=ROUNDING, atol=ROUNDING).all(axis=1)
        if found.any():
            others = np.delete(others, found.argmax(), axis=0)
        elif not np.isclose(row[_SCORE], wanted[:, _SCORE].min(), rtol=ROUNDING, atol=ROUNDING):
            return False
    return True


def _shape(rows: np.ndarray) -> str:
    return str(list(rows.shape))
