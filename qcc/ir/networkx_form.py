"""A graph as a `networkx.MultiDiGraph`, for its algorithms."""

from __future__ import annotations

from itertools import chain
from typing import TypeAlias

import networkx

from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.ir.program import OpProto
from qcc.ir.text.attributes import plain_value

Node: TypeAlias = "tuple[str, str, int] | tuple[str, int]"


def to_networkx(graph: Graph) -> networkx.MultiDiGraph:
    """Operators and variables as nodes of two kinds, and an edge for every argument of an op.

    Node                     attributes
    `("op", position)`       `kind` "op", `type`, `attrs` (name -> value); positions are those in `graph.ops`
    `("var", name, version)` `kind` "var", `name`, `version` (0 for the first), `persistable`, and for dense
                             tensors `dtype` ("float32") and `shape` (a tuple, -1 where unknown)

    Edges run from what is read to the op, and from the op to what it writes; they carry the `slot`
    and the `index` in it. Where an attribute names the variable, its name is the slot.  O(nodes + edges).
    """
    result = networkx.MultiDiGraph(for_test=graph.for_test, feeds=graph.feeds, fetches=graph.fetches)
    nodes: dict[Var, Node] = {}
    for name in dict.fromkeys(var.name for var in graph.vars):
        for version, var in enumerate(graph.versions(name)):
            nodes[var] = ("var", name, version)
            result.add_node(nodes[var], kind="var", name=name, version=version, **_facts(var))
    for position, op in enumerate(graph.ops):
        node = ("op", position)
        result.add_node(node, kind="op", type=op.type, attrs=_attrs(op))
        for slot, variables in chain(op.inputs.items(), op.pointed.items()):
            for index, var in enumerate(variables):
                result.add_edge(nodes[var], node, slot=slot, index=index)
        for slot, variables in op.outputs.items():
            for index, var in enumerate(variables):
                result.add_edge(node, nodes[var], slot=slot, index=index)
    return result


def _facts(var: Var) -> dict[str, object]:
    facts: dict[str, object] = {"persistable": var.persistable}
    if var.is_tensor:
        facts.update(dtype=dtype_name(var.dtype), shape=var.shape)
    return facts


def _attrs(op: Op) -> dict[str, object]:
    # Out of the message: what Paddle's own objects hand out may belong to them.
    message = OpProto.FromString(op.desc.serialize_to_string())
    return {attr.name: plain_value(attr) for attr in message.attrs}
