"""spell-out: ops that paddle2onnx lacks, or takes for something else, in ops that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass as options

from qcc.backends.deploy.passes.engine_pass import EnginePass
from qcc.backends.spellings import (
    FOR_ONEDNN,
    FOR_OPENVINO,
    IN_PARTS,
    IN_PARTS_FOR_ONNX,
    OF_WEIGHTS,
    OF_WEIGHTS_FOR_OPENVINO,
    SPELLINGS,
    SpellWeight,
)
from qcc.backends.spellings.step import Spell, SpellPart, Steps
from qcc.backends.spellings.write import is_alone, spell_out, spell_parts, write
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import CONVOLUTIONS


@options(frozen=True, config=OPTIONS)
class SpellOut(EnginePass):
    """Write ops that paddle2onnx does not translate, or translates wrongly, in others that give the same.

    Before, with x of [-1, 8, 12, 12]:

        a = channel_shuffle(X=x) {groups=2}
        b = softplus(X=x) {beta=2.0, threshold=20.0}

    After:

        a.split = reshape2(X=x) {shape=[0, 2, 4, 12, 12]}
        a.turned = transpose2(X=a.split) {axis=[0, 2, 1, 3, 4]}
        a = reshape2(X=a.turned) {shape=[0, 8, 12, 12]}
        b.scaled = scale(X=x) {scale=2.0}
        b.soft = softplus(X=b.scaled) {beta=1.0, threshold=20.0}
        b = scale(X=b.soft) {scale=0.5}

    `qcc.backends.spellings` has them all, and how each is written: deformable convolutions, say, as
    maps that are sampled where the kernel looks. Of the sizes of a map that is shuffled one may be open;
    those of a map that is sampled may not, which raises PassError.

    A dilation of convolutions with padding SAME, which Paddle takes for 1 there, becomes 1.

    With reader=onednn, for Paddle's oneDNN kernels: dropout that is a factor in test runs, and nearest pixels
    of maps that do not grow by a whole factor. With reader=openvino, for OpenVINO where it reads models of
    Paddle: what it does not read there, from prelu and unfold to the interpolations of Paddle 1.
    """

    name: ClassVar[str] = "spell-out"

    reader: Literal["paddle2onnx", "onednn", "openvino"] = "paddle2onnx"

    def apply(self, graph: Graph) -> PassResult:
        spelled, in_parts, of_weights = _TABLES[self.reader]
        modified = self.reader != "onednn" and _undilate(graph)
        modified |= spell_out(graph, spelled)
        modified |= spell_parts(graph, in_parts)
        return PassResult(_spell_weights(graph, of_weights) or modified)


_TABLES: Mapping[
    str, tuple[Mapping[str, Spell], Mapping[str, SpellPart], Mapping[str, tuple[str, SpellWeight]]]
] = {
    "paddle2onnx": (SPELLINGS, IN_PARTS_FOR_ONNX, OF_WEIGHTS),
    "onednn": (FOR_ONEDNN, {}, {}),
    "openvino": (FOR_OPENVINO, IN_PARTS, OF_WEIGHTS_FOR_OPENVINO),
}


_CONVOLUTIONS = (*CONVOLUTIONS, "conv3d", "conv3d_transpose")


def _undilate(graph: Graph) -> bool:
    """Let convolutions say the dilation that Paddle computes with (`UpdatePaddingAndDilation`)."""
    found = [
        op
        for op in graph.ops
        if op.type in _CONVOLUTIONS
        and op.attr("padding_algorithm", "EXPLICIT") == "SAME"
        and set(op.attr("dilations", [1])) != {1}
    ]
    for op in found:
        graph.set_attr(op, "dilations", [1] * len(op.attr("dilations")))
    return bool(found)


def _spell_weights(graph: Graph, table: Mapping[str, tuple[str, SpellWeight]]) -> bool:
    found: dict[Op, Steps] = {}
    for op in graph.ops:
        slot, spell = table.get(op.type, ("", None))
        if spell is None or not is_alone(graph, op):
            continue
        value = graph.weights.get(op.input(slot).name)
        steps = None if value is None else spell(op, value)
        if steps is not None:
            found[op] = steps
    for op, steps in found.items():
        write(graph, op, steps)
    return bool(found)
