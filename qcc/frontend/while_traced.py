"""What holds while a layer is traced, and not afterwards."""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qcc._paddle import paddle

_CONTAINERS = (list, deque, dict, set)


@contextmanager
def left_as_it_was(layer: paddle.nn.Layer) -> Iterator[None]:
    """Bring back what a layer and its parts hold, whatever happens: Paddle 2.6 leaves its own `forward` on
    them, and what somebody's `forward` keeps are variables of the traced program."""
    before = [(vars(part), _shallow(vars(part))) for part in layer.sublayers(include_self=True)]
    try:
        yield
    finally:
        for now, held in before:
            for name in now.keys() - held.keys():
                del now[name]
            for name, (value, content) in held.items():
                now[name] = value
                if content is not None:
                    _fill(value, content)


def _shallow(held: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values by name, with a copy of those that hold others."""
    return {
        name: (value, copy.copy(value) if isinstance(value, _CONTAINERS) else None)
        for name, value in held.items()
    }


def _fill(container: Any, content: Any) -> None:
    container.clear()
    if isinstance(container, list | deque):
        container.extend(content)
    else:
        container.update(content)


@contextmanager
def without_truth() -> Iterator[None]:
    """Let nobody's code but Paddle's ask whether a tensor that is traced is true. Paddle says that each is,
    and so goes one way of an `if` that it cannot translate, such as one in a lambda."""

    def truth(tensor: Any) -> bool:
        if not str(sys._getframe(1).f_globals.get("__name__")).startswith("paddle."):
            raise TypeError(
                "this asks for the value of a tensor, which is known only when the network runs, where Paddle"
                " cannot translate it: use paddle.where, or an `if` in a function of its own"
            )
        return True

    paddle.static.Variable.__bool__ = truth
    try:
        yield
    finally:
        del paddle.static.Variable.__bool__


@contextmanager
def gradients_stopped() -> Iterator[set[Any]]:
    """Let `paddle.no_grad` stop gradients in the program that is traced, where Paddle itself overlooks it.
    Gives the ops that were traced in it."""
    base = paddle.base.dygraph.base
    is_enabled, enable = base.is_grad_enabled, base._set_grad_enabled
    stopped = _Stopped()
    base.is_grad_enabled = lambda: is_enabled() if paddle.in_dynamic_mode() else stopped.before is None
    base._set_grad_enabled = lambda mode: enable(mode) if paddle.in_dynamic_mode() else stopped.set(mode)
    try:
        yield stopped.ops
    finally:
        base.is_grad_enabled, base._set_grad_enabled = is_enabled, enable


class _Stopped:
    """`ops`: those without gradients; `before`: those that there were when gradients were stopped, and None
    while they are not."""

    def __init__(self) -> None:
        self.ops: set[Any] = set()
        self.before: set[Any] | None = None

    def set(self, enabled: bool) -> None:
        blocks = paddle.static.default_main_program().blocks
        if not enabled and self.before is None:
            self.before = {op for block in blocks for op in block.ops}
        elif enabled and self.before is not None:
            for block in blocks:
                for op in block.ops:
                    if op not in self.before:
                        self._stop(block, op)
            self.before = None

    def _stop(self, block: Any, op: Any) -> None:
        self.ops.add(op)
        for name in op.output_arg_names:
            var = block._find_var_recursive(name)
            if var is not None and not var.persistable:
                var.stop_gradient = True
