"""What holds while a layer is traced, and not afterwards."""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

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
def without_values() -> Iterator[None]:
    """Let nobody's code but Paddle's ask for what a tensor that is traced holds: whether it is true, or its
    numbers as an array. Paddle says that each is true, and so goes one way of an `if` that it cannot
    translate, such as one in a lambda. Numpy takes a tensor for one object, of which the sum, say, is the
    tensor itself."""

    def truth(tensor: Any) -> bool:
        if not _asked_by_paddle():
            raise TypeError(
                "this asks for the value of a tensor, which is known only when the network runs, where Paddle"
                " cannot translate it: use paddle.where, or an `if` in a function of its own"
            )
        return True

    def array(tensor: Any, *_: Any, **__: Any) -> np.ndarray:
        # What computes with a single number, such as a size, comes out right with the tensor in its place.
        if not (_asked_by_paddle() or all(size == 1 for size in tensor.shape)):
            raise TypeError(
                "this asks for the numbers of a tensor, which are known only when the network runs: use"
                " Paddle's own functions in place of numpy's"
            )
        held = np.empty((), object)
        held[()] = tensor
        return held

    variable = paddle.static.Variable
    variable.__bool__, variable.__array__ = truth, array
    # Numbers of numpy, which go before others' operators otherwise, leave products and sums to the tensor.
    variable.__array_priority__ = 1
    try:
        yield
    finally:
        del variable.__bool__, variable.__array__, variable.__array_priority__


def _asked_by_paddle() -> bool:
    """Whether it is code of Paddle's that calls the caller of this, through numpy or not."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _module(frame).startswith("numpy."):
        frame = frame.f_back
    return _module(frame).startswith("paddle.")


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


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
