"""When two forms of one model agree: equal integers, up to ties."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qcc.model import Model, Runner
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.passes.scales import fresh_weight_scales


def quantized_activations(model: Model) -> list[str]:
    """The variables that hold an activation's integers, in order."""
    return [
        op.output("Out").name
        for op in model.graph.ops
        if op.type in QUANTIZE_OPS and not op.input("X").persistable
    ]


def observe(
    model: Model, before: Model, inputs: Mapping[str, np.ndarray], share: float = 0.9
) -> dict[str, np.ndarray]:
    """Scales for a transformed test model: the weights' own, and most of each activation's range before.

    An activation that is all zero gets 1.
    """
    scales = fresh_weight_scales(model.graph)
    observed = [
        op
        for op in model.graph.ops
        if op.type in QUANTIZE_OPS and not op.input("X").persistable and "InScale" in op.inputs
    ]
    sources = tuple(op.input("X").name for op in observed)
    for op, value in zip(observed, Runner(before).run(inputs, sources) if sources else [], strict=True):
        scales[op.input("InScale").name] = np.array([np.abs(value).max() * share or 1], np.float32)
    return scales


def assert_same_integers(
    left: Model, right: Model, inputs: Mapping[str, np.ndarray], share: float = 0.01
) -> None:
    """All quantized activations of `left` are in `right`: off by 1 at most, and by nothing for most elements.

    Raises AssertionError naming the variable.
    """
    names = tuple(quantized_activations(left))
    assert names
    mine, theirs = Runner(left).run(inputs, names), Runner(right).run(inputs, names)
    for name, a, b in zip(names, mine, theirs, strict=True):
        off = np.abs(a - b)
        assert off.max() <= 1, f"{name}: off by {off.max()}"
        assert np.count_nonzero(off) <= max(1, share * off.size), f"{name}: {np.count_nonzero(off)} off by 1"
