"""Is a graph's index what Paddle's graph beneath it says?"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from qcc._paddle import core
from qcc.ir.graph import Graph
from qcc.ir.nodes import EMPTY_NAME


def assert_mirrors(graph: Graph) -> None:
    """Nodes, links and slots are the same in the index, in the nodes and in the descriptions."""
    ops, variables = set(graph._ops), set(graph.vars)
    for op in ops:
        slots = {slot: names for slot, names in op.desc.inputs().items() if names}
        assert slots == {slot: [var.name for var in read] for slot, read in op.inputs.items() if read}
        slots = {slot: names for slot, names in op.desc.outputs().items() if names}
        assert slots == {
            slot: [var.name for var in written] for slot, written in op.outputs.items() if written
        }
        assert _ids(op.node.inputs) == Counter(var.node.id() for var in set(op.all_inputs()))
        assert _ids(op.node.outputs) == Counter(var.node.id() for var in set(op.all_outputs()))
        assert set(op.all_inputs()) | set(op.all_outputs()) <= variables
    for var in variables:
        assert set(var.consumers) <= ops
        assert _ids(var.node.outputs) == Counter(op.node.id() for op in var.consumers)
        assert all(var in op.all_inputs() for op in var.consumers)
        written = [var.producer.node.id()] if var.producer is not None else []
        assert _ids(var.node.inputs) == Counter(written)
        assert var.producer is None or var in var.producer.all_outputs()
        assert var in graph.versions(var.name)
    nodes = graph.ir.graph.nodes()
    assert {node.id() for node in nodes if node.is_op()} == {op.node.id() for op in ops}
    kept = {node.id() for node in nodes if node.is_var() and not node.is_ctrl_var()}
    assert kept == {var.node.id() for var in variables}
    assert set(graph.weights) <= {var.name for var in variables}


def _ids(nodes: list[core.Node]) -> Counter[int]:
    return Counter(node.id() for node in nodes if not node.is_ctrl_var())


def assert_order(graph: Graph) -> None:
    """Each op comes after what it reads is written, and before what it reads is overwritten."""
    position = {op: place for place, op in enumerate(graph.ops)}
    for name in {var.name for var in graph.vars} - {EMPTY_NAME}:
        chain = graph.versions(name)
        for var in chain:
            readers = [position[op] for op in var.consumers if op is not var.producer]
            assert var.producer is None or all(position[var.producer] < place for place in readers), name
        for before, after in pairwise(chain):
            if after.producer is not None:
                place = position[after.producer]
                others = [
                    op for op in (*before.consumers, before.producer) if op not in (None, after.producer)
                ]
                assert all(position[op] < place for op in others), name


def assert_paddle_writes_the_same_ops(graph: Graph) -> None:
    """Paddle turns its graph into the ops that qcc writes, if perhaps in another order."""
    theirs = graph.ir.to_program().global_block().ops
    ours = graph.to_proto().blocks[0].ops
    assert sorted(op.desc.serialize_to_string() for op in theirs) == sorted(
        op.SerializeToString() for op in ours
    )
