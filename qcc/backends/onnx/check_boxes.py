"""Whether what chooses among boxes in an ONNX file gives Paddle's rows on equal inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from qcc.backends.agreement import ROUNDING
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.fluid import write
from qcc.backends.onnx.boxes import OPS, SUPPRESSIONS
from qcc.backends.onnx.nested import read_by
from qcc.backends.predictor import PaddleExecutor
from qcc.backends.reference import Reference
from qcc.ir.nodes import Op
from qcc.model import Model

_STEP = np.float32(2.0**-20)
_SLIVER = np.float32(2.0**-10)
"""How wide a box becomes that has no area, to the largest coordinate."""
_SCORE = 1
"""The column of a row's score, behind its class."""
_ROWS = {
    "generate_proposals_v2": ("RpnRoiProbs", "RpnRoiProbs", "RpnRois"),
    "distribute_fpn_proposals": (),
}
"""The slots whose values stand side by side in rows, of which column `_SCORE` is the score; of suppressions
these have class and score in one. What is in no row is compared as it is."""
_OF_SUPPRESSIONS = ("Out", "Index")


@dataclass(frozen=True)
class Rows:
    """What came out of comparing rows. `wrong`: what is wrong with them; None when nothing is.

    `flat`: whether they are Paddle's only once each box has an area. Without one, the share that two boxes
    have in common is 0 / 0, which Paddle takes for an overlap, where they touch, and ONNX for none.
    """

    wrong: str | None = None
    flat: bool = False


def compare_rows(model: onnx.ModelProto, found: Reference, place: Path) -> Rows:
    """Compare the rows that a model chooses with Paddle's, each op fed with what Paddle feeds its own.

    But for equal scores, which are moved apart: which of these comes first is no matter. `place`: a folder
    for files that are run.  Raises EngineError, PaddleError.
    """
    written = {name for node in model.graph.node for name in node.output}
    flat = False
    for op in found.graph.ops:
        if op.type not in OPS:
            continue
        inputs = [var.name for var in op.all_inputs() if not var.persistable]
        outputs = [var.name for var in op.all_outputs() if var.name in written]
        fed = dict(zip(inputs, found.values(inputs), strict=True))
        fed |= {var.name: _moved_apart(fed[var.name]) for var in op.inputs.get("Scores", ())}
        wrong = _wrong_op(model, found, op, fed, outputs, place)
        if wrong is not None and op.type in SUPPRESSIONS:
            widened = {var.name: _with_area(fed[var.name]) for var in op.inputs["BBoxes"] if var.name in fed}
            if any(not np.array_equal(fed[name], boxes) for name, boxes in widened.items()):
                flat = _wrong_op(model, found, op, fed | widened, outputs, place) is None
                wrong = None if flat else wrong
        if wrong is not None:
            return Rows(wrong)
    return Rows(flat=flat)


def _wrong_op(
    model: onnx.ModelProto,
    found: Reference,
    op: Op,
    fed: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    place: Path,
) -> str | None:
    values = _by_paddle(found, op, fed, outputs, place)
    wanted = dict(zip(outputs, map(_without_nothing, values), strict=True))
    file = place / "boxes.onnx"
    file.write_bytes(_behind(model, fed, wanted).SerializeToString())
    with OnnxRuntime(file, optimize=False) as engine:
        rows = dict(zip(outputs, engine.run(fed), strict=True))
    return _wrong(op, rows, wanted)


def _with_area(boxes: np.ndarray) -> np.ndarray:
    """Boxes [..., 4], those without an area made a bit wider or higher."""
    corners = boxes.copy()
    step = _SLIVER * np.abs(boxes).max(initial=0.0)
    for low, high in ((0, 2), (1, 3)):
        is_flat = corners[..., low] == corners[..., high]
        corners[..., high] += np.where(is_flat, step, np.float32(0))
    return corners


def _moved_apart(scores: np.ndarray) -> np.ndarray:
    """Scores of which the n-th of equal ones is larger by n small steps."""
    flat = scores.ravel()
    order = np.argsort(flat, kind="stable")
    places = np.arange(flat.size)
    begins = np.r_[True, np.diff(flat[order]) != 0]
    count = np.empty(flat.size, flat.dtype)
    count[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return (flat + count * (_STEP * np.abs(flat).max(initial=0.0))).reshape(scores.shape)


def _by_paddle(
    found: Reference, op: Op, fed: Mapping[str, np.ndarray], outputs: Sequence[str], place: Path
) -> list[np.ndarray]:
    """What an op gives by itself."""
    part = found.graph.part([op])
    part.feeds, part.fetches = tuple(fed), tuple(outputs)
    saved = write(Model(part), place / "op", "float", ("model.pdmodel", "model.pdiparams"), None)
    program, params = place / "op" / "model.pdmodel", place / "op" / "model.pdiparams"
    return PaddleExecutor(program, params if params in saved.files else None).run(fed)


def _wrong(op: Op, rows: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> str | None:
    """What is wrong with an op's outputs; None when nothing is."""
    for name in rows:
        if rows[name].size != wanted[name].size:
            return f"{name!r} is {_shape(rows[name])}, and Paddle's {_shape(wanted[name])}"
    slots = _ROWS.get(op.type, _OF_SUPPRESSIONS)
    of_rows = [var.name for slot in slots for var in op.outputs.get(slot, ())]
    for name in rows:
        if name not in of_rows and not np.array_equal(rows[name].ravel(), wanted[name].ravel()):
            return f"{name!r} is {rows[name].ravel()}, and Paddle's {wanted[name].ravel()}"
    if not _same_rows(_table(of_rows, rows), _table(of_rows, wanted)):
        return f"the rows of {', '.join(map(repr, rows))} have other values than Paddle's"
    return None


def _behind(
    model: onnx.ModelProto, fed: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]
) -> onnx.ModelProto:
    """The part of a model that computes what is wanted from values that are given."""
    needed, nodes = set(wanted), []
    for node in reversed(model.graph.node):
        if any(name in needed and name not in fed for name in node.output):
            needed.update(read_by(node))
            nodes.append(node)
    inputs = [_info(name, value, value.shape) for name, value in fed.items()]
    results = [_info(name, value, None) for name, value in wanted.items()]
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    graph = helper.make_graph(nodes[::-1], "boxes", inputs, results, constants)
    part: onnx.ModelProto = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    return part


def _info(name: str, value: np.ndarray, shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    info: onnx.ValueInfoProto = helper.make_tensor_value_info(name, kind, shape)
    return info


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
