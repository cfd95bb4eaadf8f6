"""output-padding: how much larger a transposed convolution's output is, instead of how large."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import FIXED_SIZES, Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.window import Window

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

    With into=paddings, for OpenVINO, which reads neither in models of Paddle, that much less is cut off at
    the end instead:

        y = conv2d_transpose(Input=x, Filter=w) {paddings=[1, 0, 1, 0], strides=[2, 2]}

    What is larger by more than is cut off stays. Where variables hold the size, it is refused.

    Padding SAME, which Paddle works out from the size of the input and others from that of the output, is
    said in numbers, where that size is declared or there are no strides; Paddle takes dilations for 1 then.
    So is padding VALID, which is none, where the output is larger.
    """

    name: ClassVar[str] = "output-padding"

    into: Literal["output_padding", "paddings"] = "output_padding"

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type not in _TYPES:
                continue
            if "output_size" in op.pointed:
                computed = op.computed_attr("output_size")
                raise PassError(f"{computed}, which other engines than Paddle do not read: {FIXED_SIZES}.")
            if _is_first(op) and (_is_padded(op, "SAME") or (_is_padded(op, "VALID") and _is_larger(op))):
                modified |= _say_padding(graph, op)
            if _is_first(op) and _is_padded(op, "EXPLICIT"):
                modified |= self._write(graph, op)
        return PassResult(modified)

    def _write(self, graph: Graph, op: Op) -> bool:
        larger = _larger(op) if op.attr("output_size", []) else None
        if self.into == "paddings":
            larger = larger or op.attr("output_padding", [])
            top, bottom, left, right = _pads(op)
            if not any(larger) or larger[0] > bottom or larger[1] > right:
                return False
            graph.set_attr(op, "paddings", [top, bottom - larger[0], left, right - larger[1]])
        elif larger is None:
            return False
        graph.set_attr(op, "output_padding", larger if self.into == "output_padding" else [])
        graph.set_attr(op, "output_size", [])
        return True


def _is_first(op: Op) -> bool:
    """Whether channels come before height and width."""
    return op.attr("data_format", "NCHW") in ("NCHW", "AnyLayout")


def _is_padded(op: Op, algorithm: str) -> bool:
    return bool(op.attr("padding_algorithm", "EXPLICIT") == algorithm)


def _is_larger(op: Op) -> bool:
    """Whether it says how large its output is, or by how much larger."""
    return bool(op.attr("output_size", []) or op.attr("output_padding", []))


def _say_padding(graph: Graph, op: Op) -> bool:
    kernel, strides = op.input("Filter").shape[2:], op.attr("strides")
    declared = op.input("Input").shape[2:]
    if _is_padded(op, "SAME") and any(
        size < 1 and stride > 1 for size, stride in zip(declared, strides, strict=True)
    ):
        return False
    # Without strides any size has the same padding.
    sizes = tuple(size if size > 0 else reach for size, reach in zip(declared, kernel, strict=True))
    window = Window.of(op, kernel, sizes)
    graph.set_attr(op, "paddings", [pad for pads in window.padding for pad in pads])
    graph.set_attr(op, "dilations", list(window.dilations))
    graph.set_attr(op, "padding_algorithm", "EXPLICIT")
    return True


def _pads(op: Op) -> list[int]:
    pads = op.attr("paddings")
    return list(pads) if len(pads) == 4 else [pads[0], pads[0], pads[1], pads[1]]


def _larger(op: Op) -> list[int] | None:
    sizes, kernel = op.input("Input").shape[2:], op.input("Filter").shape[2:]
    if min(sizes) < 1 or op.inputs.get("OutputSizeTensor"):
        return None
    top, bottom, left, right = _pads(op)
    cut = (top + bottom, left + right)
    steps, spread = op.attr("strides"), op.attr("dilations")
    return [
        op.attr("output_size")[at]
        - ((sizes[at] - 1) * steps[at] + spread[at] * (kernel[at] - 1) + 1 - cut[at])
        for at in range(2)
    ]
