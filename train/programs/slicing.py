"""Which ops of a program compute given variables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def ops_behind(block: Any, names: Iterable[str]) -> list[Any]:
    """The ops of a block that the variables `names` depend on, in the block's order."""
    needed, ops = set(names), []
    for op in reversed(block.ops):
        if needed.intersection(op.output_arg_names):
            ops.append(op)
            needed.update(op.input_arg_names)
    return ops[::-1]


def variables_of(ops: Iterable[Any]) -> set[str]:
    """What the ops read and write."""
    return {name for op in ops for name in (*op.input_arg_names, *op.output_arg_names)}
