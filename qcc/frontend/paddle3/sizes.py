"""Arithmetic on shapes: which numbers small tensors of integers hold in every run, or which sizes of a value.

    shape64(x) of x[-1, 96, -1, 8]  ->  (size 0 of x, 96, size 2 of x, 8)
    slice(that, 1, 2)               ->  (96,)
    stack(that, full(-1))           ->  (96, -1)

What is known here becomes an attribute of Paddle 2.6 (`reshape2.shape`), and the ops that computed it go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from qcc.frontend.paddle3.conversion import Size, State, Unknown
from qcc.frontend.paddle3.program import DType, Op, Tensor, Vector

# A shape has no more elements; longer tensors hold data.
_MAX_ELEMENTS = 64
_INTEGERS = frozenset(("int32", "int64"))

Sizes = tuple[Size, ...]


def note_sizes(state: State, op: Op) -> None:
    """Note what is known of an op's first result."""
    if not op.results or op.results[0].id in state.mutable or not state.mutable.isdisjoint(op.operands):
        return
    if op.name == "builtin.combine":
        _note_vector(state, op)
        return
    known = _RULES.get(op.name)
    if known is None:
        return
    kind = op.results[0].type
    if not isinstance(kind, Tensor):
        return
    if kind.dtype not in _INTEGERS and op.name not in ("pd_op.full", "pd_op.cast"):
        return
    sizes = known(state, op)
    if sizes is None or not len(sizes) == math.prod(kind.shape) <= _MAX_ELEMENTS:
        return
    if kind.dtype in _INTEGERS:
        state.sizes[op.results[0].id] = sizes
    else:
        state.constants[op.results[0].id] = sizes


def _note_vector(state: State, op: Op) -> None:
    state.elements[op.results[0].id] = op.operands
    sizes = _joined(state, op.operands)
    if sizes is not None and len(sizes) == len(op.operands) <= _MAX_ELEMENTS:
        state.sizes[op.results[0].id] = sizes


def _joined(state: State, numbers: Iterable[int]) -> Sizes | None:
    """The elements of several tensors, one after the other; one of a single element may be unknown."""
    found: list[Size] = []
    for number in numbers:
        sizes = state.sizes_of(number)
        if sizes is None:
            kind = state.types.get(number)
            if not isinstance(kind, Tensor) or kind.shape not in ((), (1,)) or kind.dtype not in _INTEGERS:
                return None
            sizes = (None,)
        found.extend(sizes)
    return tuple(found)


def _attr(op: Op, name: str) -> Any:
    return op.attrs.get(name)


def _full(state: State, op: Op) -> Any:
    shape, value, dtype = _attr(op, "shape"), _attr(op, "value"), _attr(op, "dtype")
    if not isinstance(shape, list) or not isinstance(value, int | float) or not isinstance(dtype, DType):
        return None
    count = math.prod(shape)
    if not 0 < count <= _MAX_ELEMENTS:
        return None
    if dtype.name in _INTEGERS:
        return (int(value),) * count if math.isfinite(value) else None
    return (bool(value) if dtype.name == "bool" else value,) * count


def _full_int_array(state: State, op: Op) -> Sizes | None:
    value = _attr(op, "value")
    return tuple(value) if isinstance(value, list) and all(isinstance(item, int) for item in value) else None


def _assign_value(state: State, op: Op) -> Sizes | None:
    values = _attr(op, "values")
    if not isinstance(values, list) or not all(isinstance(item, int | float) for item in values):
        return None
    kind = op.results[0].type
    if not isinstance(kind, Tensor) or len(kind.shape) > 1 or math.prod(kind.shape) != len(values):
        return None
    return tuple(int(item) for item in values) if all(float(item).is_integer() for item in values) else None


def _shape(state: State, op: Op) -> Sizes | None:
    number = op.operands[0]
    kind = state.types.get(number)
    if not isinstance(kind, Tensor):
        return None
    return tuple(size if size >= 0 else Unknown(number, axis) for axis, size in enumerate(kind.shape))


def _numel(state: State, op: Op) -> Sizes | None:
    kind = state.types.get(op.operands[0])
    if not isinstance(kind, Tensor) or any(size < 0 for size in kind.shape):
        return None
    return (math.prod(kind.shape),)


def _slice(state: State, op: Op) -> Sizes | None:
    """Of a tensor of one dimension."""
    sizes = state.sizes_of(op.operands[0])
    starts, ends = state.numbers(op.operands[1]), state.numbers(op.operands[2])
    kind = state.types.get(op.operands[0])
    if sizes is None or not starts or not ends or _attr(op, "axes") != [0]:
        return None
    if not isinstance(kind, Tensor) or len(kind.shape) != 1:
        return None
    return sizes[slice(starts[0], ends[0])]


