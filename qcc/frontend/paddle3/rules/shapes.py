"""Ops that change a tensor's shape, or tell it."""

from __future__ import annotations

from typing import Any

from qcc.frontend.paddle3.conversion import Call, Size, Unknown
from qcc.frontend.paddle3.int_arrays import int_array
from qcc.frontend.paddle3.program import Tensor
from qcc.frontend.paddle3.rules.registry import rule


def _with_x_shape(call: Call, op: str, inputs: dict[str, Any], **attrs: Any) -> None:
    """Ops of 2.6 that also give their input's shape, for the backward pass."""
    kind = call.type("x")
    x_shape = call.new_variable(Tensor(kind.dtype, (0, *kind.shape)))
    call.emit(op, {"X": call["x"], **inputs}, {"Out": call.out("out"), "XShape": x_shape}, **attrs)


@rule("reshape")
def reshape(call: Call) -> None:
    """A shape with one unknown size is constant: that size is what is left over.

    reshape(x, stack([shape(x)[0], 8, 32]))  ->  reshape2(x, shape=[0, 8, 32])
    """
    shape = _as_constant(call.state.sizes_of(call.id("shape")), call.id("x"))
    if shape is not None:
        _note_bias(call, shape)
        _with_x_shape(call, "reshape2", {}, shape=shape)
        return
    inputs, attrs = int_array(call, "shape", "reshape2", "shape")
    _with_x_shape(call, "reshape2", inputs, **attrs)


def _as_constant(sizes: tuple[Size, ...] | None, x: int) -> list[int] | None:
    """The shape as an attribute: 0 keeps the size of x at this axis, and -1 may stand once."""
    if sizes is None:
        return None
    shape = []
    for axis, size in enumerate(sizes):
        if isinstance(size, int):
            shape.append(size)
        elif isinstance(size, Unknown) and (size.value, size.axis) == (x, axis):
            shape.append(0)
        else:
            shape.append(-1)
    return shape if shape.count(-1) <= 1 else None


def _note_bias(call: Call, shape: list[int]) -> None:
    """A parameter of one dimension that is only turned towards an axis: see `elementwise.biased`."""
    parameter = call.state.parameters.get(call.id("x"))
    if parameter is None or len(call.type("x").shape) != 1 or call.op.results[0].id in call.state.mutable:
        return
    size = call.type("x").shape[0]
    turned = [axis for axis, length in enumerate(shape) if length != 1]
    if not turned and len(shape) > 1:
        turned = [1]  # one channel: any axis will do, and this is the channels'
    if len(turned) == 1 and shape[turned[0]] in (-1, size):
        call.state.biases[call.op.results[0].id] = (parameter.name, turned[0])


@rule("squeeze")
def squeeze(call: Call) -> None:
    _with_x_shape(call, "squeeze2", {}, axes=call.axes("axis"))


@rule("unsqueeze")
def unsqueeze(call: Call) -> None:
    if call.numbers("axis") is not None:
        _with_x_shape(call, "unsqueeze2", {}, axes=call.axes("axis"))
    else:
        _with_x_shape(call, "unsqueeze2", {"AxesTensor": call.cast(call["axis"], call.type("axis"), "int32")})


@rule("transpose")
def transpose(call: Call) -> None:
    _with_x_shape(call, "transpose2", {}, axis=call.attr("perm"))


@rule("flatten")
def flatten(call: Call) -> None:
    attrs = {name: call.attr(name) for name in ("start_axis", "stop_axis")}
    _with_x_shape(call, "flatten_contiguous_range", {}, **attrs)


@rule("shape64", "shape")
def shape(call: Call) -> None:
    """2.6 tells shapes as int32 alone."""
    kind = call.result_type("out")
    if kind.dtype == "int32":
        call.emit("shape", {"Input": call["input"]}, {"Out": call.out("out")})
        return
    narrow = call.new("shape", {"Input": call["input"]}, Tensor("int32", kind.shape))
    wide = call.out("out")
    call.emit_cast(narrow, "int32", wide, kind.dtype)
    call.state.narrow[wide] = narrow


@rule("view_shape")
def view_shape(call: Call) -> None:
    kind = call.type("input")
    x_shape = call.new_variable(Tensor(kind.dtype, (0, *kind.shape)))
    outputs = {"Out": call.out("out"), "XShape": x_shape}
    call.emit("reshape2", {"X": call["input"]}, outputs, shape=call.attr("dims"))


@rule("numel")
def numel(call: Call) -> None:
    call.emit("size", {"Input": call["x"]}, {"Out": call.out("size")})
