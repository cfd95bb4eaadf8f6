"""What rewriting passes have in common: who reads a variable, and letting one op do another's work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var

CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "depthwise_conv2d_transpose")
RECTIFIERS = ("relu", "relu6")


def is_fetched(graph: Graph, var: Var) -> bool:
    """True when a fetch sees this version of the variable."""
    return var.name in graph.fetches and graph.var(var.name) is var


def keeps_name(graph: Graph, var: Var) -> bool:
    """True when a fetch sees this version of the variable, or an op with a block of its own reads it: the
    block knows it by its name."""
    return is_fetched(graph, var) or any(op.has_block for op in var.consumers)


def only_reader(graph: Graph, var: Var) -> Op | None:
    """The one op that reads a temporary variable; None when others read it, or a fetch sees it."""
    if len(var.consumers) != 1 or var.persistable or is_fetched(graph, var):
        return None
    return next(iter(var.consumers))


def follower(graph: Graph, op: Op, slot: str, op_type: str, into: str = "X") -> Op | None:
    """The op of a type that alone reads an op's output, and reads it in the slot `into` only."""
    reader = only_reader(graph, op.output(slot))
    if reader is None or reader.type != op_type:
        return None
    read = chain(reader.inputs.items(), reader.pointed.items())
    read_in = [name for name, variables in read if op.output(slot) in variables]
    return reader if read_in == [into] else None


def is_weight(graph: Graph, var: Var) -> bool:
    """True for a variable whose value is known and does not change."""
    return var.persistable and var.producer is None and len(graph.versions(var.name)) == 1


def single_input(op: Op, slot: str) -> Var | None:
    """The variable in a slot that an op need not have; None when it is empty."""
    variables = op.inputs.get(slot, ())
    return variables[0] if len(variables) == 1 else None


def added_weight(graph: Graph, out: Var) -> np.ndarray | None:
    """The weight that the one op that reads an output adds to it; None where it does another thing."""
    add = only_reader(graph, out)
    if add is None or add.type != "elementwise_add" or add.input("X") is not out:
        return None
    return graph.weights.get(add.input("Y").name)


def adds_a_bias(graph: Graph, out: Var) -> bool:
    """Whether the one op that reads an output adds a weight to it that is not zero throughout."""
    bias = added_weight(graph, out)
    return bias is not None and bool(bias.any())


def slot_of(op: Op, written: Var) -> str:
    """The slot in which an op writes a variable."""
    return next(slot for slot, variables in op.outputs.items() if written in variables)


def scales_nothing(op: Op) -> bool:
    """True for a scale op that multiplies by 1 and adds 0."""
    if op.type != "scale" or op.inputs.get("ScaleTensor"):
        return False
    return op.attr("scale", 1.0) == 1.0 and op.attr("bias", 0.0) == 0.0


def absorb(graph: Graph, op: Op, slot: str, absorbed: Op, output: str) -> None:
    """Let `op` write what `absorbed`, its only follower, has written in `output`; the latter goes."""
    between = op.output(slot)
    result = absorbed.output(output)
    remove_op(graph, absorbed, keep=result)
    graph.set_output(op, slot, [result])
    graph.remove_var(between)


def bypass(graph: Graph, op: Op, source: Var, result: Var) -> bool:
    """Take an op that changes nothing out of the way from `source` to `result`.

    False, and nothing done, where both names have to stay: `result` is fetched or read in a block, and
    `source` is fed, a weight or such a one as well. Likewise where `source` is written over later: it has
    another value by the time that others read `result`.
    """
    if graph.var(source.name) is not source:
        return False
    if not keeps_name(graph, result):
        graph.replace_uses(result, source)
        remove_op(graph, op)
        return True
    producer = source.producer
    if producer is None or keeps_name(graph, source):
        return False
    # Written earlier, `result` would come before the last of those that read an earlier value of it.
    if graph.versions(result.name)[0] is not result:
        return False
    slot = slot_of(producer, source)
    variables = [result if var is source else var for var in producer.outputs[slot]]
    remove_op(graph, op, keep=result)
    graph.replace_uses(source, result)
    graph.set_output(producer, slot, variables)
    graph.remove_var(source)
    return True


