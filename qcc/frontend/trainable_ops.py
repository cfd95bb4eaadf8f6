"""Ops of a traced layer that Paddle cannot train as it writes them, brought into a form that it can."""

from __future__ import annotations

from typing import Any

import numpy as np

from qcc._paddle import VarType, paddle

_NORMS = frozenset({"batch_norm", "sync_batch_norm"})


def make_trainable(program: paddle.static.Program) -> dict[str, np.ndarray]:
    """Let embeddings have dense gradients, as every other op, and batch norms what their gradients read: ones
    and zeros where they have no scale or shift. Returns the values of these constants."""
    for block in program.blocks:
        for op in block.ops:
            if op.has_attr("is_sparse"):
                op._set_attr("is_sparse", False)
    block = program.global_block()
    constants: dict[str, np.ndarray] = {}
    for op in block.ops:
        if op.type in _NORMS:
            for slot, value in (("Scale", 1.0), ("Bias", 0.0)):
                if not op.input(slot):
                    constants.update(_constant(block, op, slot, value))
            _share_gradients(block, [block.var(op.input(slot)[0]) for slot in ("Scale", "Bias")])
    return constants


def _constant(block: Any, norm: Any, slot: str, value: float) -> dict[str, np.ndarray]:
    mean = block.var(norm.input("Mean")[0])
    name = f"{mean.name}.{slot.lower()}"
    if not block.has_var(name):
        _declare(block, name, mean.shape, stop_gradient=True)
    norm.desc.set_input(slot, [name])
    return {name: np.full(mean.shape, value, np.float32)}


def _share_gradients(block: Any, both: list[Any]) -> None:
    """Let scale and shift have both a gradient or none, where one of them alone is trained; what is no
    parameter is not changed by it."""
    if not all(var.stop_gradient for var in both):
        for var in both:
            if var.stop_gradient:
                _declare(block, var.name, var.shape, stop_gradient=False)


def _declare(block: Any, name: str, shape: tuple[int, ...], *, stop_gradient: bool) -> None:
    """A variable that outlives a run, and is no parameter, whatever it was before."""
    var = block.create_var(
        name=name, shape=shape, dtype=VarType.FP32, persistable=True, stop_gradient=stop_gradient
    )
    var.desc.set_is_parameter(False)
