"""The rules that are written by hand, by op."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from qcc.frontend.paddle3.conversion import Call

Rule: TypeAlias = Callable[[Call], None]

RULES: dict[str, Rule] = {}
"""What converts each op; an op that computes in place (`relu_`) has that of the one that does not."""


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of these ops, `pd_op.` where nothing stands in front."""

    def register(function: Rule) -> Rule:
        for op in ops:
            name = op if "." in op else f"pd_op.{op}"
            assert name not in RULES, name
            RULES[name] = function
        return function

    return register