def remove_op(graph: Graph, op: Op, keep: Var | None = None) -> None:
    """Remove an op, and those of its variables (but `keep`) that nothing uses any more."""
    touched = dict.fromkeys((*op.all_outputs(), *op.all_inputs()))
    graph.remove_op(op)
    for var in touched:
        if var is not keep:
            drop_if_unused(graph, var)


def drop_if_unused(graph: Graph, var: Var) -> None:
    """Remove a variable that no op and no fetch uses; a feed stays, it is the model's public signature."""
    public = var.name in graph.feeds or var.name in graph.fetches
    if var.producer is None and not var.consumers and not public:
        graph.remove_var(var)


def first_of(things: Sequence[object], kind: str) -> str:
    """The first of some things that share a fault, and how many others there are, as a sentence's subject."""
    others = len(things) - 1
    return f"{things[0]}" + (f" and {others} more {kind}{'s' if others > 1 else ''}" if others else "")


def free_prefix(graph: Graph, name: str, endings: Sequence[str]) -> str:
    """The name, with a number behind it where that takes one, so that no variable is called it and one of the
    endings: a variable that is written twice has one name, and so has what has moved away from it."""
    prefix, number = name, 1
    while any(f"{prefix}{ending}" in graph for ending in endings):
        number += 1
        prefix = f"{name}.{number}"
    return prefix


def free_name(graph: Graph, name: str, ending: str) -> str:
    """A name that no variable has: see `free_prefix`."""
    return free_prefix(graph, name, [ending]) + ending


def add_copy(graph: Graph, source: Var, copy: Var, **place: Op) -> None:
    """Let a variable have the values of another: the maximum of these and themselves, an op that engines
    compute by itself and do not take out. `place`: `before` or `after` an op."""
    attrs = {"axis": -1, "op_role": 0}
    graph.add_op("elementwise_max", {"X": source, "Y": source}, {"Out": copy}, attrs, **place)


def read_a_copy(graph: Graph, op: Op, slot: str) -> None:
    """Let an op of one output read a copy of what it reads in a slot."""
    source = op.input(slot)
    (written,) = op.all_outputs()
    copy = graph.add_var_like(free_name(graph, written.name, f".{slot}.copy"), source)
    add_copy(graph, source, copy, before=op)
    graph.set_input(op, slot, [copy])


def compute_alone(graph: Graph, op: Op) -> None:
    """Let all that reads what an op computes read a copy, which has its name."""
    out = op.output("Out")
    alone = graph.add_var_like(free_name(graph, out.name, ".alone"), out)
    graph.set_output(op, "Out", [alone])
    add_copy(graph, alone, out, after=op)


def set_attrs(graph: Graph, op: Op, attrs: Mapping[str, Any]) -> None:
    """Set attributes; the runtime, unlike Paddle, does not take a number for a boolean."""
    for name, value in attrs.items():
        if isinstance(value, bool):
            graph.set_flag(op, name, value)
        else:
            graph.set_attr(op, name, value)


def set_weight(graph: Graph, op: Op, slot: str, value: np.ndarray, name: str) -> Var:
    """Let an op read a new value of a weight, under the old name where no other op reads the weight.

    Otherwise, or where the slot is empty, the new weight is called `name`.
    """
    present = single_input(op, slot)
    if present is not None:
        graph.set_input(op, slot, [])
        if not present.consumers and present.name not in graph.fetches:
            graph.remove_var(present)
            name = present.name
    var = graph.add_var(name, str(value.dtype), value.shape, value)
    graph.set_input(op, slot, [var])
    return var


def become_weight(graph: Graph, var: Var, value: np.ndarray) -> Var:
    """Let a variable be a weight of this value, under its own name; the op that made it, if any, goes."""
    stand_in = graph.add_var_like(free_name(graph, var.name, ".read"), var)
    graph.replace_uses(var, stand_in)
    if var.producer is not None:
        remove_op(graph, var.producer, keep=var)
    graph.remove_var(var)
    weight = graph.add_weight_like(var.name, var, value)
    graph.replace_uses(stand_in, weight)
    graph.remove_var(stand_in)
    return weight
