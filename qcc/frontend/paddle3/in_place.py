"""Ops that write into a value that is there already: those whose names end in "_"."""

from __future__ import annotations

from collections.abc import Iterable

from qcc.frontend.paddle3.program import Op

# What they write into is not their first operand, and their first result is a value of its own.
_OTHERS = {
    "pd_op.assign_out_": 1,
    "pd_op.batch_norm_": 1,
    "pd_op.sync_batch_norm_": 1,
    "pd_op.fake_quantize_dequantize_moving_average_abs_max_": 1,
    "pd_op.fake_quantize_moving_average_abs_max_": 1,
    "pd_op.fake_quantize_range_abs_max_": 1,
}


def changed_value(op: Op) -> int:
    """The value that an op writes into; 0 for an op that does not."""
    place = _OTHERS.get(op.name, 0)
    return op.operands[place] if op.name.endswith("_") and len(op.operands) > place else 0


def result_is_operand(op: Op) -> bool:
    """True for an op whose first result is its first operand, changed: `relu_`."""
    return op.name.endswith("_") and op.name not in _OTHERS and bool(op.operands) and bool(op.results)


def last_uses(ops: Iterable[Op]) -> dict[int, int]:
    """The number of the last op in the text that has each value as an operand."""
    return {number: op.number for op in ops for number in op.operands}
