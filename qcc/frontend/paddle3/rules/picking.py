"""Elements picked by their places, which Paddle 3 also counts from the end: -1 is the last one."""

from __future__ import annotations

from typing import Any

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.counts import is_count
from qcc.frontend.paddle3.program import DType, Tensor
from qcc.frontend.paddle3.rules.constants import write_values
from qcc.frontend.paddle3.rules.registry import rule


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
    inputs = {"X": call["x"], "Index": _places(call, "index", "x", range(axis, axis + 1))}
    call.emit("gather", inputs, {"Out": call.out("out")}, axis=axis)


@rule("gather_nd")
def gather_nd(call: Call) -> None:
    inputs = {"X": call["x"], "Index": _places(call, "index", "x", _first_axes(call))}
    call.emit("gather_nd", inputs, {"Out": call.out("out")})


@rule("index_select")
def index_select(call: Call) -> None:
    axis = call.from_the_front(call.integer("axis"))
    inputs = {"X": call["x"], "Index": _places(call, "index", "x", range(axis, axis + 1))}
    call.emit("index_select", inputs, {"Out": call.out("out")}, dim=axis)


@rule("scatter")
def scatter(call: Call) -> None:
    inputs = {"X": call["x"], "Ids": _places(call, "index", "x", range(1)), "Updates": call["updates"]}
    call.emit("scatter", inputs, {"Out": call.out("out")}, overwrite=call.attr("overwrite"))


@rule("scatter_nd_add")
def scatter_nd_add(call: Call) -> None:
    index = _places(call, "index", "x", _first_axes(call))
    inputs = {"X": call["x"], "Index": index, "Updates": call["updates"]}
    call.emit("scatter_nd_add", inputs, {"Out": call.out("out")})


@rule("index_add")
def index_add(call: Call) -> None:
    axis = call.from_the_front(call.integer("axis"))
    index = _places(call, "index", "x", range(axis, axis + 1))
    inputs = {"X": call["x"], "Index": index, "AddValue": call["add_value"]}
    call.emit("index_add", inputs, {"Out": call.out("out")}, axis=axis)


def _first_axes(call: Call) -> range:
    """The axes of x that the last axis of an index counts in."""
    return range(*call.type("index").shape[-1:]) if call.type("index").shape else range(0)


@rule("take_along_axis", "put_along_axis")
def along_axis(call: Call) -> None:
    """Where an index is shorter than the tensor, Paddle 2.6 reads and writes at wrong places: only that part
    of the tensor is taken, or written back.
    """
    kind, axis = call.type("arr"), call.from_the_front(call.integer("axis"), "arr")
    index = _places(call, "indices", "arr", range(axis, axis + 1))
    ends = _ends(call, axis)
    x, part = call["arr"], kind
    for place, end in ends.items():
        length = end if isinstance(end, int) else -1
        part = Tensor(kind.dtype, (*part.shape[:place], length, *part.shape[place + 1 :]))
        x = _beginning(call, x, part, place, end)
    if call.short == "take_along_axis":
        call.emit("take_along_axis", {"Input": x, "Index": index}, {"Result": call.out("out")}, Axis=axis)
        return
    attrs = {"Include_self": call.flag("include_self", True), "Reduce": call.text("reduce", "assign")}
    inputs = {"Input": x, "Index": index, "Value": call["values"]}
    if not ends:
        call.emit("put_along_axis", inputs, {"Result": call.out("out")}, Axis=axis, **attrs)
        return
    written = call.new("put_along_axis", inputs, part, slot="Result", Axis=axis, **attrs)
    _write_back(call, written, ends)


def _ends(call: Call, axis: int) -> dict[int, int | str]:
    """How much of the tensor an index spans along each other axis where that is less, or may be: a number, or
    the int32 variable that tells it in a run. The first axis does not matter: all else stands behind it.
    """
    shape, lengths = call.type("arr").shape, call.type("indices").shape
    ends: dict[int, int | str] = {}
    for place, (size, length) in enumerate(zip(shape, lengths, strict=False)):
        if place in (0, axis) or size == length >= 0:
            continue
        ends[place] = length if length >= 0 else call.sizes("indices", range(place, place + 1))
    return ends


def _beginning(call: Call, x: str, part: Tensor, axis: int, end: int | str) -> str:
    """What stands before this end."""
    attrs: dict[str, Any] = {"axes": [axis], "starts": [0], "decrease_axis": []}
    if isinstance(end, int):
        return call.new("slice", {"Input": x}, part, ends=[end], infer_flags=[1], **attrs)
    return call.new("slice", {"Input": x, "EndsTensor": end}, part, ends=[-1], infer_flags=[-1], **attrs)


def _write_back(call: Call, written: str, ends: dict[int, int | str]) -> None:
    """arr[:end, :end] = written, for the axes that have ends."""
    axes, known = list(ends), [end for end in ends.values() if isinstance(end, int)]
    attrs: dict[str, Any] = {"axes": axes, "starts": [0] * len(axes), "steps": [1] * len(axes), "shape": []}
    inputs: dict[str, Any] = {"Input": call["arr"], "ValueTensor": written}
    if len(known) == len(axes):
        attrs["ends"] = known
    else:
        one = Tensor("int32", (1,))
        inputs["EndsTensorList"] = [
            write_values(call, one, [end]) if isinstance(end, int) else end for end in ends.values()
        ]
    call.emit("set_value", inputs, {"Out": call.out("out")}, dtype=DType(call.type("arr").dtype), **attrs)


def _places(call: Call, operand: str, x: str, axes: range) -> str:
    """An index into these axes of x without a negative number, at which Paddle 2.6 stops or reads beside the
    tensor.

    where(index < 0, index + sizes of x at the axes, index)
    """
    index, kind, shape = call[operand], call.type(operand), call.type(x).shape
    if is_count(call.state, call.id(operand)) or not 0 <= axes.start < axes.stop <= len(shape):
        return index
    numbers, sizes = call.numbers(operand), shape[axes.start : axes.stop]
    if numbers is not None and min(sizes) >= 0:
        return write_values(call, kind, _counted(numbers, sizes))
    zero = call.new("fill_any_like", {"X": index}, kind, value=0.0)
    below = call.new("less_than", {"X": index, "Y": zero}, kind.with_dtype("bool"))
    moved = call.new("elementwise_add", {"X": index, "Y": _sizes(call, x, axes, kind)}, kind)
    return call.new("where", {"Condition": below, "X": moved, "Y": index}, kind)


def _counted(numbers: tuple[Any, ...], sizes: tuple[int, ...]) -> list[int]:
    """Places among so many, from the front."""
    return [number + sizes[at % len(sizes)] if number < 0 else number for at, number in enumerate(numbers)]


def _sizes(call: Call, x: str, axes: range, index: Tensor) -> str:
    """A variable of the sizes of x at these axes, in the dtype of an index, which has as many dimensions."""
    scalar = not index.shape
    sizes, kind = (
        call.type(x).shape[axes.start : axes.stop],
        Tensor(index.dtype, () if scalar else (len(axes),)),
    )
    if min(sizes) >= 0:
        return write_values(call, kind, sizes)
    return call.cast(call.sizes(x, axes, scalar), kind.with_dtype("int32"), kind.dtype)
