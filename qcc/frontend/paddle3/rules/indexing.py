"""Parts of tensors: cut out, taken apart, written to, repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.int_arrays import int_array
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import DType, Tensor
from qcc.frontend.paddle3.rules.registry import rule

_INT32 = 1 << 31


def _clamped(numbers: list[int]) -> list[int]:
    """Ends of 2**63 - 1 mean "to the end", and 2.6's attributes are int32."""
    return [max(-_INT32, min(number, _INT32 - 1)) for number in numbers]


@rule("slice")
def slice_(call: Call) -> None:
    """`infer_flags` tell which axes are cut at places that only a run knows."""
    axes = call.integers("axes")
    attrs: dict[str, Any] = {"axes": axes, "decrease_axis": call.attr("decrease_axis")}
    inputs: dict[str, Any] = {"Input": call["input"]}
    flags = call.integers("infer_flags")
    if len(flags) != len(axes):
        flags = [1] * len(axes)
    for operand in ("starts", "ends"):
        more, numbers = int_array(call, operand, "slice", operand)
        if more:
            sizes = call.state.sizes_of(call.id(operand)) or ()
            known = {index for index, size in enumerate(sizes) if isinstance(size, int)}
            flags = [flag if index in known else -1 for index, flag in enumerate(flags)]
        inputs |= more
        attrs[operand] = _clamped(numbers[operand])
    if inputs.keys() == {"Input"} and len(axes) == len(attrs["starts"]) == len(attrs["ends"]):
        shape = call.type("input").shape if isinstance(call.kind(call.id("input")), Tensor) else ()
        attrs["ends"] = _not_before(attrs["starts"], attrs["ends"], axes, shape)
    call.emit("slice", inputs, {"Out": call.out("out")}, infer_flags=flags, **attrs)


def _not_before(starts: list[int], ends: list[int], axes: list[int], shape: Sequence[int]) -> list[int]:
    """Ends of which none stands before its start, where Paddle 2.6 refuses what is empty in Paddle 3."""
    found = []
    for start, end, axis in zip(starts, ends, axes, strict=True):
        size = shape[axis] if -len(shape) <= axis < len(shape) else -1
        if (start < 0) == (end < 0):
            empty = end < start
        else:
            empty = size >= 0 and (end + size < start if end < 0 else end < start + size)
        found.append(start if empty else end)
    return found


@rule("strided_slice")
def strided_slice(call: Call) -> None:
    """Backwards, an end of -1 is before the first element in 2.6, and the last element in Paddle 3: what goes
    backwards is flipped, and then cut forwards, which is the same in both.

    strided_slice(x, -1, -2**31, stride=-2)  ->  strided_slice(flip(x), 0, 2**31 - 1, stride=2)
    """
    axes = call.integers("axes")
    attrs: dict[str, Any] = {"axes": axes, "decrease_axis": []}
    inputs: dict[str, Any] = {"Input": call["x"]}
    computed = []
    for operand in ("starts", "ends", "strides"):
        more, numbers = int_array(call, operand, "strided_slice", operand)
        computed += [operand] if more else []
        inputs |= more
        attrs[operand] = _clamped(numbers[operand])
    backwards = [index for index, stride in enumerate(attrs["strides"]) if stride < 0]
    if backwards and "strides" not in computed:
        if computed or not len(axes) == len(attrs["starts"]) == len(attrs["ends"]):
            raise Unsupported(
                f"it goes backwards between {' and '.join(computed) or 'places'} that only a run knows: flip"
                " the tensor and slice it forwards"
            )
        for name in ("starts", "ends"):
            # The place i from the one end is -1 - i from the other.
            attrs[name] = [
                ~number if index in backwards else number for index, number in enumerate(attrs[name])
            ]
        attrs["strides"] = _clamped([abs(stride) for stride in attrs["strides"]])
        flipped = [axes[index] for index in backwards]
        inputs["Input"] = call.new("flip", {"X": call["x"]}, call.type("x"), axis=flipped)
    flags = [-1 if computed else 1] * len(axes)
    call.emit("strided_slice", inputs, {"Out": call.out("out")}, infer_flags=flags, **attrs)


def _axis(call: Call, operand: str = "axis") -> tuple[dict[str, Any], int]:
    numbers = call.numbers(operand)
    if numbers is not None:
        return {}, numbers[0]
    return {"AxisTensor": call.cast(call[operand], call.type(operand), "int32")}, 0


