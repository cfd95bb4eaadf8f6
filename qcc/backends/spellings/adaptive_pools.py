"""Adaptive pools: into which parts they divide a map."""

from __future__ import annotations

from qcc._paddle import VarType
from qcc.ir.nodes import Op


def is_uneven(op: Op) -> bool:
    """Whether a pool is adaptive, and divides a map of declared size into parts of unequal sizes."""
    if not op.attr("adaptive", False) or op.attr("global_pooling", False):
        return False
    x, parts = op.input("X"), op.attr("ksize")
    known = op.attr("data_format", "NCHW") in ("NCHW", "AnyLayout") and len(x.shape) == 4
    if not known or x.dtype != VarType.FP32 or min(x.shape[2:]) < 1 or min(parts) < 1:
        return False
    return any(size % part for size, part in zip(x.shape[2:], parts, strict=True))


def parts_of(size: int, parts: int) -> list[tuple[int, int]]:
    """Where each of the parts of a size begins and ends: part i of n at floor(i * size / n), and in front of
    ceil((i + 1) * size / n), as in Paddle's kernel (`AdaptStartIndex`, `AdaptEndIndex` of
    phi/kernels/funcs/pooling.h)."""
    return [(part * size // parts, -((part + 1) * size // -parts)) for part in range(parts)]
