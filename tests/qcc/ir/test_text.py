"""The textual form: exact round trips, readability where tests and people rely on it, errors with a place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import build, residual_net, several_blocks

import qcc
from qcc._paddle import core
from qcc.errors import TextError
from qcc.ir.graph import Graph
from qcc.ir.program import AttrProto, AttrType, OpProto, ProgramProto, Shell, VarProto
from qcc.ir.text import parse_graph, print_graph
from qcc.ir.text.attributes import make_attr
from qcc.ir.weights import Weights
from qcc.model import Model

DTYPE_NUMBERS = (0, 1, 2, 3, 4, 5, 6, 20, 21, 22)
FLAGS = ("persistable", "need_check_feed", "is_parameter", "stop_gradient")


def assert_round_trip(graph: Graph) -> None:
    """Printing and parsing gives the same program, weights and text."""
    text = print_graph(graph)
    again = parse_graph(text, graph.weights)
    assert again.to_proto().SerializeToString() == graph.to_proto().SerializeToString()
    assert (again.feeds, again.fetches, again.for_test) == (graph.feeds, graph.fetches, graph.for_test)
    assert set(again.weights) == set(graph.weights)
    for name, array in graph.weights.items():
        assert again.weights[name].dtype == array.dtype
        assert again.weights[name].shape == array.shape
        assert again.weights[name].tobytes() == array.tobytes()
    assert print_graph(again) == text


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return build(residual_net)


@pytest.mark.parametrize("kind", ["train", "test"])
def test_round_trip_of_a_built_net(models: dict[str, Model], kind: str) -> None:
    assert_round_trip(models[kind].graph)


@pytest.mark.parametrize("kind", ["train", "test"])
@pytest.mark.parametrize("activation", ["abs_max", "range_abs_max", "moving_average_abs_max"])
def test_round_trip_after_a_pass(models: dict[str, Model], kind: str, activation: str) -> None:
    pipeline = qcc.PassManager.parse(
        f"transform{{weight_type=channel_wise_abs_max,activation_type={activation}}}"
    )
    assert_round_trip(pipeline.run(models[kind]).graph)


def test_round_trip_of_several_blocks() -> None:
    model = several_blocks()
    assert_round_trip(model.graph)
    text = print_graph(model.graph)
    assert "matmul_v2_0.tmp_0 = matmul_v2(X=x, Y=weight)\n" in text.partition("\nblock 1 {parent_idx=0}")[2]


@pytest.mark.parametrize("name", ["det", "rec", "cls"])
def test_round_trip_of_a_real_model(pp_ocr_models: dict[str, Path], name: str) -> None:
    assert_round_trip(qcc.load(pp_ocr_models[name]).graph)


# ---------------------------------------------------------------------------- random programs

_names = st.text(min_size=1, max_size=8)
_int32 = st.integers(-(2**31), 2**31 - 1)
_int64 = st.integers(-(2**63), 2**63 - 1)
_float32 = st.floats(width=32)
_values: dict[int, st.SearchStrategy[object]] = {
    AttrType.INT: _int32,
    AttrType.FLOAT: _float32,
    AttrType.STRING: st.text(),
    AttrType.INTS: st.lists(_int32, max_size=3),
    AttrType.FLOATS: st.lists(_float32, max_size=3),
    AttrType.STRINGS: st.lists(st.text(), max_size=3),
    AttrType.BOOLEAN: st.booleans(),
    AttrType.BOOLEANS: st.lists(st.booleans(), max_size=3),
    AttrType.LONG: _int64,
    AttrType.LONGS: st.lists(_int64, max_size=3),
    AttrType.FLOAT64S: st.lists(st.floats(), max_size=3),
    AttrType.FLOAT64: st.floats(),
}
_scalar = AttrProto().scalar


@st.composite
def scalars(draw: st.DrawFn) -> object:
    scalar = type(_scalar)(type=draw(st.sampled_from(_scalar.Type.values())))
    if scalar.type == scalar.BOOLEAN:
        scalar.b = draw(st.booleans())
    elif scalar.type == scalar.LONG:
        scalar.i = draw(_int64)
    elif scalar.type == scalar.FLOAT64:
        scalar.r = draw(st.floats())
    else:
        scalar.c.r, scalar.c.i = draw(st.floats()), draw(st.floats())
    return scalar


@st.composite
def attributes(draw: st.DrawFn, variables: list[str], blocks: int) -> AttrProto:
    strategies = {
        **_values,
        AttrType.SCALAR: scalars(),
        AttrType.SCALARS: st.lists(scalars(), max_size=2),
    }
    if variables:
        strategies[AttrType.VAR] = st.sampled_from(variables)
        strategies[AttrType.VARS] = st.lists(st.sampled_from(variables), max_size=2)
    if blocks > 1:
        strategies[AttrType.BLOCK] = st.integers(1, blocks - 1)
        strategies[AttrType.BLOCKS] = st.lists(st.integers(1, blocks - 1), max_size=2)
    kind = draw(st.sampled_from(sorted(strategies)))
    # Names of real attributes are too few to be drawn by chance; these are some of conv2d and relu.
    name = draw(
        st.one_of(st.just("a-b"), st.sampled_from(["groups", "strides", "op_role", "data_format"]), _names)
    )
    return make_attr(name, kind, draw(strategies[kind]))


@st.composite
def variables(draw: st.DrawFn, name: str) -> VarProto:
    var = VarProto(name=name)
    var.type.type = draw(st.sampled_from([7, 7, 7, 8, 13, 11]))
    described = {7: var.type.lod_tensor, 8: var.type.selected_rows, 13: var.type.tensor_array}
    if var.type.type in described:
        holder = described[var.type.type]
        tensor = holder if var.type.type == 8 else holder.tensor
        tensor.data_type = draw(st.sampled_from(DTYPE_NUMBERS))
        tensor.dims.extend(draw(st.lists(st.integers(-1, 3), max_size=3)))
        if var.type.type != 8 and draw(st.booleans()):
            holder.lod_level = draw(st.integers(0, 2))
    for flag in draw(st.sets(st.sampled_from(FLAGS))):
        setattr(var, flag, draw(st.booleans()))
    return var


@st.composite
def operators(draw: st.DrawFn, names: list[str], index: int, blocks: int) -> OpProto:
    op = OpProto(type=draw(st.sampled_from(["relu", "conv2d", "conv2d_grad", "my op", "while"])))
    arguments = st.lists(st.sampled_from([*names, "@EMPTY@"]), max_size=2)
    for slot in draw(st.sets(st.sampled_from(["X", "Input", "a slot"]))):
        op.inputs.add(parameter=slot, arguments=draw(arguments))
    for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True)):
        op.outputs.add(parameter=draw(st.sampled_from(["Out", "Output"])) + name, arguments=[name])
    if draw(st.booleans()):
        op.outputs.add(parameter="Out", arguments=[])
    # Paddle does not find a variable of the main block that an attribute of a further block names.
    found = attributes(names if index == 0 else [], blocks)
    op.attrs.extend(draw(st.lists(found, max_size=4, unique_by=lambda attr: attr.name)))
    return op


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(st.sampled_from(["bool", "int8", "int64", "float16", "float32", "float64", "uint16"]))
    shape = draw(st.lists(st.integers(0, 4), max_size=2))
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    if dtype == "bool":
        raw = bytes(byte & 1 for byte in raw)
    return np.frombuffer(raw, dtype).reshape(shape)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    program = ProgramProto()
    names = draw(st.lists(_names, min_size=1, max_size=5, unique=True))
    blocks = draw(st.integers(1, 3))
    for index in range(blocks):
        block = program.blocks.add(idx=index, parent_idx=index - 1)
        if index == 0:
            block.vars.extend(draw(variables(name)) for name in names)
        block.ops.extend(draw(st.lists(operators(names, index, blocks), max_size=3)))
    desc = core.ProgramDesc(program.SerializeToString())
    weights = Weights({name: draw(arrays()) for name in names[:2]})
    return Graph(desc, Shell.of(desc), names[:1], names[-1:], weights, for_test=draw(st.booleans()))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_round_trip_of_random_programs(graph: Graph) -> None:
    assert_round_trip(graph)


# ---------------------------------------------------------------------------- what the text looks like

CONV = """
graph {for_test=true}
feeds [x]
fetches [y]

