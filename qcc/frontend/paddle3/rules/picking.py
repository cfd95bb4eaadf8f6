"""Elements picked by their places, which Paddle 3 also counts from the end: -1 is the last one."""

from __future__ import annotations

from typing import Any

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import DType, Tensor
from qcc.frontend.paddle3.rules.registry import rule

# The attribute of `assign_value` for indices of each dtype.
_VALUES = {"int32": "int32_values", "int64": "int64_values"}


@rule("gather")
def gather(call: Call) -> None:
    """At an axis that is counted from the end Paddle 2.6 reads beside the shape."""
    numbers = call.numbers("axis")
    if numbers is None:
        axis_tensor = call.cast(call["axis"], call.type("axis"), "int32")
        inputs = {"X": call["x"], "Index": call["index"], "Axis": axis_tensor}
        call.emit("gather", inputs, {"Out": call.out("out")})
        return
    axis = call.from_the_front(int(numbers[0]))
    inputs = {"X": call["x"], "Index": _constant_from_the_front(call, range(axis, axis + 1))}
    call.emit("gather", inputs, {"Out": call.out("out")}, axis=axis)


@rule("gather_nd")
def gather_nd(call: Call) -> None:
    depth = call.type("index").shape[-1:]
    inputs = {"X": call["x"], "Index": _constant_from_the_front(call, range(*depth))}
    call.emit("gather_nd", inputs, {"Out": call.out("out")})


@rule("index_select")
def index_select(call: Call) -> None:
    axis = call.from_the_front(call.integer("axis"))
    inputs = {"X": call["x"], "Index": _constant_from_the_front(call, range(axis, axis + 1))}
    call.emit("index_select", inputs, {"Out": call.out("out")}, dim=axis)


def _constant_from_the_front(call: Call, axes: range) -> str:
    """The index into these axes of x, without a negative number where its numbers are the same in every run.
    Of a computed index Paddle 2.6 refuses negative numbers when it runs.
    """
    numbers, kind, shape = call.numbers("index"), call.type("index"), call.type("x").shape
    if not numbers or min(numbers) >= 0 or kind.dtype not in _VALUES or not 0 < axes.stop <= len(shape):
        return call["index"]
    sizes = [shape[axis] for axis in axes]
    if min(sizes) < 0:
        if len(sizes) > 1:
            raise Unsupported("it counts from the end of an axis whose size only a run knows")
        return _from_the_front(call, "index", "x", axes.start)
    places = [number + sizes[at % len(sizes)] if number < 0 else number for at, number in enumerate(numbers)]
    attrs: dict[str, Any] = {_VALUES[kind.dtype]: places}
    return call.new("assign_value", {}, kind, shape=list(kind.shape), dtype=DType(kind.dtype), **attrs)


@rule("take_along_axis", "put_along_axis")
def along_axis(call: Call) -> None:
    """At a negative place Paddle 2.6 reads and writes beside the tensor, and at wrong ones where an index is
    shorter than the tensor: only that part of the tensor is taken, or written back.
    """
    kind, lengths = call.type("arr"), call.type("indices").shape
    axis = call.from_the_front(call.integer("axis"), "arr")
    index = _from_the_front(call, "indices", "arr", axis)
    shorter = [
        place
        for place, (size, length) in enumerate(zip(kind.shape, lengths, strict=False))
        if place != axis and 0 <= length < size
    ]
    ends = [lengths[place] for place in shorter]
    x, part = call["arr"], kind
    if shorter:
        sizes = [lengths[at] if at in shorter else size for at, size in enumerate(kind.shape)]
        part = Tensor(kind.dtype, tuple(sizes))
        x = _beginning(call, x, part, shorter, ends)
    if call.short == "take_along_axis":
        call.emit("take_along_axis", {"Input": x, "Index": index}, {"Result": call.out("out")}, Axis=axis)
        return
    attrs = {"Include_self": call.flag("include_self", True), "Reduce": call.text("reduce", "assign")}
    inputs = {"Input": x, "Index": index, "Value": call["values"]}
    if not shorter:
        call.emit("put_along_axis", inputs, {"Result": call.out("out")}, Axis=axis, **attrs)
        return
    written = call.new("put_along_axis", inputs, part, slot="Result", Axis=axis, **attrs)
    place = {"axes": shorter, "starts": [0] * len(shorter), "ends": ends, "steps": [1] * len(shorter)}
    whole = {"Input": call["arr"], "ValueTensor": written}
    call.emit("set_value", whole, {"Out": call.out("out")}, dtype=DType(kind.dtype), shape=[], **place)


def _beginning(call: Call, x: str, part: Tensor, axes: list[int], ends: list[int]) -> str:
    """What stands before these ends."""
    attrs: dict[str, Any] = {"starts": [0] * len(axes), "ends": ends, "infer_flags": [1] * len(axes)}
    return call.new("slice", {"Input": x}, part, axes=axes, decrease_axis=[], **attrs)


def _from_the_front(call: Call, operand: str, x: str, axis: int) -> str:
    """where(index < 0, index + size of x at the axis, index)."""
    index, kind = call[operand], call.type(operand)
    zero = call.new("fill_any_like", {"X": index}, kind, value=0.0)
    below = call.new("less_than", {"X": index, "Y": zero}, kind.with_dtype("bool"))
    size = call.cast(call.sizes(x, range(axis, axis + 1)), Tensor("int32", (1,)), kind.dtype)
    moved = call.new("elementwise_add", {"X": index, "Y": size}, kind)
    return call.new("where", {"Condition": below, "X": moved, "Y": index}, kind)