@rule("split")
def split(call: Call) -> None:
    inputs, axis = _axis(call)
    more, attrs = int_array(call, "sections", "split", "sections")
    call.emit(
        "split", {"X": call["x"], **inputs, **more}, {"Out": call.outs("out")}, axis=axis, num=0, **attrs
    )


@rule("split_with_num")
def split_with_num(call: Call) -> None:
    inputs, axis = _axis(call)
    call.emit("split", {"X": call["x"], **inputs}, {"Out": call.outs("out")}, axis=axis, num=call.attr("num"))


def _set_value(call: Call, inputs: dict[str, Any], **attrs: Any) -> None:
    """In place where the op is, and somebody else reads the tensor, too."""
    x = call["x"]
    for operand in ("starts", "ends", "steps"):
        more, numbers = int_array(call, operand, "set_value", operand)
        inputs |= more
        attrs |= numbers
    for name in ("axes", "decrease_axes", "none_axes"):
        attrs[name] = call.attr(name)
    dtype = DType(call.type("x").dtype)
    call.emit("set_value", {"Input": x, **inputs}, {"Out": call.out("out")}, dtype=dtype, **attrs)


@rule("set_value")
def set_value(call: Call) -> None:
    values = call.attr("values")
    _set_value(call, {}, values=values, shape=call.attr("shape"))


@rule("set_value_with_tensor")
def set_value_with_tensor(call: Call) -> None:
    value = call.cast(call["values"], call.type("values"), call.type("x").dtype)
    call.ignore("shape")
    _set_value(call, {"ValueTensor": value}, shape=[])


@rule("tril")
def tril(call: Call) -> None:
    call.emit(
        "tril_triu", {"X": call["x"]}, {"Out": call.out("out")}, lower=True, diagonal=call.attr("diagonal")
    )


@rule("triu")
def triu(call: Call) -> None:
    call.emit(
        "tril_triu", {"X": call["x"]}, {"Out": call.out("out")}, lower=False, diagonal=call.attr("diagonal")
    )


@rule("repeat_interleave")
def repeat_interleave(call: Call) -> None:
    call.ignore("output_size")
    attrs = {"Repeats": call.attr("repeats"), "dim": _repeated(call)}
    call.emit("repeat_interleave", {"X": call["x"]}, {"Out": call.out("out")}, **attrs)


@rule("repeat_interleave_with_tensor_index")
def repeat_interleave_with_tensor_index(call: Call) -> None:
    call.ignore("output_size")
    inputs = {"X": call["x"], "RepeatsTensor": call["repeats"]}
    call.emit("repeat_interleave", inputs, {"Out": call.out("out")}, dim=_repeated(call))


def _repeated(call: Call) -> int:
    """The axis of an op; at one that is counted from the end Paddle 2.6 spoils its memory."""
    return call.from_the_front(call.integer("axis"))


@rule("lookup_table")
def lookup_table(call: Call) -> None:
    ids = call.type("ids")
    if not ids.shape or ids.shape[-1] != 1:
        raise Unsupported("its indices have no last axis of size 1")
    attrs = {"padding_idx": call.attr("padding_idx", -1)}
    for name in call.op.attrs:
        call.ignore(name)
    call.emit("lookup_table", {"W": call["w"], "Ids": call["ids"]}, {"Out": call.out("out")}, **attrs)


@rule("view_slice")
def view_slice(call: Call) -> None:
    """Rows from begin to end."""
    attrs = {"starts": [call.integer("begin_idx")], "ends": [call.integer("end_idx")]}
    inputs = {"Input": call["input"]}
    call.emit("slice", inputs, {"Out": call.out("out")}, axes=[0], infer_flags=[1], decrease_axis=[], **attrs)


@rule("int_bincount")
def int_bincount(call: Call) -> None:
    low, high = call.integer("low"), call.integer("high")
    if low != 0:
        raise Unsupported("Paddle 2.6 counts from 0 on")
    kind = call.result_type("out")
    call.ignore("dtype")
    counts = call.new("bincount", {"X": call["x"]}, Tensor("int64", kind.shape), minlength=high)
    call.emit_cast(counts, "int64", call.out("out"), kind.dtype)
