"""Attributes that name variables: the graph knows these reads as it knows those of slots."""

from __future__ import annotations

import numpy as np
import pytest

from qcc.errors import GraphError
from qcc.ir.graph import Graph
from qcc.ir.networkx_form import to_networkx
from qcc.ir.nodes import Op
from qcc.ir.program import OpProto
from qcc.ir.text import parse_graph, print_graph
from qcc.ir.verify import verify
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.rewrite import become_weight

TEXT = """
graph {for_test=true}
feeds [x]
fetches [y]

weight w: float32[3, 4, 3, 3] = uniform(seed=1, low=-1.0, high=1.0)
var x: float32[-1, 3, -1, -1]
var size: int32[4]
var height: int32[]
var width: int32[]
var unread: int32[]
var y: float32[-1, 4, -1, -1]

size = shape(Input=x)
height = slice(Input=size) {axes=[0], decrease_axis=[0], ends=[3], starts=[2]}
width = slice(Input=size) {axes=[0], decrease_axis=[0], ends=[4], starts=[3]}
unread = slice(Input=size) {axes=[0], decrease_axis=[0], ends=[4], starts=[3]}
y = conv2d_transpose(Filter=w, Input=x) {output_size=vars(height, width), paddings=[1, 1]}
"""


@pytest.fixture
def graph() -> Graph:
    return parse_graph(TEXT)


def _conv(graph: Graph) -> Op:
    (found,) = (op for op in graph.ops if op.type == "conv2d_transpose")
    return found


def _written(graph: Graph) -> list[str]:
    """The names that the description of the convolution has, which goes to files."""
    message = OpProto.FromString(_conv(graph).desc.serialize_to_string())
    (found,) = (list(attr.vars_name) for attr in message.attrs if attr.name == "output_size")
    return found


def _assert_linked(graph: Graph, names: list[str]) -> None:
    op = _conv(graph)
    variables = [graph.var(name) for name in names]
    assert op.pointed == {"output_size": variables}
    assert list(op.all_inputs())[2:] == variables
    assert all(op in var.consumers for var in variables)
    assert _written(graph) == names
    verify(graph)


def test_such_attributes_are_linked(graph: Graph) -> None:
    _assert_linked(graph, ["height", "width"])
    assert set(_conv(graph).inputs) == {"Filter", "Input"}


def test_the_text_comes_out_as_it_went_in(graph: Graph) -> None:
    text = print_graph(graph)
    assert "output_size=vars(height, width)" in text
    values = dict(graph.weights)
    again = parse_graph(text, values)
    _assert_linked(again, ["height", "width"])
    assert print_graph(again) == text


def test_a_single_variable_is_linked() -> None:
    text = TEXT.replace("vars(height, width)", "var(size)")
    graph = parse_graph(text)
    op = _conv(graph)
    assert op.pointed == {"output_size": [graph.var("size")]}
    other = graph.add_var_like("other", graph.var("size"))
    graph.replace_input(op, graph.var("size"), other)
    assert "output_size=var(other)" in print_graph(graph)


def test_what_computes_them_is_not_pruned(graph: Graph) -> None:
    pruned = PassManager.parse("prune").run(Model(graph)).graph
    _assert_linked(pruned, ["height", "width"])
    assert "unread" not in pruned


def test_they_run_in_time(graph: Graph) -> None:
    op = _conv(graph)
    height = graph.var("height")
    late = graph.add_var_like("late", height)
    graph.add_op("scale", {"X": height}, {"Out": late}, {"scale": 2.0})
    graph.replace_input(op, height, late)
    order = [one.type for one in graph.ops]
    assert order.index("scale") < order.index("conv2d_transpose")
    _assert_linked(graph, ["late", "width"])


def test_copies_do_not_share_an_edit(graph: Graph) -> None:
    twin = graph.copy()
    _assert_linked(twin, ["height", "width"])
    twin.replace_uses(twin.var("width"), twin.var("height"))
    _assert_linked(twin, ["height", "height"])
    assert not twin.var("width").consumers
    _assert_linked(graph, ["height", "width"])
    del graph
    assert _written(twin) == ["height", "height"]


def test_a_part_declares_them(graph: Graph) -> None:
    part = graph.part([_conv(graph)])
    assert {"height", "width"} <= {var.name for var in part.vars}
    assert _conv(part).pointed == {"output_size": [part.var("height"), part.var("width")]}
    assert "size" not in part


def test_a_removed_op_reads_them_no_more(graph: Graph) -> None:
    graph.remove_op(_conv(graph))
    assert not graph.var("height").consumers
    graph.remove_op(graph.var("height").producer)
    graph.remove_var(graph.var("height"))


def test_a_known_value_takes_their_place(graph: Graph) -> None:
    become_weight(graph, graph.var("width"), np.array(5, np.int32))
    _assert_linked(graph, ["height", "width"])
    assert graph.weights["width"] == 5
    assert graph.var("width").producer is None


@pytest.mark.parametrize("remove", [False, True])
def test_an_attribute_that_is_set_or_removed_reads_nothing(graph: Graph, remove: bool) -> None:
    op = _conv(graph)
    if remove:
        graph.remove_attr(op, "output_size")
    else:
        graph.set_attr(op, "output_size", [7, 7])
    assert not op.pointed
    assert not graph.var("height").consumers
    assert op.attr("output_size") == (None if remove else [7, 7])
    verify(graph)


def test_the_value_is_refused(graph: Graph) -> None:
    op = _conv(graph)
    with pytest.raises(GraphError, match=r"'output_size' of Op\(conv2d_transpose -> y\) is computed when"):
        op.attr("output_size", [])
    assert op.attr("paddings") == [1, 1]


def test_algorithms_see_the_edges(graph: Graph) -> None:
    form = to_networkx(graph)
    slots = {(head[1], tail[1]): slot for head, tail, slot in form.edges(data="slot") if head[0] == "var"}
    assert slots["height", 4] == slots["width", 4] == "output_size"
