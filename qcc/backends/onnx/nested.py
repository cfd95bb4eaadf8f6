"""Graphs within nodes: branches and bodies of loops, which read values of the graph around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import AttributeProto, NodeProto

_HOLDERS = ("If", "Loop", "Scan")


def with_inner(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """These nodes, and all within them."""
    for node in nodes:
        yield node
        if node.op_type in _HOLDERS:
            graphs = (attr.g for attr in node.attribute if attr.type == AttributeProto.GRAPH)
            yield from with_inner(inner for graph in graphs for inner in graph.node)


def read_by(node: NodeProto) -> Iterator[str]:
    """The names of what a node reads, and what those within it do: of their own values as well."""
    for one in with_inner([node]):
        yield from one.input
