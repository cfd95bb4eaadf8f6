"""Ops on two tensors, one of which may be a bias."""

from __future__ import annotations

from qcc.frontend.paddle3.by_table import convert_by_table
from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.rules.registry import rule
from qcc.frontend.paddle3.tables import find, rows

_COMMUTATIVE = frozenset(("add", "multiply", "maximum", "minimum"))


@rule("add", "subtract", "multiply", "divide", "maximum", "minimum")
def biased(call: Call) -> None:
    """The bias of a convolution comes as a reshaped parameter; 2.6 aligns the parameter itself. Truth values,
    which 2.6 does not add, are true where one is.

    add(x, reshape(b, [1, -1, 1, 1]))  ->  elementwise_add(X=x, Y=b, axis=1)
    """
    x, y = call.id("x"), call.id("y")
    if call.short == "add" and call.type("x").dtype == "bool":
        call.emit("logical_or", {"X": call["x"], "Y": call["y"]}, {"Out": call.out("out")})
        return
    biases = call.state.biases
    if y not in biases and x in biases and call.short in _COMMUTATIVE:
        x, y = y, x
    row = find(rows(), call.op.name)
    if y not in biases or call.kind(x) is None or len(call.shape(x)) != len(call.shape(y)):
        convert_by_table(call, row)
        return
    bias, axis = biases[y]
    last = axis == len(call.shape(x)) - 1
    inputs = {"X": call.state.names_of(x), "Y": bias}
    call.emit(row.legacy, inputs, {"Out": call.out("out")}, axis=-1 if last else axis)


@rule("where")
def where(call: Call) -> None:
    """Of two truth values one is (condition and x) or (not condition and y): 2.6 chooses among numbers."""
    kind = call.type("x")
    if kind.dtype != "bool":
        convert_by_table(call, find(rows(), call.op.name))
        return
    condition, result = call["condition"], call.result_type("out")
    this = call.new("logical_and", {"X": condition, "Y": call["x"]}, result)
    otherwise = call.new("logical_not", {"X": condition}, call.type("condition"))
    that = call.new("logical_and", {"X": otherwise, "Y": call["y"]}, result)
    call.emit("logical_or", {"X": this, "Y": that}, {"Out": call.out("out")})


@rule("trunc_divide")
def trunc_divide(call: Call) -> None:
    kind = call.result_type("out")
    quotient = call.new("elementwise_div", {"X": call["x"], "Y": call["y"]}, kind)
    call.emit("trunc", {"X": quotient}, {"Out": call.out("out")})


@rule("copysign")
def copysign(call: Call) -> None:
    """|x| with the sign of y, which is negative for -0, too: 1 / -0 is below 0."""
    kind = call.result_type("out")
    x = call.cast(call["x"], call.type("x"), kind.dtype)
    y = call.cast(call["y"], call.type("y"), kind.dtype)
    size = call.new("abs", {"X": x}, kind)
    zero = call.new("fill_any_like", {"X": y}, kind, value=0.0)
    truth = kind.with_dtype("bool")
    minus = call.new("less_than", {"X": y, "Y": zero}, truth)
    if kind.dtype.startswith("float"):
        upended = call.new("less_than", {"X": call.new("reciprocal", {"X": y}, kind), "Y": zero}, truth)
        minus = call.new("logical_or", {"X": minus, "Y": upended}, truth)
    wide = call.new("elementwise_add", {"X": size, "Y": zero}, kind)
    mask = call.new("logical_and", {"X": call.new("equal", {"X": wide, "Y": wide}, truth), "Y": minus}, truth)
    negative = call.new("scale", {"X": wide}, kind, scale=-1.0)
    call.emit("where", {"Condition": mask, "X": negative, "Y": wide}, {"Out": call.out("out")})


@rule("bitwise_left_shift", "bitwise_right_shift")
def shift(call: Call) -> None:
    """x * 2**y, of which the bits that do not fit are lost, and (x - x mod 2**y) / 2**y, in int64."""
    kind = call.result_type("out")
    if not call.flag("is_arithmetic", True):
        raise Unsupported("it moves bits without a sign")
    wide, exact = kind.with_dtype("int64"), call.type("y").with_dtype("float64")
    x = call.cast(call["x"], call.type("x"), "int64")
    y = call.cast(call["y"], call.type("y"), "float64")
    two = call.new("fill_any_like", {"X": y}, exact, value=2.0)
    power = call.cast(call.new("elementwise_pow", {"X": two, "Y": y}, exact), exact, "int64")
    if call.short == "bitwise_left_shift":
        moved = call.new("elementwise_mul", {"X": x, "Y": power}, wide)
    else:
        rest = call.new("elementwise_mod", {"X": x, "Y": power}, wide)
        whole = call.new("elementwise_sub", {"X": x, "Y": rest}, wide)
        moved = call.new("elementwise_floordiv", {"X": whole, "Y": power}, wide)
    call.emit_cast(moved, "int64", call.out("out"), kind.dtype)
