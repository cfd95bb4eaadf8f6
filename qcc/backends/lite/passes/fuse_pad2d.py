"""fuse-pad2d: padding in three dimensions of a picture as padding in two."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import follower, remove_op

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


@options(frozen=True, config=OPTIONS)
class FusePad2d(LitePass):
    """Make one pad2d op of what Paddle makes of padding a picture.

    Before:

        u = unsqueeze2(X=x)  {axes = [2]}
        p = pad3d(X=u)  {paddings = [left, right, top, bottom, 0, 0], mode = "constant", value = 0.0}
        y = squeeze2(X=p)  {axes = [2]}

    After:

        y = pad2d(X=x)  {paddings = [top, bottom, left, right], mode = "constant", pad_value = 0.0}
    """

    name: ClassVar[str] = "fuse-pad2d"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type != "unsqueeze2" or list(op.attr("axes", [])) != [2]:
                continue
            pad = follower(graph, op, "Out", "pad3d")
            if pad is None or not _pads_picture(pad):
                continue
            squeeze = follower(graph, pad, "Out", "squeeze2")
            if squeeze is not None and list(squeeze.attr("axes", [])) == [2]:
                _fuse(graph, op, pad, squeeze)
                modified = True
        return PassResult(modified)


def _pads_picture(pad: Op) -> bool:
    fixed = not pad.inputs.get("Paddings") and list(pad.attr("paddings"))[4:] == [0, 0]
    return fixed and pad.attr("mode") in _MODES and pad.attr("data_format", "NCDHW") == "NCDHW"


def _fuse(graph: Graph, unsqueeze: Op, pad: Op, squeeze: Op) -> None:
    left, right, top, bottom, _, _ = pad.attr("paddings")
    attrs: dict[str, Any] = {
        "paddings": [top, bottom, left, right],
        "mode": _MODES[pad.attr("mode")],
        "pad_value": float(pad.attr("value", 0.0)),
        "data_format": "NCHW",
    }
    out = squeeze.output("Out")
    fused = graph.add_op("pad2d", {"X": unsqueeze.input("X")}, {}, attrs, before=unsqueeze)
    for op in (squeeze, pad, unsqueeze):
        remove_op(graph, op, keep=out)
    graph.set_output(fused, "Out", [out])
