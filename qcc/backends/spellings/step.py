"""The ops that take the place of one that an engine's format lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qcc._paddle import VarType
from qcc.errors import PassError
from qcc.ir.nodes import Op, Var


@dataclass(frozen=True)
class Step:
    """One op, or a weight where there is a `value`. The last of the steps of an op writes its output.

    `reads`: by slot, a variable, or the name of a step before it, or the names of several.
    """

    name: str
    type: str = ""
    reads: Mapping[str, str | Var | tuple[str, ...]] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    """None: that of the op's output."""
    dtype: str = "float32"
    value: np.ndarray | None = None
    slot: str = "Out"
    """What the op calls its output."""


Steps = tuple[Step, ...]
Spell = Callable[[Op], Steps | None]
"""How an op is written otherwise; None where it is left."""
SpellPart = Callable[[Op, int], Steps]
"""How one of an op's outputs is written otherwise, by its number."""


def output_slot(op: Op) -> str:
    """The slot of the output that an op is there for; others are left unread in what can be replaced."""
    return next(slot for slot in ("Out", "Output", "OutputBox", "Y") if op.outputs.get(slot))


def require_declared(op: Op, x: Var) -> None:
    """Raises PassError where the size of a map is open."""
    if min(x.shape[1:]) < 1:
        raise PassError(
            f"{op} reads a map of {list(x.shape)}, and a file can have it for a declared size alone: save the"
            " model with the size of its images."
        )


def weight(name: str, value: np.ndarray) -> Step:
    return Step(name, shape=value.shape, dtype=str(value.dtype), value=value)


def scaled(
    name: str, source: str | Var, scale: float, bias: float = 0.0, shape: tuple[int, ...] | None = None
) -> Step:
    attrs = {"scale": scale, "bias": bias, "bias_after_scale": True}
    return Step(name, "scale", {"X": source}, attrs, shape)


def sliced(
    name: str, source: str | Var, begins: Mapping[int, int], ends: Mapping[int, int], shape: tuple[int, ...]
) -> Step:
    """From begin to end, by axis."""
    attrs = {"axes": list(begins), "starts": list(begins.values()), "ends": [ends[axis] for axis in begins]}
    attrs |= {"infer_flags": [1] * len(begins), "decrease_axis": list[int]()}
    return Step(name, "slice", {"Input": source}, attrs, shape)


def gathered(name: str, source: str | Var, axis: int, index: str, shape: tuple[int, ...]) -> Step:
    """`index`: the name of an int64 weight."""
    return Step(name, "gather", {"X": source, "Index": index}, {"axis": axis}, shape)


def permuted(source: str | Var, order: np.ndarray, shape: tuple[int, ...]) -> Steps:
    """The channels of a map in another order.

    OpenVINO takes a permutation into the filters of the convolution behind it (ReverseInputChannelsFusion),
    and is right where that is its own inverse. It leaves what gives a channel more, which is cut off again.
    """
    batch, channels, *sizes = shape
    return (
        weight("order", np.append(order, order[:1])),
        gathered("longer", source, 1, "order", (batch, channels + 1, *sizes)),
        sliced("permuted", "longer", {1: 0}, {1: channels}, shape),
    )


def reshaped(name: str, source: str | Var, shape: tuple[int, ...], batch: int = 0) -> Step:
    """With the batch that is there (0), or with what is left over as one (-1). Of the other sizes one may be
    open, in the first case."""
    told = [batch, *(size if size > 0 else -1 for size in shape[1:])]
    return Step(name, "reshape2", {"X": source}, {"shape": told}, shape)


def transposed(name: str, source: str | Var, order: tuple[int, ...], shape: tuple[int, ...]) -> Step:
    """`shape`: that of the result."""
    return Step(name, "transpose2", {"X": source}, {"axis": list(order)}, shape)


def combined(name: str, op: str, x: str | Var, y: str | Var, shape: tuple[int, ...] | None = None) -> Step:
    """The elementwise `op` of two, such as mul."""
    return Step(name, f"elementwise_{op}", {"X": x, "Y": y}, {"axis": -1}, shape)


def reduced(name: str, kind: str, source: str | Var, axes: Sequence[int], like: Var) -> Step:
    """The `kind` of a source with the shape of `like`, such as sum, over some axes, which are kept."""
    attrs = {"dim": list(axes), "keep_dim": True, "reduce_all": False, "in_dtype": -1, "out_dtype": -1}
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(like.shape))
    return Step(name, f"reduce_{kind}", {"X": source}, attrs, shape)


def product(name: str, x: str | Var, y: str | Var, shape: tuple[int, ...] | None = None) -> Step:
    """Of matrices."""
    return Step(name, "matmul_v2", {"X": x, "Y": y}, {"trans_x": False, "trans_y": False}, shape)


def cast(name: str, source: str | Var, was: VarType, shape: tuple[int, ...]) -> Step:
    """To float32."""
    return Step(name, "cast", {"X": source}, {"in_dtype": int(was), "out_dtype": int(VarType.FP32)}, shape)


def turned(source: Var, out: Var, split: tuple[int, ...], order: tuple[int, ...]) -> Steps | None:
    """Steps that split dimensions, put the parts into another order, and join them again; None where more
    than one size beside the batch is open."""
    parts = tuple(split[at] for at in order)
    if sum(size < 1 for size in split[1:]) > 1 or sum(size < 1 for size in out.shape[1:]) > 1:
        return None
    return (
        reshaped("split", source, split),
        transposed("turned", "split", order, parts),
        reshaped("joined", "turned", out.shape),
    )