weight w: float32[2, 3, 1, 1] = [0.5, -1.0, 0.25, 1.0, 2.0, 3.0]
weight big: float32[9] = full(0.5)
var x: float32[-1, 3, 4, 4]
var y: float32[-1, 2, 2, 2]

y = conv2d(Input=x, Filter=w) {strides=[2, 2]}
"""
RELUS = "y#1 = relu(X=y)\ny#2 = relu(X=y#1)\n"


def test_an_op_shows_the_attributes_that_differ_from_the_default() -> None:
    text = print_graph(parse_graph(CONV))
    assert "y = conv2d(Filter=w, Input=x) {strides=[2, 2]}\n" in text


def test_an_op_that_a_user_writes_gets_the_attributes_that_paddle_would_give_it() -> None:
    graph = parse_graph(CONV)
    (op,) = graph.ops
    assert op.attr("groups") == 1
    assert op.attr("data_format") == "NCHW"
    assert op.attr("op_role") == 0


def test_absent_attributes_are_told_apart_from_defaults() -> None:
    absent = parse_graph(CONV.replace("{strides=[2, 2]}", "{strides=[2, 2], -groups}") + RELUS)
    assert not absent.ops[0].desc.has_attr("groups")
    text = print_graph(absent)
    assert "{strides=[2, 2], -groups}\n" in text
    assert "usual op" not in text


def test_an_op_with_few_attributes_lists_them_all() -> None:
    bare = parse_graph(CONV.replace("{strides=[2, 2]}", "{= strides=[2, 2], groups=1}") + RELUS)
    assert sorted(bare.ops[0].desc.attr_names()) == ["groups", "strides"]
    text = print_graph(bare)
    assert " {= groups=1, strides=[2, 2]}\n" in text
    assert parse_graph(text, bare.weights).to_proto() == bare.to_proto()


def test_attributes_of_kernels_are_said_where_they_are_not_at_their_default() -> None:
    """At it they go without saying: each version of Paddle has others."""
    bare = parse_graph(CONV.replace("{strides=[2, 2]}", "{= strides=[2, 2], use_cudnn=false}") + RELUS)
    assert bare.ops[0].attr("use_cudnn") is False
    assert bare.ops[0].attr("workspace_size_MB") == 512
    text = print_graph(bare)
    assert " {= strides=[2, 2], use_cudnn=false}\n" in text
    assert parse_graph(text, bare.weights).to_proto() == bare.to_proto()


def test_what_most_ops_lack_is_said_once() -> None:
    text = CONV.replace("{strides=[2, 2]}", "{-with_quant_attr}") + RELUS.replace(")", ") {-with_quant_attr}")
    again = print_graph(parse_graph(text))
    assert "usual op {-with_quant_attr}\n" in again
    assert again.count("with_quant_attr") == 1


def test_versions_of_an_overwritten_variable_are_told_apart() -> None:
    text = CONV + "w#1 = scale(X=w) {scale=2.0}\ny#1 = elementwise_add(X=y, Y=w#1)\n"
    graph = parse_graph(text)
    scale, add = graph.ops[1:]
    assert scale.output("Out") is add.input("Y") is graph.versions("w")[1]
    assert "y#1 = elementwise_add(X=y, Y=w#1)\n" in print_graph(graph)


def test_small_weights_are_written_out_and_others_by_digest() -> None:
    graph = parse_graph(CONV)
    text = print_graph(graph)
    assert "weight w: float32[2, 3, 1, 1] = [0.5, -1.0, 0.25, 1.0, 2.0, 3.0]\n" in text
    assert "weight big: float32[9] = sha256:" in text
    assert "big" not in parse_graph(text).weights
    assert parse_graph(text, graph.weights).weights["big"].tolist() == [0.5] * 9


def test_uniform_weights_are_the_same_every_time() -> None:
    text = CONV.replace("full(0.5)", "uniform(seed=1, low=-2.0, high=3.0)")
    expected = np.random.default_rng(1).uniform(-2, 3, 9).astype(np.float32)
    assert np.array_equal(parse_graph(text).weights["big"], expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1e-5, "1e-05"), (16777216.0, "16777216.0"), (3.4028235e38, "3.4028235e+38")],
)
def test_float32_attributes_are_printed_with_the_fewest_digits(value: float, text: str) -> None:
    graph = parse_graph(CONV.replace("{strides=[2, 2]}", f"{{extent={value}}}"))
    assert f"{{extent={text}}}" in print_graph(graph)


# ---------------------------------------------------------------------------- errors

LINES = CONV.strip("\n")


def _edit(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("edit", "place", "message"),
    [
        (_edit("graph", "grape"), (1, 1), "expected 'graph {for_test=true}'"),
        (_edit("for_test=true", "for_test=1"), (1, 7), "'graph' takes for_test=true"),
        (_edit("feeds [x]", "feeds [x"), (2, 9), "expected ',' or ']', found the end of the line"),
        (_edit("x]", "x] [y]"), (2, 11), "expected the end of the line, found '['"),
        (_edit("float32[2,", "float31[2,"), (5, 11), "data type 'float31' is not one of bool,"),
        (_edit("[0.5, -1.0,", "[-1.0,"), (5, 33), "5 elements do not fill the shape [2, 3, 1, 1]"),
        (_edit("full(0.5)", "sha256:12"), (6, 26), "weight 'big' is not among the weights given"),
        (_edit("var y", "var x"), (8, 5), "variable 'x' is declared a second time"),
        (_edit("y = conv2d", "y : conv2d"), (10, 3), "expected '=' after an output, or '('"),
        (_edit("x,", '"x,'), (10, 18), "expected a string that ends on its line"),
        (_edit("Input=x", "Input=z"), (10, 18), "variable 'z' is not declared"),
        (_edit("Input=x", "Input=x#1"), (10, 18), "the version of 'x' at this place is x, not x#1"),
        (_edit("strides=", "-stride, a="), (10, 31), "'conv2d' has no attribute 'stride'"),
        (_edit("[2, 2]}", "[2, 2.0]}"), (10, 40), "the items of this list are not all of one type"),
        (_edit("[2, 2]}", "[]}"), (10, 40), "expected one of ints[]"),
        (_edit("[2, 2]}", "block(1)}"), (10, 40), "there is no further block 1"),
        (_edit("[2, 2]}", "3000000000}"), (10, 40), "the value is out of the range of INT"),
        (_edit("[2, 2]}", "2.5L}"), (10, 40), "expected a whole number before L, found '2.5L'"),
        (_edit("[2, 2]}", "var(z)}"), (10, 31), "an attribute names 'z', which this block does not declare"),
        (_edit("-1, 3, 4, 4", f"{2**63}"), (7, 16), "expected a whole number of at most 64 bits"),
        (lambda text: text + "\ny = ", (11, 4), "expected a name, found the end of the text"),
    ],
)
def test_errors_name_line_and_column(
    edit: Callable[[str], str], place: tuple[int, int], message: str
) -> None:
    text = edit(LINES)
    assert text != LINES
    with pytest.raises(TextError) as caught:
        parse_graph(text, {})
    assert str(caught.value).startswith(f"line {place[0]}, column {place[1]}: {message}")


def test_a_weight_with_another_value_than_the_text_says_is_refused() -> None:
    text = print_graph(parse_graph(CONV))
    with pytest.raises(TextError, match=r"weight 'big' has the digest \w{16} here, but the array given has"):
        parse_graph(text, {"big": np.zeros(9, np.float32)})
