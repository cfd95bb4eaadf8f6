"""fuse-shuffle-channel: channel shuffling as the one op that Paddle Lite has for it."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import follower, remove_op


@options(frozen=True, config=OPTIONS)
class FuseShuffleChannel(LitePass):
    """Make one shuffle_channel op of Paddle's channel_shuffle, and of the ops that shuffle by a transpose.

    Before, x being [n, 6, h, w]:

        a = reshape2(X=x)  {shape = [n, 2, 3, h, w]}
        b = transpose2(X=a)  {axis = [0, 2, 1, 3, 4]}
        y = reshape2(X=b)  {shape = [n, 6, h, w]}

    After:

        y = shuffle_channel(X=x)  {group = 2}
    """

    name: ClassVar[str] = "fuse-shuffle-channel"
    runs_in_paddle: ClassVar[bool] = True

    def apply(self, graph: Graph) -> PassResult:
        modified = False
        for op in graph.ops:
            if op.type == "channel_shuffle" and op.attr("data_format", "NCHW") == "NCHW":
                _replace(graph, [op], op.attr("groups"))
                modified = True
            elif (found := _by_transpose(graph, op)) is not None:
                _replace(graph, found, found[0].output("Out").shape[1])
                modified = True
        return PassResult(modified)


def _by_transpose(graph: Graph, op: Op) -> list[Op] | None:
    if op.type != "reshape2" or not graph.has_op(op) or len(list(op.all_inputs())) != 1:
        return None
    transpose = follower(graph, op, "Out", "transpose2")
    back = follower(graph, transpose, "Out", "reshape2") if transpose is not None else None
    if transpose is None or back is None or len(list(back.all_inputs())) != 1:
        return None
    before, split, after = op.input("X").shape, op.output("Out").shape, back.output("Out").shape
    if len(before) != 4 or len(split) != 5 or list(transpose.attr("axis")) != [0, 2, 1, 3, 4]:
        return None
    channels = before[1]
    whole = channels > 0 and split[1] > 0 and split[1] * split[2] == channels
    same = split[3:] == before[2:] and after == before and all(size > 0 for size in before[1:])
    return [op, transpose, back] if whole and same else None


def _replace(graph: Graph, ops: list[Op], groups: int) -> None:
    source, out = ops[0].input("X"), ops[-1].output("Out")
    fused = graph.add_op("shuffle_channel", {"X": source}, {}, {"group": int(groups)}, before=ops[0])
    for op in reversed(ops):
        remove_op(graph, op, keep=out)
    graph.set_output(fused, "Out", [out])
