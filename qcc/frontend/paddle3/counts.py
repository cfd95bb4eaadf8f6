"""Which integers are never below zero: places that an op finds, sizes, and what is computed from them.

    argmax(x)                ->  never below zero
    reshape(that, [-1]) * 2  ->  nor is this

Such a place stays as it is; any other may be one that Paddle 3 counts from the end.
"""

from __future__ import annotations

from collections.abc import Callable

from qcc.frontend.paddle3.conversion import State
from qcc.frontend.paddle3.program import Op, Tensor

# The results that are places or counts.
_FOUND: dict[str, tuple[int, ...]] = {
    "argmax": (0,),
    "argmin": (0,),
    "argsort": (1,),
    "bincount": (0,),
    "cummax": (1,),
    "cummin": (1,),
    "histogram": (0,),
    "kthvalue": (1,),
    "matrix_nms": (1, 2),
    "max_with_index": (1,),
    "min_with_index": (1,),
    "mode": (1,),
    "multiclass_nms3": (1, 2),
    "nms": (0,),
    "nonzero": (0,),
    "numel": (0,),
    "searchsorted": (0,),
    "shape": (0,),
    "shape64": (0,),
    "topk": (1,),
    "unique": (1, 2, 3),
    "unique_consecutive": (1, 2),
}
# Ops that give elements of their first operand, or sums of them.
_LIKE_FIRST = frozenset((
    "assign", "builtin.slice", "builtin.split", "concat", "cumsum", "expand", "flatten", "flip", "gather",
    "gather_nd", "index_select", "max", "min", "repeat_interleave", "reshape", "roll", "slice", "sort",
    "split", "split_with_num", "squeeze", "stack", "strided_slice", "sum", "take_along_axis", "tile",
    "transpose", "unbind", "unsqueeze",
))  # fmt: skip
_LIKE_ALL = frozenset(("add", "builtin.combine", "floor_divide", "minimum", "multiply"))


def is_count(state: State, number: int) -> bool:
    """True for a value that holds no integer below zero in any run."""
    numbers = state.numbers(number)
    return number in state.counts if numbers is None else min(numbers, default=0) >= 0


def note_counts(state: State, op: Op) -> None:
    """Note the results of an op that are never below zero."""
    if not state.mutable.isdisjoint(op.operands) or any(one.id in state.mutable for one in op.results):
        return
    name = op.name.removeprefix("pd_op.")
    places = _FOUND.get(name, ())
    if not places and _gives_counts(state, op, name):
        places = tuple(range(len(op.results)))
    state.counts.update(op.results[place].id for place in places if place < len(op.results))


def _gives_counts(state: State, op: Op, name: str) -> bool:
    if name in _LIKE_FIRST:
        return is_count(state, op.operands[0])
    if name in _LIKE_ALL:
        return all(is_count(state, number) for number in op.operands)
    return name in _RULES and _RULES[name](state, op)


def _cast(state: State, op: Op) -> bool:
    kind = state.types.get(op.operands[0])
    truth = isinstance(kind, Tensor) and kind.dtype in ("bool", "uint8")
    return truth or is_count(state, op.operands[0])


def _arange(state: State, op: Op) -> bool:
    """One that begins at 0 or above, and goes up."""
    return is_count(state, op.operands[0]) and is_count(state, op.operands[2])


def _scale(state: State, op: Op) -> bool:
    bias = op.attrs.get("bias")
    added = isinstance(bias, int | float) and bias >= 0
    return added and is_count(state, op.operands[0]) and is_count(state, op.operands[1])


def _where(state: State, op: Op) -> bool:
    return is_count(state, op.operands[1]) and is_count(state, op.operands[2])


def _bound(state: State, op: Op) -> bool:
    """What is cut at a least value, or has the sign of the divisor."""
    return is_count(state, op.operands[1])


def _maximum(state: State, op: Op) -> bool:
    return is_count(state, op.operands[0]) or is_count(state, op.operands[1])


_RULES: dict[str, Callable[[State, Op], bool]] = {
    "arange": _arange,
    "cast": _cast,
    "clip": _bound,
    "maximum": _maximum,
    "range_v2": _arange,
    "remainder": _bound,
    "scale": _scale,
    "where": _where,
}
