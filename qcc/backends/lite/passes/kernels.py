"""lite-kernels: name the kernel that runs each op."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic.dataclasses import dataclass as options

from qcc.backends.layout import refuse_channels_last
from qcc.backends.lite.passes.graph_op import GraphOp
from qcc.backends.lite.passes.limits import UNFILLED_STATES, limit_of
from qcc.backends.lite.passes.lite_pass import LitePass
from qcc.backends.lite.rules.arm import first_refusal
from qcc.backends.lite.rules.view import Rows
from qcc.errors import PassError
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.nodes import EMPTY_NAME, Op, Var
from qcc.passes.base import OPTIONS, PassResult
from qcc.passes.rewrite import is_fetched
from qcc.targets.lite import PRECISION_OF_DTYPE, Arch, Kernel, alternatives, pick_kernel

KERNEL_ATTR = "__@kernel_type_attr@__"
"""The attribute in which an op names its kernel."""


@options(frozen=True, config=OPTIONS)
class LiteKernels(LitePass):
    """Name the kernel that runs each op, chosen by the element types that flow.

    Before:

        y = relu(X=x)

    After, with arch=arm:

        y = relu(X=x)  {__@kernel_type_attr@__ = "relu/def/4/1/1"}

    The runtime takes the kernel without a look at the tensors. All ops that no kernel runs, or none rightly,
    are refused together.
    """

    name: ClassVar[str] = "lite-kernels"
    runs_in_paddle: ClassVar[bool] = True

    arch: Arch = "arm"
    rows: Rows = "declared"

    def apply(self, graph: Graph) -> PassResult:
        if graph.shell.blocks:
            holders = [op for op in graph.ops if op.has_block]
            raise PassError(
                f"{holders[0] if holders else 'the program'} has a block of its own, a loop or a branch on"
                " what is known only when the model runs, and a file for Paddle Lite has one block: export a"
                " model without."
            )
        refuse_channels_last(graph, "Paddle Lite's runtime for CPUs", lambda op: True)
        chosen = {op: kernel_for(graph, op, self.arch) for op in graph.ops}
        limits = {op: _limit(graph, op, self.arch, self.rows) for op in chosen}
        without = {op: limits[op] for op, kernel in chosen.items() if kernel is None or limits[op]}
        if without:
            raise PassError(refusal(without, self.arch))
        modified = False
        for op, kernel in chosen.items():
            if kernel is not None and op.attr(KERNEL_ATTR) != kernel.identifier:
                graph.set_attr(op, KERNEL_ATTR, kernel.identifier)
                modified = True
        return PassResult(modified)


def kernel_for(graph: Graph, op: Op, arch: Arch) -> Kernel | None:
    """The kernel that runs an op with the element types of its variables; None when there is none."""
    used = {
        slot: [var for var in variables if var.consumers or is_fetched(graph, var)]
        for slot, variables in op.outputs.items()
    }
    return pick_kernel(op.type, arch, _precisions(op, op.inputs), _precisions(op, used))


def _precisions(op: Op, slots: Mapping[str, Iterable[Var]]) -> dict[str, list[str]]:
    return {
        slot: [_precision(op, var) for var in variables if var.name != EMPTY_NAME]
        for slot, variables in slots.items()
    }


def _precision(op: Op, var: Var) -> str:
    # A weight whose scale stands beside it becomes float when the file is loaded.
    if op.attr(f"{var.name}_quant_scale") is not None:
        return "float"
    name = dtype_name(var.dtype)
    return PRECISION_OF_DTYPE.get(name, name)


def refusal(ops: Mapping[Op, str | None], arch: Arch) -> str:
    """One sentence about all ops without a kernel, or with a limit that they exceed, each kind once."""
    kinds: dict[tuple[str, str], list[Op]] = {}
    for op, limit in ops.items():
        takes = ", ".join(
            f"{slot} {precision}"
            for slot, found in _precisions(op, op.inputs).items()
            for precision in dict.fromkeys(found)
        )
        reason = limit or alternatives(op.type, arch)
        kinds.setdefault((f"{op.type} ({takes})", reason), []).append(op)
    told = []
    for (kind, reason), found in kinds.items():
        first = ", ".join(var.name for var in found[0].all_outputs())
        count = f"{len(found)} times, first" if len(found) > 1 else "once,"
        told.append(f"{kind}, {count} for {first!r}: {reason}")
    return f"Paddle Lite has no kernel on {arch} that computes these ops: {'; '.join(told)}."


def _limit(graph: Graph, op: Op, arch: Arch, rows: Rows) -> str | None:
    limit = limit_of(op, arch)
    if limit is None and op.type == "rnn":
        fetched = any(is_fetched(graph, var) for var in op.outputs.get("State", ()))
        return UNFILLED_STATES if fetched else None
    if limit is None and arch == "arm":
        found = first_refusal(GraphOp(graph, op), rows)
        return None if found is None else str(found)
    return limit
