"""Numbers that are the same in every run, as a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qcc.frontend.paddle3.conversion import Call, number_text
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import DType, Tensor

# The attribute of `assign_value` that holds numbers of each dtype.
_VALUES = {
    "bool": "bool_values",
    "float32": "fp32_values",
    "float64": "fp64_values",
    "int32": "int32_values",
    "int64": "int64_values",
}


def write_values(call: Call, kind: Tensor, numbers: Sequence[Any], out: str | None = None) -> str:
    """Write these numbers, in the order of the elements, to `out`, or to a new variable; its name.

    Raises Unsupported for a dtype whose numbers Paddle 2.6 does not write.
    """
    if kind.dtype not in _VALUES:
        raise Unsupported(f"Paddle 2.6 writes no constants of {kind.dtype}")
    name = out or call.new_variable(kind)
    attrs: dict[str, Any] = {"shape": list(kind.shape), "dtype": DType(kind.dtype)}
    if kind.dtype == "float64" and len(set(numbers)) == 1:
        # As a number for all: Paddle 3.3 reads no list of doubles in a program of 2.6.
        attrs |= {"value": float(numbers[0]), "str_value": number_text(numbers[0])}
        call.emit("fill_constant", {}, {"Out": name}, **attrs)
    else:
        call.emit("assign_value", {}, {"Out": name}, **attrs, **{_VALUES[kind.dtype]: list(numbers)})
    return name
