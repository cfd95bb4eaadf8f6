"""Steps of an optimizer in units of what is trained, so that one learning rate suits weights of any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

UNIT = "@unit"
"""Behind a parameter's name: the variable that holds its unit, which has to be written into the scope."""
_FURTHEST = 8.0


def step_in_units(program: Any, units: Mapping[str, np.ndarray], scales: Mapping[str, float]) -> None:
    """Multiply what Adam changes each parameter of a training program by with the parameter's unit:

        w' = adam(w)  ->  before = w;  w' = adam(w);  w' = before + (w' - before) * w@unit

    `units` has an array that broadcasts to it for each. Those that are `scales`, by their first values, stay
    positive: at most 8 times smaller or larger than these.
    """
    block = program.global_block()
    # Once: with each op that is inserted it would take time that grows with the program.
    block._sync_with_cpp()
    with program._optimized_guard([]):
        for index in reversed(range(len(block.ops))):
            if block.ops[index].type == "adam":
                (name,) = block.ops[index].input("Param")
                _rewrite(block, index, name, units[name].shape, scales.get(name))


def _rewrite(block: Any, index: int, name: str, shape: tuple[int, ...], first: float | None) -> None:
    weight = block.var(name)
    kept, moved = (
        block.create_var(name=f"{name}{suffix}", shape=weight.shape, dtype=weight.dtype)
        for suffix in ("@before", "@moved")
    )
    unit = block.create_var(
        name=name + UNIT, shape=shape, dtype=weight.dtype, persistable=True, stop_gradient=True
    )
    steps: list[tuple[str, dict[str, Any], Any, dict[str, float]]] = [
        ("elementwise_sub", {"X": weight, "Y": kept}, moved, {}),
        ("elementwise_mul", {"X": moved, "Y": unit}, moved, {}),
        ("elementwise_add", {"X": kept, "Y": moved}, weight, {}),
    ]
    if first is not None:
        bounds = {"min": first / _FURTHEST, "max": first * _FURTHEST}
        steps.append(("clip", {"X": weight}, weight, bounds))
    for kind, inputs, out, attrs in reversed(steps):
        block._insert_op_without_sync(index + 1, type=kind, inputs=inputs, outputs={"Out": out}, attrs=attrs)
    block._insert_op_without_sync(index, type="assign", inputs={"X": weight}, outputs={"Out": kept})
