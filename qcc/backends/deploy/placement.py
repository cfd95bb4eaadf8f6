"""What of a model runs on a target in int8, what in float, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from qcc.backends.deploy.conditions import holds
from qcc.errors import TargetError
from qcc.ir.graph import Graph
from qcc.passes.frozen import FrozenOp, frozen_op, frozen_ops
from qcc.passes.quantizable import operands
from qcc.passes.unquantizable import never_quantized
from qcc.shown import counted, listed
from qcc.targets.table import Fact, Target


@dataclass(frozen=True)
class Place:
    """A quantized op on a target, named by the variable that its dequantize op writes."""

    type: str
    output: str
    fact: Fact


@dataclass(frozen=True)
class Placement:
    """All quantized ops of a frozen graph, how many ops with a weight are not quantized, and what is said of
    layers that never are."""

    target: Target
    places: tuple[Place, ...]
    float_ops: int
    never: str | None = None

    def lines(self, condition: str = "") -> Iterator[str]:
        """What to tell a user: how many ops run in int8, under a condition where there is one, and each other
        op with the reason."""
        groups: dict[Fact, list[Place]] = {}
        for found in self.places:
            groups.setdefault(found.fact, []).append(found)
        counts = Counter(found.type for found in self.places if found.fact.runs == "int8")
        runs = f"can run in int8, {condition}" if condition else "runs in int8"
        yield f"{self.target.engine} on {self.target.processor} {runs}: {listed(counts)}."
        for fact, members in groups.items():
            if fact.runs != "int8":
                names = ", ".join(found.output for found in members)
                yield f"in {fact.runs}: {len(members)} {fact.op}, since {fact.why}: {names}."
        if self.float_ops:
            yield f"in float: {counted(self.float_ops, 'more op')} with a weight, not quantized."
        if self.never is not None:
            yield self.never

    def unquantized(self) -> tuple[str, ...]:
        """Outputs of the ops whose quantization has to go: float there, and the weight not kept."""
        return tuple(
            place.output for place in self.places if place.fact.runs == "float" and not place.fact.keep
        )


def place(graph: Graph, target: Target) -> Placement:
    """Look every quantized op of a frozen graph up in the target's table.

    Raises TargetError with all ops that the target refuses, and what to do about them.
    """
    places = tuple(_place(found, target) for found in frozen_ops(graph))
    refused = [found for found in places if found.fact.runs == "refused"]
    if refused:
        words = "; ".join(
            f"{found.type} ({found.output}): {found.fact.why}; {found.fact.remedy}" for found in refused
        )
        raise TargetError(f"{target.name} does not run {len(refused)} of the model's ops: {words}.")
    float_ops = sum(operands(op) is not None and frozen_op(op) is None for op in graph.ops)
    return Placement(target, places, float_ops, never_quantized(graph))


def _place(found: FrozenOp, target: Target) -> Place:
    output = found.dequantize.output("Out").name
    for fact in target.facts_about(found.op.type):
        if holds(fact, found):
            return Place(found.op.type, output, fact)
    raise TargetError(
        f"{found.op}: the table of {target.name} says nothing about {found.op.type}; leave it out with"
        f" skip_op_types of `transform`."
    )
