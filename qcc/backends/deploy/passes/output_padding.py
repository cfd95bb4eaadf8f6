"""output-padding: how much larger a transposed convolution's output is, instead of how large."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult

_TYPES = ("conv2d_transpose", "depthwise_conv2d_transpose")


@options(frozen=True, config=OPTIONS)
class OutputPadding(EnginePass):
    """Say by how much the output of a transposed convolution is larger than its windows make it, where the
    size itself is said, which paddle2onnx does not read.

    Before, with x of [-1, 8, 12, 12] and w of [8, 4, 3, 3]:

        y = conv2d_transpose(Input=x, Filter=w) {output_size=[24, 24], paddings=[1, 1], strides=[2, 2]}

    After:

        y = conv2d_transpose(Input=x, Filter=w) {output_padding=[1, 1], paddings=[1, 1], strides=[2, 2]}

    A map whose size is open stays, since the difference is open as well.
    """

    name: ClassVar[str] = "output-padding"

    def apply(self, graph: Graph) -> PassResult:
        found = {op: padding for op in graph.ops if (padding := _padding(op)) is not None}
        for op, padding in found.items():
            graph.set_attr(op, "output_padding", padding)
            graph.set_attr(op, "output_size", [])
        return PassResult(bool(found))


def _padding(op: Op) -> list[int] | None:
    if op.type not in _TYPES or not op.attr("output_size", []) or op.inputs.get("OutputSizeTensor"):
        return None
    sizes, kernel = op.input("Input").shape[2:], op.input("Filter").shape[2:]
    known = min(sizes) > 0 and op.attr("data_format", "NCHW") in ("NCHW", "AnyLayout")
    if not known or op.attr("padding_algorithm", "EXPLICIT") != "EXPLICIT":
        return None
    pads = op.attr("paddings")
    cut = [2 * pad for pad in pads] if len(pads) == 2 else [pads[0] + pads[1], pads[2] + pads[3]]
    steps, spread = op.attr("strides"), op.attr("dilations")
    return [
        op.attr("output_size")[at]
        - ((sizes[at] - 1) * steps[at] + spread[at] * (kernel[at] - 1) + 1 - cut[at])
        for at in range(2)
    ]
