"""Paddle's kernels, run one op at a time on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from qcc._paddle import paddle

Attrs = tuple[tuple[str, Any], ...]


@cache
def _kernel(op_type: str, inputs: tuple[tuple[str, str], ...], outputs: tuple[str, ...], attrs: Attrs) -> Any:
    """A program of one op; inputs are (slot.index, dtype)."""
    program, scope = paddle.static.Program(), paddle.static.Scope()
    block = program.global_block()
    slots: dict[str, list[str]] = {}
    for name, dtype in inputs:
        block.create_var(name=name, shape=[-1], dtype=dtype, stop_gradient=True, need_check_feed=False)
        slots.setdefault(name.partition(".")[0], []).append(name)
    for name in outputs:
        block.create_var(name=name, dtype="float32")
    written = {slot: [slot] for slot in outputs}
    block.append_op(type=op_type, inputs=slots, outputs=written, attrs=_as_lists(attrs))
    executor = paddle.static.Executor(paddle.CPUPlace())
    return lambda feed: executor.run(program, feed=feed, fetch_list=list(outputs), scope=scope)


def _as_lists(attrs: Attrs) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in attrs}


def run_kernel(
    op_type: str,
    inputs: Mapping[str, np.ndarray | Sequence[np.ndarray]],
    outputs: Sequence[str],
    **attrs: Any,
) -> list[np.ndarray]:
    """The arrays that an op writes to its output slots."""
    feed = {}
    for slot, value in inputs.items():
        for index, array in enumerate([value] if isinstance(value, np.ndarray) else value):
            feed[f"{slot}.{index}"] = array
    kernel = _kernel(
        op_type,
        tuple((name, str(array.dtype)) for name, array in feed.items()),
        tuple(outputs),
        tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in attrs.items()),
    )
    return list(kernel(feed))
