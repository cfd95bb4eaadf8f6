"""Ops on numbers, which have no dimensions in Paddle. What reduces or cuts a tensor to a number gives a
vector of one in Paddle Lite, and what puts dimensions in front of that has one more there than in Paddle.

What an op gives must be declared likewise: programs of old Paddle declare nothing of what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcc._paddle import VarType
from qcc.backends.spellings.step import Step, Steps
from qcc.ir.dtypes import dtype_name
from qcc.ir.nodes import Op, Var


def unsqueeze(op: Op) -> Steps | None:
    out = op.output("Out")
    if _is_number(op.input("X")) and out.shape == (1,) * len(op.attr("axes", ())):
        return (Step("", "reshape2", {"X": op.input("X")}, {"shape": [1] * len(out.shape)}),)
    return None


def stack(op: Op) -> Steps | None:
    numbers = op.inputs["X"]
    if not all(map(_is_number, numbers)) or len(op.output("Y").shape) != 1:
        return None
    parts = tuple(_vector(f"part{place}", number) for place, number in enumerate(numbers))
    return (*parts, Step("", "concat", {"X": tuple(part.name for part in parts)}, {"axis": 0}))


def gather(op: Op) -> Steps | None:
    x, out = op.input("X"), op.output("Out")
    if op.inputs.get("Axis") or len(out.shape) != len(x.shape) - 1:
        return None
    axis = op.attr("axis", 0) % len(x.shape)
    return _by_a_number(op.input("Index"), out, axis, "gather", {"X": x, "Index": "number"}, {"axis": axis})


def one_hot(op: Op) -> Steps | None:
    out = op.output("Out")
    if op.inputs.get("depth_tensor") or len(out.shape) != 1:
        return None
    attrs = {"depth": op.attr("depth"), "dtype": op.attr("dtype", int(VarType.FP32))}
    attrs["allow_out_of_range"] = op.attr("allow_out_of_range", False)
    return _by_a_number(op.input("X"), out, 0, "one_hot_v2", {"X": "number"}, attrs)


def look_up(op: Op) -> Steps | None:
    table, out = op.input("W"), op.output("Out")
    if op.attr("padding_idx", -1) >= 0 or len(out.shape) != 1:
        return None
    return _by_a_number(op.input("Ids"), out, 0, "gather", {"X": table, "Index": "number"}, {"axis": 0})


def _by_a_number(
    number: Var, out: Var, axis: int, kind: str, reads: Mapping[str, str | Var], attrs: Mapping[str, Any]
) -> Steps | None:
    """What an op of a kind gives for a vector of one, without the dimension that stands for that."""
    if not _is_number(number):
        return None
    shape = (*out.shape[:axis], 1, *out.shape[axis:])
    return (
        _vector("number", number),
        Step("rows", kind, reads, attrs, shape, dtype_name(out.dtype)),
        Step("", "squeeze2", {"X": "rows"}, {"axes": [axis]}),
    )


def to_a_number(op: Op) -> Steps | None:
    """Paddle Lite knows no reshape to no dimensions, but a squeeze of all that there are."""
    x, out = op.input("X"), op.output("Out")
    by_tensors = op.inputs.get("Shape") or op.inputs.get("ShapeTensor")
    return None if by_tensors or out.shape or set(x.shape) - {1} else _squeezed(x)


def unchanged(op: Op) -> Steps | None:
    """Whatever a number is transposed or reduced by."""
    x, out = op.input("X"), op.output("Out")
    return _squeezed(x) if _is_number(x) and _is_number(out) and x.dtype == out.dtype else None


def _squeezed(x: Var) -> Steps:
    return (Step("", "squeeze2", {"X": x}, {"axes": list(range(len(x.shape)))}),)


def _vector(name: str, number: Var) -> Step:
    return Step(name, "reshape2", {"X": number}, {"shape": [1]}, (1,), dtype_name(number.dtype))


def _is_number(var: Var) -> bool:
    return not var.shape
