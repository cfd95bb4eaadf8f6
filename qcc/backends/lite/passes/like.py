"""An op like another one, of another type or with other inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.rewrite import set_attrs

Slots = Mapping[str, Var | Sequence[Var]]


def add_like(graph: Graph, op: Op, inputs: Slots, outputs: Slots, op_type: str | None = None) -> Op:
    """A new op in front of `op`, with its attributes, of its type where no other is given."""
    made = graph.add_op(op_type or op.type, inputs, outputs, {}, before=op)
    attrs = {name: op.attr(name) for name in op.desc.attr_names(with_attr_var=True)}
    # Of an empty list Paddle does not tell the type, and it means the same as none.
    set_attrs(graph, made, {name: value for name, value in attrs.items() if value != []})
    return made
