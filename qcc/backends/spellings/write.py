"""Putting ops in the place of one."""

from __future__ import annotations

from collections.abc import Mapping

from qcc._paddle import VarType
from qcc.backends.spellings.step import Spell, SpellPart, Steps, output_slot
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.rewrite import free_prefix, remove_op, set_attrs


def spell_out(graph: Graph, table: Mapping[str, Spell]) -> bool:
    """Write the ops of a graph that a table has otherwise; whether there were any."""
    found: dict[Op, Steps] = {}
    for op in graph.ops:
        steps = table[op.type](op) if op.type in table and is_alone(graph, op) else None
        if steps is not None and _can_be_read(graph, op, steps):
            found[op] = steps
    for op, steps in found.items():
        write(graph, op, steps)
    return bool(found)


# What they are written in takes integers, or truth values.
_OF_INTEGERS = (
    *("arg_max", "arg_min", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor"),
    "elementwise_floordiv",
    *("gather", "lookup_table_v2", "one_hot_v2", "reshape2", "stack", "transpose2", "unsqueeze2"),
    *("reduce_all", "reduce_any", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum"),
)


def is_alone(graph: Graph, op: Op) -> bool:
    """Whether of an op one output alone is read, which is float, or made of floats alone, where the op is not
    written likewise for other numbers."""
    out = op.output(output_slot(op))
    beside = (var for var in op.all_outputs() if var is not out)
    of_floats = out.dtype == VarType.FP32 or all(var.dtype == VarType.FP32 for var in op.all_inputs())
    if not of_floats and op.type not in _OF_INTEGERS:
        return False
    return not any(var.consumers or var.name in graph.fetches for var in beside)


def _can_be_read(graph: Graph, op: Op, steps: Steps) -> bool:
    """Whether all that steps read beside the op's own inputs, which was there before the op, is still."""
    own = set(op.all_inputs())
    read = (var for step in steps for var in step.reads.values() if isinstance(var, Var))
    return all(var in own or graph.var(var.name) is var for var in read)


def write(graph: Graph, op: Op, steps: Steps) -> None:
    """Put steps in the place of an op."""
    slot = output_slot(op)
    out = op.output(slot)
    graph.set_output(op, slot, [])
    _add(graph, op, steps, out)
    remove_op(graph, op, keep=out)


def spell_parts(graph: Graph, table: Mapping[str, SpellPart]) -> bool:
    """Write the ops of a graph whose outputs a table has one by one; whether there were any."""
    found = [op for op in graph.ops if op.type in table]
    for op in found:
        (slot,) = op.outputs
        parts = list(op.outputs[slot])
        graph.set_output(op, slot, [])
        for number, part in enumerate(parts):
            if part.consumers or part.name in graph.fetches:
                _add(graph, op, table[op.type](op, number), part)
        remove_op(graph, op)
    return bool(found)


def _add(graph: Graph, op: Op, steps: Steps, out: Var) -> None:
    """Steps in front of an op, of which the last writes a variable."""
    known = dict[str, Var]()
    prefix = free_prefix(graph, out.name, [f".{step.name}" for step in steps[:-1]])
    for step in steps[:-1]:
        shape = out.shape if step.shape is None else step.shape
        known[step.name] = graph.add_var(f"{prefix}.{step.name}", step.dtype, shape, step.value)
    known[steps[-1].name] = out
    for step in steps:
        if step.value is None:
            inputs = {slot: _read(read, known) for slot, read in step.reads.items()}
            outputs = {step.slot: known[step.name]}
            made = graph.add_op(step.type, inputs, outputs, {"op_role": 0}, before=op)
            set_attrs(graph, made, step.attrs)


def _read(read: str | Var | tuple[str, ...], known: Mapping[str, Var]) -> Var | list[Var]:
    if isinstance(read, tuple):
        return [known[name] for name in read]
    return known[read] if isinstance(read, str) else read
