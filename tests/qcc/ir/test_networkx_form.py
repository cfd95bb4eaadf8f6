"""The networkx form of a graph."""

from __future__ import annotations

import networkx
from nets import build, residual_net, several_blocks

from qcc.ir.networkx_form import to_networkx
from qcc.ir.text import parse_graph

TEXT = """
graph {for_test=true}
feeds [x]
fetches [x]

weight w: float32[1, 1, 1, 1] = [0.5]
var x: float32[-1, 1, 2, 2]
var y: float32[-1, 1, 2, 2]

y = conv2d(Input=x, Filter=w) {strides=[2, 2], values=scalars(5L, 0.5d)}
x#1 = sum(X=[y, y])
"""


def test_nodes_carry_what_the_graph_knows() -> None:
    form = to_networkx(parse_graph(TEXT))
    assert form.graph == {"for_test": True, "feeds": ("x",), "fetches": ("x",)}
    weight = form.nodes["var", "w", 0]
    assert (weight["kind"], weight["name"], weight["version"]) == ("var", "w", 0)
    assert (weight["persistable"], weight["dtype"], weight["shape"]) == (True, "float32", (1, 1, 1, 1))
    conv = form.nodes["op", 0]
    assert (conv["kind"], conv["type"], conv["attrs"]["strides"]) == ("op", "conv2d", [2, 2])
    assert conv["attrs"]["values"] == [5, 0.5]


def test_edges_carry_slots_and_repeat_where_an_op_reads_a_variable_twice() -> None:
    form = to_networkx(parse_graph(TEXT))
    assert form.get_edge_data(("var", "x", 0), ("op", 0)) == {0: {"slot": "Input", "index": 0}}
    assert form.get_edge_data(("var", "y", 0), ("op", 1)) == {
        0: {"slot": "X", "index": 0},
        1: {"slot": "X", "index": 1},
    }
    assert list(form.successors(("op", 1))) == [("var", "x", 1)]


def test_networkx_sees_the_order_of_the_ops() -> None:
    for model in (*build(residual_net).values(), several_blocks()):
        form = to_networkx(model.graph)
        assert networkx.is_directed_acyclic_graph(form)
        assert sum(data["kind"] == "op" for _, data in form.nodes(data=True)) == len(model.graph.ops)


def test_an_op_with_a_block_names_its_number() -> None:
    form = to_networkx(several_blocks().graph)
    (loop,) = (data for _, data in form.nodes(data=True) if data.get("type") == "while")
    assert loop["attrs"]["sub_block"] == 1
