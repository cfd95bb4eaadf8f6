"""The conditions that the facts of a target's table name, as functions of a quantized op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from qcc.errors import TargetError
from qcc.passes.frozen import FrozenOp
from qcc.targets.table import Fact

CONDITIONS: Mapping[str, Callable[[FrozenOp], bool]] = MappingProxyType(
    {
        "always": lambda found: True,
        "weight-is-left": lambda found: found.operands.swapped,
    }
)


def holds(fact: Fact, found: FrozenOp) -> bool:
    """Whether a fact is about this op.  Raises TargetError for a condition that nobody knows."""
    if fact.when not in CONDITIONS:
        raise TargetError(
            f"the condition {fact.when!r} of {fact.op!r} is not known; there are {', '.join(CONDITIONS)}."
        )
    return CONDITIONS[fact.when](found)
