"""Arrays of tensors (`TensorArray`), which grow in place."""

from __future__ import annotations

from qcc.frontend.paddle3.conversion import Call
from qcc.frontend.paddle3.output import Unsupported
from qcc.frontend.paddle3.program import Tensor, TensorArray
from qcc.frontend.paddle3.rules.registry import rule


@rule("create_array", "create_array_like")
def create_array(call: Call) -> None:
    """2.6 makes an array when something is written to it: only the variable is declared."""
    call.ignore("dtype", "val")
    call.outs("out")


@rule("array_write_")
def array_write(call: Call) -> None:
    array = call["array"]
    call.bind("out", array)
    call.emit("write_to_array", {"X": call["x"], "I": call["i"]}, {"Out": array})


@rule("array_read")
def array_read(call: Call) -> None:
    call.emit("read_from_array", {"X": call["array"], "I": call["i"]}, {"Out": call.out("out")})


@rule("array_length", "lod_array_length")
def array_length(call: Call) -> None:
    call.emit("lod_array_length", {"X": call["x"]}, {"Out": call.out("out")})


@rule("array_to_tensor")
def array_to_tensor(call: Call) -> None:
    index = call.out("out_index", Tensor("int32", (-1,)))
    attrs = {"axis": call.attr("axis"), "use_stack": call.attr("use_stack")}
    call.emit(
        "tensor_array_to_tensor", {"X": call["x"]}, {"Out": call.out("out"), "OutIndex": index}, **attrs
    )


@rule("assign_array", "assign_array_")
def assign_array(call: Call) -> None:
    if not isinstance(call.kind(call.id("x")), TensorArray):
        raise Unsupported("it copies no array")
    call.emit("assign", {"X": call["x"]}, {"Out": call.out("out")})


@rule("slice_array", "slice_array_dense")
def slice_array(call: Call) -> None:
    """Elements of an array from start to end; one alone is a tensor."""
    start = call.axes("starts")
    dense = call.short == "slice_array_dense"
    ends = [number + 1 for number in start] if dense else call.axes("ends")
    attrs = {"starts": start, "ends": ends, "decrease_axis": [0] if dense else [], "infer_flags": [1]}
    call.emit("slice", {"Input": call["input"]}, {"Out": call.out("out")}, axes=[0], **attrs)
