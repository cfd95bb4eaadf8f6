"""paddle2onnx, for the float part of a model, in a process of its own."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx

from qcc.backends.engines.process import start
from qcc.backends.engines.wire import Closed, send
from qcc.backends.fluid import write
from qcc.backends.onnx import onnx_missing
from qcc.backends.onnx.nested import with_inner
from qcc.errors import MissingDependencyError, TargetError
from qcc.ir.graph import Graph
from qcc.model import Model

OPSET = 13
"""The first with a scale for each channel; paddle2onnx takes a higher one where an op needs it."""
_UNKNOWN = re.compile(r"operators not supported yet, including ([a-z_0-9,]*[a-z_0-9])")
_INSIDE = "what a branch or a loop computes"
_CENTERED = 16
"""The first whose RoiAlign knows that a pixel lies around its center, which paddle2onnx does not ask for."""


def float_onnx(graph: Graph) -> onnx.ModelProto:
    """A graph without quantize ops, as paddle2onnx writes it, op by op: all variables keep their names.

    Raises MissingDependencyError without paddle2onnx, TargetError with its last words when it refuses.
    """
    missing = onnx_missing()
    if missing is not None:
        raise MissingDependencyError(missing)
    with tempfile.TemporaryDirectory(prefix="qcc-") as folder:
        place = Path(folder)
        saved = write(Model(graph), place, "float", ("model.pdmodel", "model.pdiparams"), None)
        has_params = place / "model.pdiparams" in saved.files
        centered = any(op.type == "roi_align" and op.attr("aligned", False) for op in graph.ops)
        opset = _CENTERED if centered else OPSET
        params = place / "model.pdiparams" if has_params else None
        try:
            model = _translated(place / "model.pdmodel", params, opset)
        except Closed as error:
            raise TargetError(_refusal(str(error), graph)) from None
    _name_outputs(model.graph, graph.fetches)
    return model


def _name_outputs(graph: onnx.GraphProto, fetches: Sequence[str]) -> None:
    """Let outputs have the names of fetches: paddle2onnx numbers what an op writes over a variable, as the
    tools of Paddle's do with what is fetched when they save a model again."""
    pairs = zip(graph.output, fetches, strict=True)
    last = {value.name: name for value, name in pairs if value.name != name}
    renamed = {name: f"{name}.before" for name in last.values()} | last
    for names in (names for node in with_inner(graph.node) for names in (node.input, node.output)):
        names[:] = [renamed.get(name, name) for name in names]
    for value in graph.output:
        value.name = renamed.get(value.name, value.name)


def _refusal(words: str, graph: Graph) -> str:
    """What its last words mean."""
    known = "paddle2onnx, which translates the float ops into ONNX,"
    unknown = _UNKNOWN.search(words)
    if unknown is None:
        return f"{known} {words}."
    types = unknown[1].split(",")
    found = (repr(var.name) for op in graph.ops if op.type in types for var in op.all_outputs())
    return (
        f"{known} does not know {' and '.join(types)}, first for {next(found, _INSIDE)}: such a model runs in"
        " Paddle, in int8 on x86 by --target paddle-x86."
    )


def _translated(program: Path, params: Path | None, opset: int) -> onnx.ModelProto:
    """Raises Closed, with its last words, when it refuses."""
    process = start("qcc.backends.onnx.paddle2onnx_worker")
    request = {"program": str(program), "params": str(params or ""), "opset": opset}
    try:
        send(process.connection, request, {})
        _, arrays = process.receive()
    except Closed:
        raise Closed(process.died("at this model")) from None
    finally:
        process.close()
    return onnx.load_from_string(arrays["model"].tobytes())
