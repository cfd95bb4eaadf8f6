"""An op as the rules see it: of a graph (`passes/graph_op.py`) or of a file (`file_op.py`)."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

Shape = tuple[int, ...]
Rows = Literal["declared", "fixed", "open"]
"""Whether the number of rows that products see may change between the runs of one predictor: as the declared
shapes say, never, or always."""


class OpView(Protocol):
    """An op with what stands in its slots; where a slot holds several variables, the first counts."""

    @property
    def type(self) -> str: ...

    @property
    def computes_int8(self) -> bool:
        """Whether an int8 kernel runs it."""

    @property
    def writes_int8(self) -> bool | None:
        """Whether it writes integers; None while that is not decided."""

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute's value."""

    def shape(self, slot: str) -> Shape | None:
        """The shape of what the op reads in a slot, -1 where a size is open; None where nothing is known."""

    def element(self, slot: str) -> str | None:
        """The element type of what the op reads in a slot, by the names of the kernel table."""

    def weight(self, slot: str) -> np.ndarray | None:
        """The value of a weight."""

    def is_shared(self, slot: str) -> bool:
        """Whether another op reads what the op reads in a slot."""

    def source(self, slot: str) -> OpView | None:
        """The op that has written what the op reads in a slot; None for feeds and weights."""


def may_be(extent: int, value: int) -> bool:
    """Whether a size that may be open can be this."""
    return extent in (-1, value)


def is_known(shape: Shape | None) -> bool:
    """Whether all sizes are known."""
    return shape is not None and all(extent > 0 for extent in shape)


_NEVER_NEGATIVE = frozenset(
    {"abs", "exp", "hard_sigmoid", "relu", "relu6", "sigmoid", "softmax", "sqrt", "square"}
)
_FUSED = frozenset({"relu", "relu6"})
# Op -> the slot of what it passes on, or changes without making it negative.
_PASSES_ON = {
    "bilinear_interp_v2": "X",
    "calib": "Input",
    "flatten_contiguous_range": "X",
    "floor": "X",
    "nearest_interp_v2": "X",
    "pool2d": "X",
    "reshape2": "X",
    "round": "X",
    "scale": "X",
    "slice": "Input",
    "squeeze2": "X",
    "transpose2": "X",
    "unsqueeze2": "X",
}


def never_negative(view: OpView, slot: str) -> bool:
    """Whether what an op reads in a slot is known to have no negative values."""
    source = view.source(slot)
    while source is not None and source.type in _PASSES_ON and not _may_turn(source):
        source = source.source(_PASSES_ON[source.type])
    if source is None:
        return False
    if source.type == "clip":
        return source.element("Min") is None and float(source.attr("min", -1.0)) >= 0
    if source.type == "cast":
        return source.element("X") in ("bool", "uint8")
    fused = source.attr("act_type") if source.attr("with_act", source.type.startswith("fusion_")) else None
    return source.type in _NEVER_NEGATIVE or fused in _FUSED or source.attr("activation_type") in _FUSED


def _may_turn(op: OpView) -> bool:
    """Whether a scale op may make a negative number of one that is not."""
    if op.type != "scale":
        return False
    known = op.element("ScaleTensor") is None
    return not known or float(op.attr("scale", 1.0)) < 0 or float(op.attr("bias", 0.0)) < 0
