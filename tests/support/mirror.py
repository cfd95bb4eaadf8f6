"""Is a graph linked as it says itself, and as Paddle's graph of the same program is?"""

from __future__ import annotations

from itertools import pairwise

from qcc._paddle import core
from qcc.ir.graph import Graph
from qcc.ir.nodes import EMPTY_NAME, Var


def assert_linked(graph: Graph) -> None:
    """Links and slots are the same from both of their ends, and in the descriptions."""
    ops, variables = set(graph._ops), set(graph.vars)
    for op in ops:
        slots = {slot: names for slot, names in op.desc.inputs().items() if names}
        assert slots == {slot: [var.name for var in read] for slot, read in op.inputs.items() if read}
        slots = {slot: names for slot, names in op.desc.outputs().items() if names}
        assert slots == {
            slot: [var.name for var in written] for slot, written in op.outputs.items() if written
        }
        assert set(op.all_inputs()) | set(op.all_outputs()) <= variables
        assert all(op in var.consumers for var in op.all_inputs())
        assert all(var.producer is op for var in op.all_outputs())
    for var in variables:
        assert set(var.consumers) <= ops
        assert all(var in op.all_inputs() for op in var.consumers)
        assert var.producer is None or var in var.producer.all_outputs()
        assert var in graph.versions(var.name)
    assert set(graph.weights) <= {var.name for var in variables}


def assert_mirrors(graph: Graph) -> None:
    """The graph is linked as Paddle links its program: a version is known by its name and producer."""
    assert_linked(graph)
    paddles = graph.ir  # which owns its nodes
    nodes = sorted(paddles.graph.nodes(), key=core.Node.id)
    theirs = {node.id(): place for place, node in enumerate(node for node in nodes if node.is_op())}
    ours = {op: place for place, op in enumerate(graph.ops)}
    assert len(theirs) == len(ours)

    def their_version(var: core.Node) -> tuple[str, int | None]:
        return var.name(), next((theirs[op.id()] for op in var.inputs), None)

    def our_version(var: Var) -> tuple[str, int | None]:
        return var.name, None if var.producer is None else ours[var.producer]

    op_nodes = (node for node in nodes if node.is_op())
    for op, node in zip(graph.ops, op_nodes, strict=True):
        assert op.type == node.name()
        for mine, their in ((op.all_inputs(), node.inputs), (op.all_outputs(), node.outputs)):
            assert set(map(our_version, mine)) == {
                their_version(var) for var in their if not var.is_ctrl_var()
            }


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
