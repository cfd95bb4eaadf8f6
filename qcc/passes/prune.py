"""prune: remove what no fetch needs."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.ir.program import OpProto
from qcc.passes.base import OPTIONS, Pass, PassResult
from qcc.passes.fake_quant import DEQUANTIZE_OPS, LINEAR_OPS, QUANTIZE_OPS
from qcc.passes.rewrite import keeps_name

# Ops that matter although nothing reads what they write.
SIDE_EFFECTS = frozenset({"assert", "print", "py_func", "save", "save_combine", "send_v2"})
# Ops whose output depends on nothing but inputs and attributes, and that converters like to double.
_PURE = frozenset({*QUANTIZE_OPS, *DEQUANTIZE_OPS, *LINEAR_OPS})


@options(frozen=True, config=OPTIONS)
class Prune(Pass):
    """Remove ops that no fetch needs, duplicate quantize ops, and variables that no op uses.

    Before, with fetch `y`:

        y = relu(X=x)
        x@out_scale = moving_average_abs_max_scale(X=x)
        loss = cross_entropy(X=y, Label=label)

    After:

        y = relu(X=x)

    Feeds stay, also those that nothing reads: they are the model's public signature. Ops with side
    effects stay, and what sub-blocks may read by name.
    """

    name: ClassVar[str] = "prune"

    def apply(self, graph: Graph) -> PassResult:
        if not graph.for_test:
            raise PassError("prune works on the test graph: in a training graph, no fetch needs training.")
        if not graph.fetches:
            raise PassError("the graph has no fetches, so everything would be pruned.")
        merged = _merge_duplicates(graph)
        dead = remove_dead_ops(graph)
        return PassResult(_remove_orphans(graph) or dead or merged)


def remove_dead_ops(graph: Graph) -> bool:
    """Remove all ops but those that a fetch needs, those with side effects, and what these need; variables
    stay. Whether there were any to remove."""
    live = _live_ops(graph)
    dead = [op for op in graph.ops if op not in live]
    for op in dead:
        graph.remove_op(op)
    return bool(dead)


def _live_ops(graph: Graph) -> set[Op]:
    waiting: list[Op | None] = [graph.var(name).producer for name in graph.fetches]
    waiting += [op for op in graph.ops if op.type in SIDE_EFFECTS]
    inner = graph.shell.names_read_in_blocks()
    waiting += [graph.var(name).producer for name in inner if name in graph]
    live: set[Op] = set()
    while waiting:
        op = waiting.pop()
        if op is not None and op not in live:
            live.add(op)
            waiting += [var.producer for var in op.all_inputs()]
    return live


def _merge_duplicates(graph: Graph) -> bool:
    """Let the readers of a quantize op that repeats an earlier one read the earlier one's output."""
    first: dict[object, Op] = {}
    merged = False
    for op in graph.ops:
        if op.type not in _PURE:
            continue
        original = first.setdefault(_signature(op), op)
        if original is op:
            continue
        for slot, variables in op.outputs.items():
            for var, kept in zip(variables, original.outputs[slot], strict=True):
                if var.consumers and not keeps_name(graph, var):
                    graph.replace_uses(var, kept)
                    merged = True
    return merged


def _signature(op: Op) -> object:
    """Equal for ops of one type with equal attributes and the very same inputs."""
    message = OpProto.FromString(op.desc.serialize_to_string())
    message.ClearField("inputs")
    message.ClearField("outputs")
    inputs = tuple((slot, *variables) for slot, variables in op.inputs.items())
    return (message.SerializeToString(deterministic=True), inputs)


def _remove_orphans(graph: Graph) -> bool:
    keep = {*graph.feeds, *graph.fetches, *graph.shell.names_read_in_blocks()}
    orphans = [
        var for var in graph.vars if var.producer is None and not var.consumers and var.name not in keep
    ]
    for var in orphans:
        graph.remove_var(var)
    return bool(orphans)
