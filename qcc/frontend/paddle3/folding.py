"""Conditions that are the same in every run: what a parameter's value decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qcc.frontend.paddle3.conversion import State
from qcc.frontend.paddle3.program import Op, Tensor

# A condition is one number, or a handful of them.
_MAX_ELEMENTS = 64

_COMPUTED: dict[str, Callable[..., Any]] = {
    "pd_op.equal": np.equal,
    "pd_op.not_equal": np.not_equal,
    "pd_op.greater_than": np.greater,
    "pd_op.greater_equal": np.greater_equal,
    "pd_op.less_than": np.less,
    "pd_op.less_equal": np.less_equal,
    "pd_op.logical_and": np.logical_and,
    "pd_op.logical_or": np.logical_or,
    "pd_op.logical_not": np.logical_not,
}


def note_constants(state: State, op: Op) -> None:
    """Note the numbers of a condition that is computed from parameters and constants alone.

    if self.alpha:  ->  cast(alpha, bool), whose operand is a parameter of one number
    """
    if len(op.results) != 1 or not _is_condition(op) or state.mutable & {op.results[0].id, *op.operands}:
        return
    if op.name == "pd_op.cast":
        numbers = _numbers(state, op.operands[0])
        if numbers is not None:
            state.constants[op.results[0].id] = tuple(bool(number) for number in numbers)
    elif op.name in _COMPUTED:
        operands = [_numbers(state, number) for number in op.operands]
        if all(len(numbers or ()) == 1 for numbers in operands):
            result = _COMPUTED[op.name](*(numbers[0] for numbers in operands if numbers))
            state.constants[op.results[0].id] = (bool(result),)


def _is_condition(op: Op) -> bool:
    kind = op.results[0].type
    return isinstance(kind, Tensor) and kind.dtype == "bool" and math.prod(kind.shape) == 1


def _numbers(state: State, number: int) -> tuple[Any, ...] | None:
    known = state.numbers(number)
    parameter = state.parameters.get(number)
    if known is not None or parameter is None:
        return known
    kind = parameter.value.type
    if (
        not isinstance(kind, Tensor)
        or not 0 <= math.prod(kind.shape) <= _MAX_ELEMENTS
        or not parameter.persistable
    ):
        return None
    return tuple(state.value_of(parameter.name).reshape(-1).tolist())
