"""Where channels stand in a model's maps."""

from __future__ import annotations

from collections.abc import Callable

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.passes.channels_first import has_layout
from qcc.passes.rewrite import CONVOLUTIONS, first_of

_CHANNELS_LAST = ("NHWC", "NDHWC", "NLC")


def is_convolution(op: Op) -> bool:
    return op.type in (*CONVOLUTIONS, "conv3d", "conv3d_transpose")


def refuse_channels_last(graph: Graph, engine: str, concerned: Callable[[Op], bool]) -> None:
    """Raise PassError where channels come last in ops that are `concerned`: the engine takes none such."""
    found = [op for op in graph.ops if concerned(op) and has_layout(op, *_CHANNELS_LAST)]
    if found:
        raise PassError(
            f"the channels come last (NHWC) in {first_of(found, 'op')}, and {engine} wants them second:"
            " quantize the float model, or turn it by `qcc apply -p channels-first`."
        )
