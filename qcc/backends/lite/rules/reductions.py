"""Which reductions Paddle Lite's kernels have."""

from __future__ import annotations

from collections.abc import Sequence

from qcc.targets.lite import Arch

_OF_TRUTH = ("reduce_all", "reduce_any")
REDUCTIONS = (*_OF_TRUTH, "reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum")
MOST_DIMENSIONS = 4
_PAIRS = ((0, 1), (1, 2), (2, 3))
_PAIRS_OF_THREE = ((0, 1), (1, 2))
_SUMS = ("reduce_mean", "reduce_sum")


def normalized(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """The axes as numbers from 0, in the order given; all of them where none is given."""
    return tuple(int(axis) % rank for axis in axes) if axes else tuple(range(rank))


def has_kernel(op_type: str, rank: int, axes: tuple[int, ...], arch: Arch) -> bool:
    """Whether the kernel of a device reduces a tensor of so many dimensions along these axes (from 0).

    On x86 it does up to four dimensions. On ARM: one axis (of a product, in four dimensions), or two
    neighbours, in their order. Of truth values there is one kernel for both, which does likewise.
    """
    if rank > MOST_DIMENSIONS:
        return False
    if op_type in _OF_TRUTH:
        return len(axes) == 1 or axes in _PAIRS
    if arch == "x86":
        return True
    if op_type == "reduce_prod" and rank < MOST_DIMENSIONS:
        return False
    if len(axes) == 1:
        return True
    if rank == MOST_DIMENSIONS:
        return axes in _PAIRS
    return rank == 3 and op_type in _SUMS and axes in _PAIRS_OF_THREE
