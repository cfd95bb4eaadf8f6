"""Operands that say a shape, or where to begin and end: attributes, or tensors, of Paddle 2.6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qcc.frontend.paddle3.conversion import Call, Size
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import Tensor, Vector
from qcc.frontend.paddle3.words import MAX_RANK

_SHAPE = ("ShapeTensor", "ShapeTensorList")

# The slot for one tensor with all numbers, and the one for a tensor per number; "" for none.
SLOTS: dict[tuple[str, str], tuple[str, str]] = {
    ("crop_tensor", "offsets"): ("Offsets", "OffsetsTensor"),
    ("crop_tensor", "shape"): ("Shape", "ShapeTensor"),
    ("empty", "shape"): _SHAPE,
    ("expand_v2", "shape"): ("Shape", "expand_shapes_tensor"),
    ("fill_constant", "shape"): _SHAPE,
    ("gaussian_random", "shape"): _SHAPE,
    ("randint", "shape"): _SHAPE,
    ("reshape2", "shape"): ("Shape", "ShapeTensor"),
    ("set_value", "ends"): ("", "EndsTensorList"),
    ("set_value", "starts"): ("", "StartsTensorList"),
    ("set_value", "steps"): ("", "StepsTensorList"),
    ("slice", "ends"): ("EndsTensor", "EndsTensorList"),
    ("slice", "starts"): ("StartsTensor", "StartsTensorList"),
    ("split", "sections"): ("", "SectionsTensorList"),
    ("strided_slice", "ends"): ("EndsTensor", "EndsTensorList"),
    ("strided_slice", "starts"): ("StartsTensor", "StartsTensorList"),
    ("strided_slice", "strides"): ("StridesTensor", "StridesTensorList"),
    ("tile", "repeat_times"): ("RepeatTimes", "repeat_times_tensor"),
    ("uniform_random", "shape"): _SHAPE,
}


def int_array(
    call: Call, operand: str, legacy: str, attr: str
) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Inputs and attributes that stand for an operand with several integers.

    Tensors go in as int32: Paddle takes either, and Paddle Lite reads int32 whatever it is given. What is
    known of a computed one stands in the attribute, with -1 for the rest.
    """
    numbers = call.numbers(operand)
    if numbers is not None:
        return {}, {attr: list(numbers)}
    single, each = SLOTS[legacy, operand]
    sizes = call.state.sizes_of(call.id(operand))
    attrs = {attr: known(sizes)} if sizes is not None else {}
    kind = call.state.types.get(call.id(operand))
    if isinstance(kind, Vector) and each:
        names = one_by_one(call, operand)
        return {each: names}, attrs or {attr: [-1] * len(names)}
    if isinstance(kind, Tensor) and single:
        count = kind.shape[0] if len(kind.shape) == 1 else 1
        if count > MAX_RANK:
            raise Unsupported(f"its operand {operand} holds {count} sizes")
        return {single: [narrowed(call, call[operand], kind)]}, attrs or {attr: [-1] * max(count, 0)}
    if isinstance(kind, Tensor) and (
        kind.shape == () or (len(kind.shape) == 1 and 0 < kind.shape[0] <= MAX_RANK)
    ):
        names = one_by_one(call, operand)
        return {each: names}, attrs or {attr: [-1] * len(names)}
    raise Unsupported(f"its operand {operand} is computed, where Paddle 2.6 takes a constant")


def one_by_one(call: Call, operand: str) -> list[str]:
    """The int32 variables of an operand with several integers, one for each: those of a vector, or parts of a
    tensor whose size is known.
    """
    kind = call.kind(call.id(operand))
    if isinstance(kind, Vector):
        return [narrowed(call, name, element) for name, element in call.elements(operand)]
    whole = narrowed(call, call[operand], kind)
    shape = call.type(operand).shape
    if shape in ((), (1,)):
        return [whole]
    one = Tensor("int32", (1,))
    return [
        call.new("slice", {"Input": whole}, one, axes=[0], starts=[place], ends=[place + 1], decrease_axis=[])
        for place in range(shape[0])
    ]


def known(sizes: Sequence[Size]) -> list[int]:
    """The numbers that are constant, and -1 for the others."""
    return [size if isinstance(size, int) else -1 for size in sizes]


def narrowed(call: Call, name: str, kind: Any) -> str:
    """The variable as int32."""
    if not isinstance(kind, Tensor):
        raise Unsupported("a shape is no dense tensor")
    if kind.dtype == "int64" and name in call.state.narrow:
        return call.state.narrow[name]
    return call.cast(name, kind, "int32")
