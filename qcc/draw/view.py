"""From a graph to a picture."""

from __future__ import annotations

from collections.abc import Iterable

from qcc.draw.labels import edge_label, op_facts, op_title, scale_facts, weight_facts
from qcc.draw.picture import Edge, Key, Node, Picture, Role
from qcc.draw.roles import (
    holds_integers,
    is_dynamic,
    is_quantizer,
    is_weight_data,
    op_role,
    scale_inputs,
    scale_outputs,
)
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.quantizable import KINDS


def view(graph: Graph) -> Picture:
    """A picture of a graph: ops and how data flow between them, weights of quantizable ops, scales.

    All versions of a scale are one node. Weights of other ops (of batch_norm, biases) are counted in
    the op's label, and the inner state of quantizers is left out.
    """
    picture = Picture()
    for name in graph.feeds:
        if name in graph:
            picture.nodes["feed", name] = Node(Role.FEED, name, (edge_label(graph.versions(name)[0]),))
    for op in graph.ops:
        _add_op(picture, graph, op)
    for name in graph.fetches:
        if name in graph:
            var = graph.var(name)
            picture.nodes["fetch", name] = Node(Role.FETCH, name, (edge_label(var),))
            _connect(picture, var, ("fetch", name))
    picture.places = _places(picture, graph)
    return picture


def _places(picture: Picture, graph: Graph) -> dict[str, list[Key]]:
    places: dict[str, list[Key]] = {}
    for var in graph.vars:
        keys: list[Key] = [("feed", var.name), ("fetch", var.name), ("var", var.name)]
        keys += [op for op in (var.producer, *var.consumers) if op is not None]
        found = places.setdefault(var.name, [])
        found += [key for key in keys if key in picture.nodes and key not in found]
    return places


def _add_op(picture: Picture, graph: Graph, op: Op) -> None:
    shown, folded = [], 0
    scales = {*scale_inputs(op), *scale_outputs(op)}
    for var in dict.fromkeys(op.all_inputs()):
        if var in scales or not _is_state(var):
            shown.append(var)
        elif _is_drawn_weight(var):
            _add_weight(picture, var)
            shown.append(var)
        else:
            folded += not is_quantizer(op)
    names = [var.name for var in op.all_outputs() if not _is_state(var)]
    name = names[0] if names else ""
    picture.nodes[op] = Node(op_role(op), op_title(op), op_facts(op, folded), name, op.type)
    for var in shown:
        if var not in scales:
            _connect(picture, var, op)
    computed = {var.name for var in scale_outputs(op)}
    for var in dict.fromkeys([*scale_outputs(op), *scale_inputs(op)]):
        _add_scale(picture, graph, var)
        ends = (op, ("var", var.name)) if var.name in computed else (("var", var.name), op)
        picture.edges[ends] = Edge(side=True)


def _is_state(var: Var) -> bool:
    """True for what the model keeps from run to run: weights, scales, statistics."""
    return var.persistable


def _is_drawn_weight(var: Var) -> bool:
    return var.is_tensor and any(var in _operands(reader) for reader in var.consumers)


def _operands(op: Op) -> Iterable[Var]:
    """What an op multiplies or quantizes."""
    if is_quantizer(op):
        return op.inputs.get("X", ())
    kind = KINDS.get(op.type)
    if kind is None:
        return ()
    return (*op.inputs.get(kind.data, ()), *op.inputs.get(kind.weight, ()))


def _add_weight(picture: Picture, var: Var) -> None:
    integers = holds_integers(var)
    role = Role.INTEGER_WEIGHT if integers else Role.WEIGHT
    picture.nodes["var", var.name] = Node(role, var.name, weight_facts(var, integers))


def _add_scale(picture: Picture, graph: Graph, var: Var) -> None:
    value = graph.weights.get(var.name)
    picture.nodes["var", var.name] = Node(Role.SCALE, var.name, scale_facts(var, value, is_dynamic(var)))


def _connect(picture: Picture, var: Var, head: Key) -> None:
    """The edge along which a variable reaches a node."""
    tail: Key
    if var.producer is not None:
        tail = var.producer
    elif ("var", var.name) in picture.nodes:
        tail = ("var", var.name)
    elif ("feed", var.name) in picture.nodes:
        tail = ("feed", var.name)
    else:
        return
    side = is_weight_data(var)
    kept = _is_training(picture, head) and not _is_training(picture, tail)
    label = "" if var.persistable or kept else edge_label(var)
    picture.edges[tail, head] = Edge(label, holds_integers(var), side, kept)


def _is_training(picture: Picture, key: Key) -> bool:
    return key in picture.nodes and picture.nodes[key].role is Role.TRAINING_OP
