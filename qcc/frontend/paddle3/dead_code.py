"""Ops whose results nobody reads go: constants that became attributes, and arithmetic on shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qcc.frontend.paddle3.output import OutBlock, OutOp

# They do something besides giving results.
_EFFECTS = frozenset(("assert", "print"))


def drop_dead_ops(blocks: Sequence[OutBlock], public: Sequence[str]) -> None:
    """Remove what the inputs and outputs (`public`) do not need, and the declarations that are left without
    an op.

    An op stays when something reads one of its outputs, when it writes into a variable of another block or
    one that another op writes to as well, and when it holds a block.
    """
    reads = Counter(public)
    writes: Counter[str] = Counter()
    for block in blocks:
        for op in block.ops:
            reads.update(op.read())
            writes.update(set(op.written()))
    for block in reversed(blocks):
        kept: list[OutOp] = []
        for op in reversed(block.ops):
            if _needed(op, block, reads, writes):
                kept.append(op)
            else:
                reads.subtract(op.read())
        block.ops = kept[::-1]
    _drop_declarations(blocks, public)


def _needed(op: OutOp, block: OutBlock, reads: Counter[str], writes: Counter[str]) -> bool:
    if op.block is not None or op.type in _EFFECTS:
        return True
    for name in op.written():
        if reads[name] > 0 or writes[name] > 1:
            return True
        if name not in block.variables or (block.variables[name].persistable and name not in set(op.read())):
            return True
    return False


def _drop_declarations(blocks: Sequence[OutBlock], public: Sequence[str]) -> None:
    used = set(public)
    for block in blocks:
        for op in block.ops:
            used.update(op.read(), op.written())
    for block in blocks:
        block.variables = {
            name: variable
            for name, variable in block.variables.items()
            if name in used or variable.persistable
        }
