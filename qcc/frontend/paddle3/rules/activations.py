"""Functions of one tensor that Paddle 2.6 has under another name, or has to compose."""

from __future__ import annotations

import numpy as np

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import Tensor
from qcc.frontend.paddle3.rules.registry import rule


@rule("swiglu")
def swiglu(call: Call) -> None:
    """silu(x) * y; without y, x is both halves along its last axis."""
    x, kind = call["x"], call.result_type("out")
    y = call.optional("y")
    if y is None:
        x, y = call.new_variable(kind), call.new_variable(kind)
        call.emit("split", {"X": call["x"]}, {"Out": [x, y]}, num=2, axis=len(kind.shape) - 1)
    gate = call.new("silu", {"X": x}, kind)
    call.emit("elementwise_mul", {"X": gate, "Y": y}, {"Out": call.out("out")})


@rule("thresholded_relu")
def thresholded_relu(call: Call) -> None:
    value = call.real("value", 0.0)
    if value != 0:
        raise Unsupported("Paddle 2.6 gives 0 below the threshold, and nothing else")
    call.emit(
        "thresholded_relu", {"X": call["x"]}, {"Out": call.out("out")}, threshold=call.attr("threshold")
    )


@rule("floor", "ceil")
def to_integer(call: Call) -> None:
    """Of integers, which Paddle 2.6 does not take, it is themselves."""
    if _copied_integers(call):
        return
    call.emit(call.short, {"X": call["x"]}, {"Out": call.out("out")})


def _copied_integers(call: Call) -> bool:
    """Write the copy that is the result where the operand holds integers; False where it does not."""
    integers = call.type("x").dtype.startswith(("int", "uint"))
    if integers:
        call.emit("assign", {"X": call["x"]}, {"Out": call.out("out")})
    return integers


@rule("round")
def round_(call: Call) -> None:
    if call.integer("decimals", 0) != 0:
        raise Unsupported("Paddle 2.6 rounds to integers alone")
    rint(call)


@rule("cast")
def cast(call: Call) -> None:
    """One to the same type, as between float16 and float32 in a program that is read in float32, is its
    operand, unless one of the two is written into later."""
    call.ignore("onednn_data_type", "mkldnn_data_type")
    x, result = call.id("x"), call.op.results[0]
    same = call.type("x") == result.type and call.dtype().name == call.type("x").dtype
    if same and not {x, result.id} & call.state.mutable:
        call.state.alias(result.id, x)
        return
    call.emit_cast(call["x"], call.type("x").dtype, call.out("out"), call.dtype().name)


@rule("histogram")
def histogram(call: Call) -> None:
    if "weight" in call or call.flag("density", False):
        raise Unsupported("Paddle 2.6 counts, without weights or density")
    attrs = {name: call.attr(name) for name in ("bins", "min", "max")}
    call.emit("histogram", {"X": call["input"]}, {"Out": call.out("out")}, **attrs)


@rule("rint")
def rint(call: Call) -> None:
    """The nearest integer, the even one of two; 2.6 rounds halves away from 0.

    where(|x - trunc(x)| = 0.5, 2 round(x / 2), round(x))
    """
    if not _copied_integers(call):
        round_to_even(call, call["x"], call.type("x"), call.out("out"))


def round_to_even(call: Call, x: str, kind: Tensor, out: str) -> None:
    """Write the nearest integer, the even one of two, of a variable to another."""
    cut = call.new("trunc", {"X": x}, kind)
    off = call.new("abs", {"X": call.new("elementwise_sub", {"X": x, "Y": cut}, kind)}, kind)
    half = call.new("fill_any_like", {"X": x}, kind, value=0.5)
    tie = call.new("equal", {"X": off, "Y": half}, kind.with_dtype("bool"))
    halved = call.new("round", {"X": call.new("scale", {"X": x}, kind, scale=0.5)}, kind)
    even = call.new("scale", {"X": halved}, kind, scale=2.0)
    plain = call.new("round", {"X": x}, kind)
    call.emit("where", {"Condition": tie, "X": even, "Y": plain}, {"Out": out})


@rule("leaky_relu")
def leaky_relu(call: Call) -> None:
    """The slope is a double, and float32 in 2.6, which numbers of float64 are not multiplied by."""
    kind, slope = call.type("x"), call.real("negative_slope")
    if kind.dtype != "float64" or float(np.float32(slope)) == slope:
        call.emit("leaky_relu", {"X": call["x"]}, {"Out": call.out("out")}, alpha=slope)
        return
    x = call["x"]
    number = call.full(slope, Tensor(kind.dtype, (1,)))
    below = call.new("elementwise_mul", {"X": x, "Y": number}, kind)
    zero = call.new("fill_any_like", {"X": x}, kind, value=0.0)
    positive = call.new("greater_than", {"X": x, "Y": zero}, kind.with_dtype("bool"))
    call.emit("where", {"Condition": positive, "X": x, "Y": below}, {"Out": call.out("out")})


@rule("gammaln")
def gammaln(call: Call) -> None:
    call.emit("lgamma", {"X": call["x"]}, {"Out": call.out("out")})


@rule("masked_fill")
def masked_fill(call: Call) -> None:
    """where(mask, value, x); the value is one number, and 2.6's op does not broadcast mask or x."""
    kind = call.result_type("out")
    numbers = call.numbers("value")
    x, mask = call["x"], call["mask"]
    shapes = call.type("x").shape, call.type("mask").shape
    if kind.shape not in shapes:
        raise Unsupported(
            "Paddle 2.6 fills what is as large as the result, by a mask that is smaller or as large"
        )
    if shapes[1] != kind.shape:
        mask = call.new(
            "expand_as_v2", {"X": mask, "Y": x}, kind.with_dtype("bool"), target_shape=list(kind.shape)
        )
    elif shapes[0] != kind.shape:
        x = call.new("expand_as_v2", {"X": x, "Y": mask}, kind, target_shape=list(kind.shape))
    if numbers is not None and len(numbers) == 1:
        value = call.new_variable(kind)
        call.emit_like(x, kind, numbers[0], value)
    else:
        zero = call.new("fill_any_like", {"X": x}, kind, value=0.0)
        number = call.cast(call["value"], call.type("value"), kind.dtype)
        value = call.new("elementwise_add", {"X": zero, "Y": number}, kind)
    call.emit("where", {"Condition": mask, "X": value, "Y": x}, {"Out": call.out("out")})
