"""Which layers of a network may be faster in float together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import Operands, operands
from qcc.passes.rewrite import only_reader

Floats = frozenset[str]
"""Layers that stay float, by their weights."""

_PIECES = (2, 8)
# What integers pass through on their way from a layer to the next one, in some engine at least.
_BETWEEN = frozenset(
    {
        "batch_norm",
        "concat",
        "elementwise_add",
        "flatten_contiguous_range",
        "leaky_relu",
        "nearest_interp_v2",
        "pool2d",
        "relu",
        "relu6",
        "reshape2",
        "scale",
        "slice",
        "split",
        "squeeze2",
        "transpose2",
        "unsqueeze2",
    }
)


@dataclass(frozen=True)
class Group:
    """Layers that may go back to float together; `name` is for people."""

    name: str
    layers: Floats


def layers_of(graph: Graph, weights: Collection[str]) -> list[str]:
    """These weights in the order of the ops that use them."""
    found = (operands(op) for op in graph.ops)
    return list(
        dict.fromkeys(one.weight.name for one in found if one is not None and one.weight.name in weights)
    )


def groups_of(graph: Graph, weights: Collection[str]) -> list[Group]:
    """Layers of a float graph that have something in common by which engines are slow in int8: their type,
    what follows them, that they stand alone between float ops; and pieces of the network, one after the
    other."""
    layers = [one for one in map(operands, graph.ops) if one is not None and one.weight.name in weights]
    by_name: dict[str, list[Operands]] = {}
    for layer in layers:
        by_name.setdefault(_type(layer), []).append(layer)
        by_name.setdefault(f"in front of {_reader(graph, layer)}", []).append(layer)
    of_layers = {layer.op for layer in layers}
    alone = [layer for layer in layers if _is_alone(layer, of_layers)]
    found = [
        Group(name, _weights(some)) for name, some in (*by_name.items(), ("alone between float ops", alone))
    ]
    return [*_distinct((*found, *_pieces(layers_of(graph, weights))), len(_weights(layers)))]


def _distinct(groups: tuple[Group, ...], most: int) -> Iterator[Group]:
    """Each set of layers once; without those of none and of all."""
    seen: set[Floats] = set()
    for group in groups:
        if 0 < len(group.layers) < most and group.layers not in seen:
            seen.add(group.layers)
            yield group


def _pieces(layers: list[str]) -> Iterator[Group]:
    for wanted in _PIECES:
        count = min(wanted, len(layers))
        for number in range(count):
            piece = layers[number * len(layers) // count : (number + 1) * len(layers) // count]
            yield Group(piece_name(piece), frozenset(piece))


def piece_name(layers: list[str]) -> str:
    """What a piece of the network is called."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}, {len(layers)} layers"


def _weights(layers: list[Operands]) -> Floats:
    return frozenset(layer.weight.name for layer in layers)


def _type(layer: Operands) -> str:
    groups = layer.op.attr("groups", 1)
    if layer.op.type == "conv2d" and groups > 1 and layer.weight.shape[1] == 1:
        return "depthwise_conv2d"
    return str(layer.op.type)


def _reader(graph: Graph, layer: Operands) -> str:
    """The type of the op that reads a layer, behind its bias and its norm."""
    var = layer.output
    while (op := only_reader(graph, var)) is not None:
        if not _is_affine(op):
            return str(op.type)
        var = op.output("Y" if op.type == "batch_norm" else "Out")
    return "several ops" if var.consumers else "the output"


def _is_affine(op: Op) -> bool:
    return op.type == "batch_norm" or (op.type == "elementwise_add" and op.input("Y").persistable)


def _is_alone(layer: Operands, layers: Collection[Op]) -> bool:
    """Whether no other layer's integers could come in, or go out to another one, but through float ops."""
    behind = _reached(layer.output, lambda var: var.consumers, Op.all_outputs)
    before = _reached(layer.data, lambda var: [var.producer] if var.producer else [], Op.all_inputs)
    return not any(op in layers for op in (*behind, *before))


def _reached(
    start: Var, ops_at: Callable[[Var], Collection[Op]], further: Callable[[Op], Iterator[Var]]
) -> set[Op]:
    found: set[Op] = set()
    pending = [start]
    while pending:
        for op in ops_at(pending.pop()):
            if op not in found:
                found.add(op)
                if op.type in _BETWEEN:
                    pending.extend(further(op))
    return found
