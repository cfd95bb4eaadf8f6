"""The graph: its index against Paddle's graph, its order, its edits."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mirror import assert_linked, assert_mirrors, assert_order, assert_paddle_writes_the_same_ops
from qat_nets import NETS, convolutions
from random_nets import Layer, layer_lists, random_net
from random_runs import examples

from qcc._paddle import core
from qcc.errors import GraphError, VerifyError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.ir.program import ProgramProto, Shell
from qcc.ir.verify import verify
from qcc.ir.weights import Weights
from qcc.model import Model
from qcc.passes import PassManager


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    net = convolutions()
    return {"test": net.test_model(), "train": net.train_model()}


# ---------------------------------------------------------------------- the index


@pytest.mark.parametrize("name", NETS)
def test_index_and_paddles_graph_agree(name: str) -> None:
    net = NETS[name]()
    for model in (net.test_model(), net.train_model()):
        assert_mirrors(model.graph)
        assert_order(model.graph)
        assert_paddle_writes_the_same_ops(model.graph)
        transformed = PassManager.parse("transform{activation_type=range_abs_max}").run(model)
        assert_mirrors(transformed.graph)
        assert_order(transformed.graph)
        assert_paddle_writes_the_same_ops(transformed.graph)


@examples(20)
@given(layer_lists())
def test_index_and_paddles_graph_agree_on_random_nets_after_every_pass(layers: list[Layer]) -> None:
    model = random_net(layers).test_model()
    for step in ("transform{activation_type=abs_max}", "freeze", "int8", "unpack", "prune"):
        model = PassManager.parse(step).run(model)
        assert_mirrors(model.graph)
        assert_order(model.graph)
        assert_paddle_writes_the_same_ops(model.graph)


def test_a_program_comes_out_as_it_went_in(models: dict[str, Model]) -> None:
    for model in models.values():
        once = model.graph.to_proto()
        assert model.copy().graph.to_proto() == once
        assert model.graph.to_proto().SerializeToString() == once.SerializeToString()
        assert [op.type for op in model.graph.ops] == [op.type for op in once.blocks[0].ops]


def test_a_copy_is_independent(models: dict[str, Model]) -> None:
    model = models["test"]
    before, weights = model.graph.to_proto().SerializeToString(), dict(model.weights)
    twin = model.copy()
    PassManager.parse("transform{activation_type=abs_max},freeze,int8,prune").apply(twin.graph)
    twin.weights["fc_0.b_0"] = np.ones(4, np.float32)
    assert model.graph.to_proto().SerializeToString() == before
    assert all(model.weights[name] is array for name, array in weights.items())
    assert len(model.weights) == len(weights)


def test_a_part_has_what_its_ops_name_and_is_independent(models: dict[str, Model]) -> None:
    graph = models["test"].graph
    before, chosen = graph.to_proto().SerializeToString(), graph.ops[1:4]
    part = graph.part(chosen)
    assert [str(op.desc.inputs()) for op in part.ops] == [str(op.desc.inputs()) for op in chosen]
    named = {var.name for op in chosen for var in (*op.all_inputs(), *op.all_outputs())}
    assert {var.name for var in part.vars} == named
    assert {name: id(array) for name, array in part.weights.items()} == {
        name: id(array) for name, array in graph.weights.items() if name in named
    }
    part.set_attr(part.ops[0], "note", 1)
    part.remove_op(part.ops[1])
    assert graph.to_proto().SerializeToString() == before


@pytest.mark.parametrize("edited", [0, 1, 2])
def test_an_edit_of_one_of_three_copies_stays_there(models: dict[str, Model], edited: int) -> None:
    graph = models["test"].copy().graph
    before = graph.to_proto().SerializeToString()
    graphs = [graph, graph.copy()]
    graphs.append(graphs[1].copy())
    chosen = graphs[edited]
    op = chosen.ops[0]
    chosen.set_attr(op, "note", 1)
    chosen.set_flag(op, "flag", True)
    chosen.remove_attr(chosen.ops[1], "op_role")
    chosen.set_input(chosen.ops[1], "X", [chosen.var("x")])
    chosen.set_output(op, "Output", [chosen.add_var("y", "float32", (1,))])
    assert_linked(chosen)
    for other in graphs:
        assert (other.to_proto().SerializeToString() == before) == (other is not chosen)
        assert_linked(other)


def test_an_op_outlives_its_graph(models: dict[str, Model]) -> None:
    def alone(program: ProgramProto) -> Op:
        desc = core.ProgramDesc(program.SerializeToString())
        return Graph(desc, Shell.of(desc), ("x",), (), Weights(), for_test=True).copy().ops[0]

    program = models["test"].graph.to_proto()
    op = alone(program)
    assert op.desc.serialize_to_string() == program.blocks[0].ops[0].SerializeToString()
    assert op.input("Filter").shape == models["test"].graph.ops[0].input("Filter").shape


def test_an_op_that_writes_a_variable_twice_is_refused(models: dict[str, Model]) -> None:
    program = models["test"].graph.to_proto()
    conv = program.blocks[0].ops[0]
    assert conv.outputs[0].parameter == "Output"
    conv.outputs[0].arguments.append(conv.outputs[0].arguments[0])
    desc = core.ProgramDesc(program.SerializeToString())
    with pytest.raises(GraphError, match=r"op conv2d writes variable '.*' twice"):
        Graph(desc, Shell.of(desc), ("x",), (), Weights(), for_test=True)


# ---------------------------------------------------------------------- edits

Edit = tuple[int, int, int]


@examples(60)
@given(
    layer_lists(), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 99), st.integers(0, 99)), max_size=25)
)
def test_any_edits_keep_the_index(layers: list[Layer], edits: list[Edit]) -> None:
    graph = random_net(layers).test_model().graph
    for number, (kind, first, second) in enumerate(edits):
        with suppress(GraphError):
            edit(graph, number, kind, first, second)
    assert_linked(graph)
    try:
        verify(graph)
    except VerifyError:
        return
    assert_order(graph)
    assert_paddle_writes_the_same_ops(graph)
    twin = graph.copy()
    assert_mirrors(twin)
    assert twin.to_proto() == graph.to_proto()


def edit(graph: Graph, number: int, kind: int, first: int, second: int) -> None:
    """One edit; `first` and `second` choose what it is done to."""
    ops, variables = list(graph._ops), graph.vars
    if not ops:
        return
    op, var = ops[first % len(ops)], variables[second % len(variables)]
    read = list(op.all_inputs())
    if kind == 0:
        where = "before" if second % 2 else "after"
        out = graph.add_var(f"new{number}", "float32", (-1, 4, 6, 6))
        graph.add_op("relu", {"X": var}, {"Out": out}, {}, **{where: op})
    elif kind == 1:
        graph.remove_op(op)
    elif kind == 2 and read:
        graph.replace_input(op, read[second % len(read)], var)
    elif kind == 3:
        graph.replace_uses(variables[first % len(variables)], var)
    elif kind == 4 and var.desc is not None:
        graph.add_op("relu", {"X": variables[first % len(variables)]}, {"Out": graph.add_version(var)}, {})
    elif kind == 5:
        graph.remove_var(var)
    else:
        graph.set_attr(op, "note", number)


def test_edits_that_name_what_is_not_there_are_refused(models: dict[str, Model]) -> None:
    graph = models["test"].copy().graph
    op, x = graph.ops[0], graph.var("x")
    with pytest.raises(GraphError, match="the graph has no variable 'nowhere'"):
        graph.var("nowhere")
    with pytest.raises(GraphError, match="the graph already has a variable 'x'"):
        graph.add_var("x", "float32", (1,))
    with pytest.raises(GraphError, match=r"declared float32\[2\] but its value is float32\[3\]"):
        graph.add_var("y", "float32", (2,), np.zeros(3, np.float32))
    with pytest.raises(GraphError, match=r"declared float32\[3\] but its value is int8\[3\]"):
        graph.add_var("y", "float32", (3,), np.zeros(3, np.int8))
    with pytest.raises(GraphError, match="variable 'x' is still in use"):
        graph.remove_var(x)
    with pytest.raises(GraphError, match=r"variable 'relu_0.tmp_0' already has a producer, Op\(relu"):
        graph.add_op("relu", {"X": x}, {"Out": graph.var("relu_0.tmp_0")}, {})
    graph.remove_op(op)
    with pytest.raises(GraphError, match=r"the graph does not hold Op\(conv2d"):
        graph.remove_op(op)
    assert_mirrors(graph)


def test_a_refused_edit_changes_nothing(models: dict[str, Model]) -> None:
    graph = models["test"].copy().graph
    before = graph.to_proto().SerializeToString()
    with pytest.raises(GraphError):
        graph.add_op("relu", {"X": graph.var("x")}, {"Out": graph.var("relu_0.tmp_0")}, {})
    with pytest.raises(GraphError):
        graph.set_output(graph.ops[0], "Output", [graph.var("relu_0.tmp_0")])
    assert_mirrors(graph)
    assert graph.to_proto().SerializeToString() == before


def test_weights_lie_row_by_row() -> None:
    weights = Weights({"w": np.arange(6, dtype=np.float32).reshape(2, 3).T})
    assert weights["w"].flags.c_contiguous
    assert weights["w"].tolist() == [[0, 3], [1, 4], [2, 5]]
