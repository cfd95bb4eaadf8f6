"""What single ops of Paddle 3 become, seen in programs that are put together by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from paddle3_programs import Json, Program, attrs_of, ops_of, slots_of, tensor

from qcc.errors import ModelFormatError

QUANTIZE: dict[str, Any] = {
    "quant_axis": -1, "bit_length": 8, "round_type": 0, "is_test": True, "only_observer": False,
}  # fmt: skip


def types(program: Program) -> list[str]:
    return [op.type for op in ops_of(program.converted())]


@pytest.mark.parametrize(
    ("shape", "axis"), [([1, -1, 1, 1], 1), ([1, 4, 1, 1], 1), ([1, 1, 1, 4], -1), ([1, 1, -1, 1], 2)]
)
def test_a_reshaped_bias_is_the_parameter_itself(shape: list[int], axis: int) -> None:
    program = Program()
    bias, x = program.parameter("b", [4]), program.feed("x", [-1, 4, 4, 4])
    (turned,) = program.op("reshape", [bias, program.ints(shape)], [tensor([1, 4, 1, 1])])
    program.fetch(program.op("add", [x, turned], [tensor([-1, 4, 4, 4])])[0])
    (op,) = ops_of(program.converted())
    assert op.type == "elementwise_add"
    assert slots_of(op.inputs) == {"X": ["x"], "Y": ["b"]}
    assert attrs_of(op)["axis"] == axis


def test_a_bias_on_the_left_is_turned_round_where_that_changes_nothing() -> None:
    for name, wanted in (("add", ["elementwise_add"]), ("subtract", ["reshape2", "elementwise_sub"])):
        program = Program()
        bias, x = program.parameter("b", [4]), program.feed("x", [-1, 4, 4, 4])
        (turned,) = program.op("reshape", [bias, program.ints([1, 4, 1, 1])], [tensor([1, 4, 1, 1])])
        program.fetch(program.op(name, [turned, x], [tensor([-1, 4, 4, 4])])[0])
        assert types(program) == wanted


def test_a_reshaped_weight_that_is_no_bias_stays() -> None:
    program = Program()
    weight, x = program.parameter("w", [2, 2]), program.feed("x", [-1, 4, 1, 1])
    (turned,) = program.op("reshape", [weight, program.ints([1, 4, 1, 1])], [tensor([1, 4, 1, 1])])
    program.fetch(program.op("add", [x, turned], [tensor([-1, 4, 1, 1])])[0])
    assert types(program) == ["reshape2", "elementwise_add"]


def sizes(program: Program, x: int, rank: int, axes: list[int]) -> list[int]:
    """Scalars that are the sizes of x along these axes."""
    (shape,) = program.op("shape64", [x], [tensor([rank], "int64")])
    found = []
    for axis in axes:
        attrs = {"axes": [0], "infer_flags": [1], "decrease_axis": [0]}
        operands = [shape, program.ints([axis]), program.ints([axis + 1])]
        found += program.op("slice", operands, [tensor([], "int64")], attrs)
    return found


def reshaped(program: Program, x: int, scalars: list[int], result: list[int]) -> None:
    kinds = [tensor([], "int64")] * len(scalars)
    stacked = program.op(
        "stack", [program.combine(scalars, kinds)], [tensor([len(scalars)], "int64")], {"axis": 0}
    )
    program.fetch(program.op("reshape", [x, stacked[0]], [tensor(result)])[0])


def test_a_shape_with_one_unknown_size_becomes_an_attribute() -> None:
    program = Program()
    x = program.feed("x", [-1, 8, 4, -1])
    batch, channels, height = sizes(program, x, 4, [0, 1, 2])
    (product,) = program.op("multiply", [channels, height], [tensor([], "int64")])
    reshaped(program, x, [batch, product, program.full(-1, shape=())], [-1, 32, -1])
    (op,) = ops_of(program.converted())
    assert op.type == "reshape2"
    assert attrs_of(op)["shape"] == [0, 32, -1]
    assert slots_of(op.inputs) == {"X": ["x"]}


def test_a_shape_with_two_unknown_sizes_is_a_tensor_of_int32() -> None:
    program = Program()
    x = program.feed("x", [-1, 8, -1])
    reshaped(program, x, [*sizes(program, x, 3, [2, 1]), *sizes(program, x, 3, [0])], [-1, 8, -1])
    file = program.converted()
    ops = ops_of(file)
    assert [op.type for op in ops][-3:] == ["stack", "cast", "reshape2"]
    assert attrs_of(ops[-1])["shape"] == [-1, 8, -1]
    (shape,) = slots_of(ops[-1].inputs)["Shape"]
    kinds = {var.name: var.type.lod_tensor.tensor.data_type for var in file.program.blocks[0].vars}
    assert kinds[shape] == 2  # VarType.INT32


def test_an_end_beyond_every_size_fits_int32() -> None:
    program = Program()
    x = program.feed("x", [-1, 8])
    attrs = {"axes": [1], "infer_flags": [1], "decrease_axis": []}
    operands = [x, program.ints([-3]), program.ints([(1 << 63) - 1])]
    program.fetch(program.op("slice", operands, [tensor([-1, 3])], attrs)[0])
    (op,) = ops_of(program.converted())
    assert attrs_of(op)["ends"] == [(1 << 31) - 1]
    assert attrs_of(op)["starts"] == [-3]


@pytest.mark.parametrize(("bits", "low", "high"), [(8, -128, 127), (4, -8, 7), (16, -32768, 32767)])
def test_quantizing_to_a_range_is_quantizing_to_bits(bits: int, low: int, high: int) -> None:
    op = ops_of(quantizing(low, high).converted())[0]
    assert (op.type, attrs_of(op)["bit_length"]) == ("quantize_linear", bits)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-127, 127), (-100, 100), (5, -9)])
def test_another_range_is_refused(low: int, high: int) -> None:
    with pytest.raises(
        ModelFormatError, match=rf"it quantizes to {low} ... {high}, and Paddle 2.6 to signed"
    ):
        quantizing(low, high).converted()


def quantizing(low: int, high: int) -> Program:
    program = Program()
    x, scale, zero = program.feed("x", [2, 3]), program.parameter("s", [1]), program.parameter("z", [1])
    attrs = QUANTIZE | {"qmin": low, "qmax": high}
    results = [tensor([2, 3]), {"#": "NULL"}, {"#": "NULL"}, {"#": "NULL"}]
    program.fetch(program.op("quantize_linear", [x, scale, zero, 0, 0], results, attrs)[0])
    return program


def branches(program: Program, x: int, condition: int) -> None:
    """y = relu(x) if condition else tanh(x)."""
    blocks: list[Json] = []
    for index, name in enumerate(("relu", "tanh")):
        number = 1000 + index
        op = {"#": f"1.{name}", "I": [{"%": x}], "O": [{"%": number, "TT": tensor([2])}], "A": []}
        blocks.append({"args": [], "ops": [op, {"#": "2.yield", "I": [{"%": number}], "O": [], "A": []}]})
    program.fetch(program.op("if", [condition], [tensor([2])], {}, blocks)[0])


@pytest.mark.parametrize(
    ("alpha", "wanted"), [(0.5, "relu"), (0.0, "tanh"), (-0.0, "tanh"), (np.nan, "relu")]
)
def test_a_branch_that_a_parameter_decides_is_resolved(alpha: float, wanted: str) -> None:
    program = Program()
    x, parameter = program.feed("x", [2]), program.parameter("alpha", [1])
    (condition,) = program.op("cast", [parameter], [tensor([1], "bool")], {"dtype": ("dtype", "bool")})
    branches(program, x, condition)
    file = program.converted({"alpha": np.array([alpha], np.float32)})
    assert [op.type for op in ops_of(file)] == [wanted]
    assert len(file.program.blocks) == 1


def test_a_branch_on_data_is_two_blocks() -> None:
    program = Program()
    x, condition = program.feed("x", [2]), program.feed("c", [1], "bool")
    branches(program, x, condition)
    file = program.converted()
    assert [op.type for op in ops_of(file)] == [
        "logical_not", "conditional_block", "conditional_block", "cast", "select_input",
    ]  # fmt: skip
    assert [op.type for op in ops_of(file, 1)] == ["relu", "assign"]
    assert [op.type for op in ops_of(file, 2)] == ["tanh", "assign"]
    assert len(file.program.blocks) == 3


def test_all_refused_ops_are_told_at_once() -> None:
    program = Program(version=7)
    x = program.feed("x", [2, 2])
    scope = {"struct_name": "/Net/Head/"}
    (y,) = program.op("standard_gamma", [x], [tensor([2])], scope)
    (z,) = program.op("relu", [y], [tensor([2])])
    (z,) = program.op("median", [x], [tensor([2])], {"axis": [0], "keepdim": False, "mode": "min"})[:1]
    program.op("standard_gamma", [x], [tensor([2])], {"struct_name": "/Net/Other/"})
    program.fetch(z)
    with pytest.raises(ModelFormatError) as raised:
        program.converted()
    message = str(raised.value)
    assert "PIR version 7) has 3 ops that Paddle 2.6 cannot express" in message
    assert "pd_op.standard_gamma in /Net/Head/ and 1 more time" in message
    assert "pd_op.median in /" in message


def test_an_op_has_all_its_attributes_and_the_layer_that_made_it() -> None:
    program = Program()
    x, y = program.feed("x", [2, 2]), program.feed("y", [2, 2])
    program.fetch(program.op("add", [x, y], [tensor([2, 2])], {"struct_name": "/Net/Add/"})[0])
    (op,) = ops_of(program.converted())
    attrs = attrs_of(op)
    assert attrs["op_namescope"] == "/Net/Add/"
    assert attrs["axis"] == -1
    assert {"op_device", "op_role", "op_role_var", "with_quant_attr"} <= set(attrs)


def test_names_are_those_of_parameters_and_feeds_and_else_of_ops() -> None:
    program = Program()
    x = program.feed("relu_0.tmp_0", [2])
    (first,) = program.op("relu", [x], [tensor([2])])
    (second,) = program.op("relu", [first], [tensor([2])])
    program.fetch(second)
    file = program.converted()
    assert (file.feeds, file.fetches) == (("relu_0.tmp_0",), ("relu_1.tmp_0",))
    assert slots_of(ops_of(file)[0].outputs) == {"Out": ["relu_0.tmp_0_"]}
    assert file.program.SerializeToString() == program.converted().program.SerializeToString()


def test_only_what_is_persistable_has_a_value() -> None:
    program = Program()
    program.parameter("state__non_persistable", [4], persistable=0)
    w, x = program.parameter("w", [2]), program.feed("x", [2])
    program.fetch(program.op("add", [x, w], [tensor([2])])[0])
    assert list(program.converted().persistables) == ["w"]


@pytest.mark.parametrize("version", [1, 2, 3, 4, 99])
def test_a_file_of_any_version_is_read(version: int) -> None:
    program = Program(version)
    program.fetch(program.op("relu", [program.feed("x", [2])], [tensor([2])])[0])
    assert types(program) == ["relu"]


@pytest.mark.parametrize(
    ("op", "way_out"),
    [
        ("custom_op.mine", "replace it by ops of Paddle"),
        ("pd_op.relu_grad", "save the model for inference"),
        ("pd_op.relu_coo_sp", "save the model with dense ones"),
        ("pd_op.moe_combine", "experts"),
        ("pd_op.fp8_quant_blockwise", "save the model in float32"),
        ("pd_op.interp_antialias", "resize without `antialias`"),
        ("dist.reshard", "save the model from one device"),
        ("pd_op.what_comes_later", "there is no such op in Paddle 2.6"),
    ],
)
def test_a_refusal_says_what_to_do(op: str, way_out: str) -> None:
    program = Program()
    x = program.feed("x", [2, 2])
    program.fetch(program.op(op, [x], [tensor([2, 2])])[0])
    with pytest.raises(ModelFormatError, match=way_out) as raised:
        program.converted()
    assert op in str(raised.value)


def chained(program: Program, names: str, x: int, shape: list[int]) -> list[int]:
    """Ops one behind the other; the value of each."""
    found = [x]
    for name in names.split():
        found += program.op(name, [found[-1]], [tensor(shape)])
    return found[1:]


def arguments(file: Any) -> list[tuple[str, list[str], list[str]]]:
    return [(op.type, slots_of(op.inputs)["X"], slots_of(op.outputs)["Out"]) for op in ops_of(file)]


def test_what_is_changed_in_place_and_read_again_is_one_variable() -> None:
    program = Program()
    before, changed = chained(program, "tanh relu_", program.feed("x", [2]), [2])
    (old,) = program.op("exp", [before], [tensor([2])])
    program.fetch(changed)
    program.fetch(old, 1)
    file = program.converted()
    assert arguments(file) == [
        ("tanh", ["x"], ["tanh_0.tmp_0"]),
        ("relu", ["tanh_0.tmp_0"], ["tanh_0.tmp_0"]),
        ("exp", ["tanh_0.tmp_0"], ["exp_0.tmp_0"]),
    ]
    assert file.fetches == ("tanh_0.tmp_0", "exp_0.tmp_0")


def test_what_is_changed_in_place_and_not_read_again_is_two() -> None:
    program = Program()
    program.fetch(chained(program, "tanh relu_", program.feed("x", [2]), [2])[-1])
    outputs = [outputs for _, _, outputs in arguments(program.converted())]
    assert outputs == [["tanh_0.tmp_0"], ["relu_0.tmp_0"]]


def test_a_value_that_is_changed_in_place_is_no_constant() -> None:
    program = Program()
    x, index = program.feed("x", [4, 2]), program.full(1)
    program.op("increment_", [index], [tensor([1], "int64")], {"value": 1.0})
    attrs = {"axes": [0], "infer_flags": [-1], "decrease_axis": []}
    program.fetch(program.op("slice", [x, index, program.ints([3])], [tensor([-1, 2])], attrs)[0])
    ops = ops_of(program.converted())
    assert [op.type for op in ops] == ["fill_constant", "increment", "cast", "slice"]
    assert "StartsTensor" in slots_of(ops[-1].inputs)
    assert attrs_of(ops[-1])["infer_flags"] == [-1]


def test_an_input_a_parameter_and_a_value_may_be_fetched_several_times() -> None:
    program = Program()
    w, x = program.parameter("w", [2]), program.feed("x", [2])
    (y,) = program.op("add", [x, w], [tensor([2])])
    for column, number in enumerate((y, x, w, y)):
        program.fetch(number, column)
    file = program.converted()
    assert len(set(file.fetches)) == 4
    assert [op.type for op in ops_of(file)] == ["elementwise_add", "assign", "assign", "assign"]


def test_ops_that_no_output_needs_go_and_asserts_stay() -> None:
    program = Program()
    x, condition = program.feed("x", [2]), program.feed("c", [1], "bool")
    chained(program, "tanh relu exp", x, [2])
    vector = program.combine([x], [tensor([2])])
    program.op("assert", [condition, vector], [], {"summarize": 3})
    program.fetch(chained(program, "sigmoid", x, [2])[0])
    assert types(program) == ["assert", "sigmoid"]


@pytest.mark.parametrize(("word", "value"), [("-INF", -np.inf), ("INF", np.inf), ("NAN", np.nan)])
def test_numbers_that_json_lacks(word: str, value: float) -> None:
    program = Program()
    x, number = program.feed("x", [2]), program.full(0.0, "float32")
    program.ops[-1]["A"][1]["AT"] = {"#": "0.a_f64", "VD": word}
    program.fetch(program.op("maximum", [x, number], [tensor([2])])[0])
    attrs = attrs_of(ops_of(program.converted())[0])
    np.testing.assert_equal((attrs["value"], float(attrs["str_value"])), (value, value))
