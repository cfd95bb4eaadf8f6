"""Constants, and tensors that are made from nothing but a shape."""

from __future__ import annotations

import math
from typing import Any

from qcc.frontend.paddle3.conversion import Call, number_text
from qcc.frontend.paddle3.int_arrays import int_array
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import DType, Tensor
from qcc.frontend.paddle3.rules.constants import write_values
from qcc.frontend.paddle3.rules.registry import rule


@rule("full")
def full(call: Call) -> None:
    """One number everywhere. Where it is the operand that 2.6 has as an attribute, nobody reads the
    variable.
    """
    dtype = call.dtype()
    _fill(call, {}, {"shape": call.attr("shape")}, _exact(call.real("value"), dtype), dtype)


@rule("full_")
def full_in_place(call: Call) -> None:
    dtype = call.dtype()
    call.bind("out", call["output"])
    _fill(call, {}, {"shape": call.attr("shape")}, _exact(call.real("value"), dtype), dtype)


@rule("zeros", "ones")
def zeros(call: Call) -> None:
    dtype = call.dtype()
    _fill(call, {}, {"shape": call.attr("shape")}, _exact(int(call.short == "ones"), dtype), dtype)


def _fill(
    call: Call, inputs: dict[str, Any], attrs: dict[str, Any], value: float | None, dtype: DType
) -> None:
    if value is not None:
        attrs |= {"value": float(value), "str_value": number_text(value)}
    call.emit("fill_constant", inputs, {"Out": call.out("out")}, dtype=dtype, **attrs)


def _exact(value: float, dtype: DType) -> float:
    """The number as text holds it: the file writes integers as floats."""
    whole = float(value).is_integer() and not dtype.name.startswith(("float", "bfloat", "complex"))
    return int(value) if whole else value


@rule("full_with_tensor")
def full_with_tensor(call: Call) -> None:
    """The number, the shape or both are computed."""
    inputs, attrs = int_array(call, "shape", "fill_constant", "shape")
    dtype = call.dtype()
    numbers = call.numbers("value")
    if numbers is not None and len(numbers) == 1:
        _fill(call, inputs, attrs, _exact(numbers[0], dtype), dtype)
    else:
        value = call.cast(call["value"], call.type("value"), call.result_type("out").dtype)
        _fill(call, {**inputs, "ValueTensor": value}, attrs, None, dtype)


@rule("full_like", "zeros_like", "ones_like", "empty_like")
def full_like(call: Call) -> None:
    """One number everywhere, in the shape of another tensor."""
    dtype = call.dtype("dtype", DType("Undefined"))
    value = {"zeros_like": 0.0, "empty_like": 0.0, "ones_like": 1.0}.get(call.short)
    numbers = (value,) if value is not None else call.numbers("value")
    outputs, result = {"Out": call.out("out")}, call.result_type("out")
    if numbers is not None and len(numbers) == 1:
        call.emit_like(call["x"], result, numbers[0], outputs["Out"], dtype)
        return
    ones = call.new("fill_any_like", {"X": call["x"]}, result, value=1.0, dtype=dtype)
    number = call.cast(call["value"], call.type("value"), result.dtype)
    call.emit("elementwise_mul", {"X": ones, "Y": number}, outputs)


@rule("full_int_array")
def full_int_array(call: Call) -> None:
    """Several integers, which somebody reads as a tensor."""
    values = call.integers("value")
    write_values(call, Tensor(call.dtype().name, (len(values),)), values, call.out("out"))


def write_constant(call: Call) -> None:
    """The numbers that an op gives in every run, in place of the op."""
    name = call.result_names[0]
    write_values(call, call.result_type(name), call.state.sizes[call.op.results[0].id], call.out(name))


@rule("assign_value", "assign_value_")
def assign_value(call: Call) -> None:
    values, dtype = call.attr("values"), call.dtype().name
    if call.op.name.endswith("_") and "output" in call:
        call.bind("out", call["output"])
    if not isinstance(values, list):
        raise Unsupported("its values are no list")
    numbers = [_number(value, dtype) for value in values]
    _note_written(call, numbers)
    write_values(call, Tensor(dtype, tuple(call.integers("shape"))), numbers, call.out("out"))


def _note_written(call: Call, numbers: list[Any]) -> None:
    """What is written into a constant that nobody reads any more holds these numbers from here on."""
    if call.op.name != "pd_op.assign_value_" or call.type("output").dtype not in ("int32", "int64"):
        return
    last = call.state.last_use[call.id("output")] == call.op.number
    result = call.result("out")
    if last and result is not None and result.id not in call.state.mutable:
        call.state.sizes[result.id] = tuple(numbers)


def _number(value: Any, dtype: str) -> Any:
    if not isinstance(value, int | float) or (not dtype.startswith("float") and not math.isfinite(value)):
        raise Unsupported(f"its value {value} is no {dtype}")
    return float(value) if dtype.startswith("float") else int(value)


@rule("arange", "range_v2")
def arange(call: Call) -> None:
    """The constants are float64 in the file whatever the result is; in 2.6 they have the result's dtype."""
    dtype = call.dtype("dtype", DType(call.result_type("out").dtype)).name
    inputs = {}
    for operand, slot in (("start", "Start"), ("end", "End"), ("step", "Step")):
        numbers = call.numbers(operand)
        if numbers is not None and len(numbers) == 1:
            number = numbers[0] if dtype.startswith("float") else int(numbers[0])
            inputs[slot] = call.full(number, Tensor(dtype, (1,)))
        else:
            inputs[slot] = call.cast(call[operand], call.type(operand), dtype)
    call.emit("range", inputs, {"Out": call.out("out")})


@rule("truncated_gaussian_random")
def truncated_gaussian_random(call: Call) -> None:
    if (call.real("a", -2.0), call.real("b", 2.0)) != (-2.0, 2.0):
        raise Unsupported("Paddle 2.6 cuts the distribution at two standard deviations")
    attrs = {name: call.attr(name) for name in ("shape", "mean", "std", "seed", "dtype")}
    call.emit("truncated_gaussian_random", {}, {"Out": call.out("out")}, **attrs)
