"""Adaptive pools: into which parts they divide a map."""

from __future__ import annotations

from qcc._paddle import VarType
from qcc.ir.nodes import Op


def is_uneven(op: Op) -> bool:
    """Whether a pool is adaptive, and divides a map of declared size into parts of unequal sizes."""
    if not _is_adaptive(op):
        return False
    sizes = op.input("X").shape[2:]
    return min(sizes) > 0 and any(size % part for size, part in zip(sizes, op.attr("ksize"), strict=True))


def is_open(op: Op) -> bool:
    """Whether a pool is adaptive, and divides a map of open size into parts."""
    return _is_adaptive(op) and min(op.input("X").shape[2:]) < 1 and max(op.attr("ksize")) > 1


def _is_adaptive(op: Op) -> bool:
    if not op.attr("adaptive", False) or op.attr("global_pooling", False):
        return False
    x = op.input("X")
    known = op.attr("data_format", "NCHW") in ("NCHW", "AnyLayout") and len(x.shape) == 4
    return known and x.dtype == VarType.FP32 and min(op.attr("ksize")) > 0


def parts_of(size: int, parts: int) -> list[tuple[int, int]]:
    """Where each of the parts of a size begins and ends: part i of n at floor(i * size / n), and in front of
    ceil((i + 1) * size / n), as in Paddle's kernel (`AdaptStartIndex`, `AdaptEndIndex` of
    phi/kernels/funcs/pooling.h)."""
    return [(part * size // parts, -((part + 1) * size // -parts)) for part in range(parts)]