def _stack(state: State, op: Op) -> Sizes | None:
    """Of scalars; the axis is 0 or -1."""
    kind = state.types.get(op.operands[0])
    if not isinstance(kind, Vector) or any(
        not isinstance(item, Tensor) or item.shape for item in kind.elements
    ):
        return None
    return state.sizes.get(op.operands[0])


def _concat(state: State, op: Op) -> Sizes | None:
    """Of tensors of one dimension."""
    kind = state.types.get(op.operands[0])
    if not isinstance(kind, Vector) or any(
        not isinstance(item, Tensor) or len(item.shape) != 1 for item in kind.elements
    ):
        return None
    return _joined(state, state.elements.get(op.operands[0], ()))


def _same(state: State, op: Op) -> Any:
    """Casts, and what changes the shape of a tensor with so few elements and nothing else."""
    result, source = op.results[0].type, state.types.get(op.operands[0])
    if not isinstance(result, Tensor) or not isinstance(source, Tensor):
        return None
    if result.dtype in _INTEGERS and source.dtype in _INTEGERS:
        return state.sizes_of(op.operands[0])
    return None


def _repeated(sizes: Sizes, length: int) -> Sizes:
    """As many elements, of as many or one."""
    return sizes if len(sizes) == length else sizes * length


def _arithmetic(compute: Callable[[int, int], int]) -> Callable[[State, Op], Sizes | None]:
    """Element by element, on constants alone; what holds an unknown size is itself neither."""

    def known(state: State, op: Op) -> Sizes | None:
        one, other = state.sizes_of(op.operands[0]), state.sizes_of(op.operands[1])
        if one is None or other is None:
            return None
        if len(one) != len(other) and 1 not in (len(one), len(other)):
            return None
        # The shape of a scalar has no elements, and stays so beside one number.
        length = min(len(one), len(other)) and max(len(one), len(other))
        pairs = zip(_repeated(one, length), _repeated(other, length), strict=True)
        return tuple(compute(a, b) if isinstance(a, int) and isinstance(b, int) else None for a, b in pairs)

    return known


def _scale(state: State, op: Op) -> Sizes | None:
    sizes, factors = state.sizes_of(op.operands[0]), state.numbers(op.operands[1])
    bias, after = _attr(op, "bias"), _attr(op, "bias_after_scale")
    if sizes is None or factors is None or not isinstance(bias, int | float) or not isinstance(after, bool):
        return None
    factor = factors[0]
    if not float(factor).is_integer() or not float(bias).is_integer():
        return None
    if factor == 1 and bias == 0:
        return sizes
    whole, added = int(factor), int(bias)
    return tuple(
        (size * whole + added if after else (size + added) * whole) if isinstance(size, int) else None
        for size in sizes
    )


def _floor_divide(a: int, b: int) -> int:
    """Paddle 3's and 2.6's differ below 0, where no size is."""
    return a // b if a >= 0 and b > 0 else 0


def _divisible(state: State, op: Op) -> Sizes | None:
    divisors = state.sizes_of(op.operands[1])
    dividends = state.sizes_of(op.operands[0])
    if divisors is None or dividends is None:
        return None
    if any(isinstance(size, int) and size <= 0 for size in divisors):
        return None
    if any(isinstance(size, int) and size < 0 for size in dividends):
        return None
    return _arithmetic(_floor_divide)(state, op)


def is_computed_constant(state: State, op: Op) -> bool:
    """True for arithmetic on shapes whose result is the same in every run."""
    if op.name in _CONSTANTS or op.name not in _RULES or len(op.results) != 1:
        return False
    kind = op.results[0].type
    numbers = state.sizes.get(op.results[0].id)
    if numbers is None or not isinstance(kind, Tensor) or len(kind.shape) > 1:
        return False
    return all(isinstance(number, int) for number in numbers) and math.prod(kind.shape) == len(numbers)


_CONSTANTS = frozenset(("pd_op.full", "pd_op.full_int_array", "pd_op.assign_value"))
_RULES: dict[str, Callable[[State, Op], Any]] = {
    "pd_op.full": _full,
    "pd_op.full_int_array": _full_int_array,
    "pd_op.assign_value": _assign_value,
    "pd_op.shape64": _shape,
    "pd_op.shape": _shape,
    "pd_op.numel": _numel,
    "pd_op.slice": _slice,
    "pd_op.stack": _stack,
    "pd_op.concat": _concat,
    "pd_op.cast": _same,
    "pd_op.assign": _same,
    "pd_op.reshape": _same,
    "pd_op.squeeze": _same,
    "pd_op.unsqueeze": _same,
    "pd_op.flatten": _same,
    "pd_op.scale": _scale,
    "pd_op.add": _arithmetic(lambda a, b: a + b),
    "pd_op.subtract": _arithmetic(lambda a, b: a - b),
    "pd_op.multiply": _arithmetic(lambda a, b: a * b),
    "pd_op.floor_divide": _divisible,
}
