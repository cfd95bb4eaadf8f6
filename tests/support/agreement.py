"""When two forms of one model agree: equal integers, up to ties."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qcc.model import Model, Runner
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.passes.scales import fresh_weight_scales
from qcc.quantization import quantized_ops


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


def assert_same_layers(transformed: Model, frozen: Model, inputs: Mapping[str, np.ndarray]) -> None:
    """Every quantized op of `frozen` computes what it computes in `transformed`, from the same integers.

    In a deep net one tie moves all later layers; here each layer starts afresh. A weight's integer
    may be off by one where the weight lies between two integers, which the float32 of the kernel and
    of the offline rounding may see on different sides.

    Raises AssertionError naming the variable.
    """
    integers = tuple(quantized_activations(transformed))
    outputs = tuple(next(found.op.all_outputs()).name for found in quantized_ops(transformed.graph))
    values = Runner(transformed).run(inputs, integers + outputs)
    ties = _layers_with_ties(transformed, frozen, inputs)
    graph, feed = frozen.graph.copy(), dict(inputs)
    for name, value in zip(integers, values, strict=False):
        given = graph.add_var_like(f"{name}.given", graph.var(name))
        graph.replace_uses(graph.var(name), given)
        feed[given.name] = value
    graph.feeds = tuple(feed)
    for name, expected, actual in zip(
        outputs, values[len(integers) :], Runner(Model(graph)).run(feed, outputs), strict=True
    ):
        off = np.abs(expected - actual).max() / (np.abs(expected).max() or 1)
        assert off < (0.02 if name in ties else 1e-5), f"{name}: off by {off}"


def _layers_with_ties(transformed: Model, frozen: Model, inputs: Mapping[str, np.ndarray]) -> set[str]:
    """Outputs of the ops whose weight has an integer that differs between the two."""
    pairs = [op for op in transformed.graph.ops if op.type in QUANTIZE_OPS and op.input("X").persistable]
    found = Runner(transformed).run(inputs, tuple(op.output("Out").name for op in pairs))
    ties = set()
    for op, q in zip(pairs, found, strict=True):
        name = op.input("X").name
        # Where float ops read the weight as well, the integers have a variable of their own.
        off = np.abs(q - frozen.weights.get(f"{name}.quantized", frozen.weights[name]))
        assert off.max() <= 1, f"{name}: off by {off.max()}"
        assert np.count_nonzero(off) <= 2, f"{name}: {np.count_nonzero(off)} off by 1"
        if off.any():
            (dequantize,) = op.output("Out").consumers
            ties |= {next(reader.all_outputs()).name for reader in dequantize.output("Out").consumers}
    return ties
