"""A quantized network beside its float twin: which op is which, and what it rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from qcc.backends.assumed import FOLDS
from qcc.errors import ModelFormatError, PassError, PipelineError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Var
from qcc.model import Model
from qcc.numerics import abs_max, dequantize_weight, quantize_weight
from qcc.passes.base import Pass
from qcc.passes.correct_biases import CorrectBiases
from qcc.passes.fake_quant import Quantizer
from qcc.passes.frozen import FrozenOp, frozen_op
from qcc.passes.manager import PassManager
from qcc.passes.normalize import Normalize
from qcc.passes.prune import Prune
from qcc.passes.quantizable import Operands, operands
from qcc.passes.round_trip import RoundTrips, round_trips
from qcc.passes.static_scales import measures_scale
from qcc.passes.unpack import Unpack
from qcc.passes.unquantize import Unquantize
from qcc.shown import counted

_TRANSFORM = "transform"
# What targets' forms have in front of a product that flattens by itself.
_FLATTEN = "flatten_contiguous_range"
_MANY_STEPS = 1.5
"""Rounding moves a weight by half a step, and what chooses how to round, such as adaround, by one."""
_SOME = 0.01


@dataclass(frozen=True)
class Rounding:
    """How a quantized op rounds, and what it is known by: the activation that it rounds, and its output.

    `unflattened`: variables that hold the same values in more dimensions, where only the quantized network
    flattens them; the nearest first. `scale` of the activation is None where it is measured at every run.
    `weight` has the values that its integers stand for, float32, and `step`, which broadcasts over it, what
    lies between two of them.
    """

    data: str
    output: str
    scale: float | None
    activation: Quantizer
    weight: np.ndarray
    step: np.ndarray
    weight_bits: int
    per_channel: bool
    unflattened: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """A quantized op: as it is in the float twin, with its weight, float32, and how it rounds."""

    operands: Operands
    weight: np.ndarray
    rounding: Rounding

    @property
    def output(self) -> str:
        """The variable that it writes, in both networks."""
        return self.rounding.output


@dataclass(frozen=True)
class Twins:
    """`float_graph` and `quantized`, which compute the same but for rounding, and the quantized ops in order.

    `rounded_weights`: whether the float twin has weights that were not rounded yet; `notes`: for the user.
    """

    float_graph: Graph
    quantized: Graph
    layers: tuple[Layer, ...]
    rounded_weights: bool
    notes: tuple[str, ...]


def twins(quantized: Model, float_model: Model | None) -> Twins:
    """Find the float twin of a quantized model, op by op.

    With the float model that was quantized, the twin is that model after the passes that ran before anything
    was rounded, such as fold-bn. Without, it is the quantized model that rounds no activation; its weights
    are those of the model where that is `transformed`, and rounded ones where it is frozen.

    Raises ModelFormatError where nothing is quantized, or the float model is another network; PassError for
    a quantized form that `normalize` refuses.
    """
    graph = quantized.graph.copy()
    Unpack().apply(graph)
    normal = graph.copy()
    Normalize().apply(normal)
    found = list(_roundings(normal))
    if not found:
        raise ModelFormatError(
            "no op of the model rounds its activation, so that there is nothing to analyze: quantize it"
            " first, by `qcc quantize MODEL --data PHOTOS -o OUT`."
        )
    if float_model is None:
        plain, weights = _unrounded(normal)
        notes = () if weights else (_ROUNDED,)
        return _matched(plain, graph, found, weights, notes)
    plain = _best(float_model, quantized, found)
    result = _matched(plain, graph, found, True, ())
    return Twins(plain, graph, result.layers, True, (*result.notes, *_trained(result.layers)))


_ROUNDED = (
    "the weights of the model are rounded already, so that what their rounding costs cannot be seen: give the"
    " float model by --float"
)


def as_quantized(float_model: Model, quantized: Model) -> Graph:
    """A float model after what was done to it before it became the quantized one, such as fold-bn, so that
    what lies between their ops is comparable.

    Raises what `twins` raises.
    """
    return twins(quantized, float_model).float_graph


def _roundings(normal: Graph) -> Iterator[Rounding]:
    for op in normal.ops:
        frozen = frozen_op(op)
        trips = round_trips(op) if frozen is None else None
        if frozen is not None:
            yield _of_frozen(normal, frozen)
        elif trips is not None:
            yield _of_round_trips(normal, trips)


def _of_frozen(graph: Graph, found: FrozenOp) -> Rounding:
    bits = found.weight_bits(graph)
    axis = found.operands.channel_axis if found.per_channel else None
    scale, integers = found.weight_scale(graph), graph.weights[found.weight.name]
    quantize = found.quantize
    start = None if measures_scale(quantize) else graph.weights[quantize.input("InScale").name]
    return Rounding(
        found.operands.data.name,
        found.dequantize.output("Out").name,
        None if start is None else float(start.reshape(-1)[0]),
        found.activation_quantizer,
        dequantize_weight(integers, scale, bits, axis),
        dequantize_weight(np.ones([1] * integers.ndim, np.float32), scale, bits, axis),
        bits,
        found.per_channel,
        tuple(_unflattened(found.operands.data)),
    )


def _of_round_trips(graph: Graph, found: RoundTrips) -> Rounding:
    quantizer, weight = found.weight.quantizer, graph.weights[found.weight.source.name]
    scale = abs_max(weight, quantizer.axis)
    integers = quantize_weight(weight, scale, quantizer.bits, quantizer.axis)
    start = None if measures_scale(found.data.ops[0]) else found.data.fixed_scale
    value = None if start is None or start.name not in graph.weights else graph.weights[start.name]
    return Rounding(
        found.data.source.name,
        found.operands.output.name,
        None if value is None else float(value.reshape(-1)[0]),
        found.data.quantizer,
        dequantize_weight(integers, scale, quantizer.bits, quantizer.axis),
        dequantize_weight(np.ones([1] * weight.ndim, np.float32), scale, quantizer.bits, quantizer.axis),
        quantizer.bits,
        quantizer.axis is not None,
        tuple(_unflattened(found.data.source)),
    )


def _unflattened(var: Var) -> Iterator[str]:
    while var.producer is not None and var.producer.type == _FLATTEN:
        var = var.producer.input("X")
        yield var.name


# ---------------------------------------------------------------------- the float twin


def _unrounded(normal: Graph) -> tuple[Graph, bool]:
    """A quantized graph without its rounding; and whether its weights were float still."""
    graph = normal.copy()
    frozen = [found.dequantize.output("Out").name for op in graph.ops if (found := frozen_op(op))]
    Unquantize(outputs=tuple(frozen)).apply(graph)
    for op in list(graph.ops):
        trips = round_trips(op)
        if trips is not None:
            graph.set_input(op, trips.operands.data_slot, [trips.data.source])
            graph.set_input(op, trips.operands.weight_slot, [trips.weight.source])
    Prune().apply(graph)
    return graph, not frozen


def _best(float_model: Model, quantized: Model, found: list[Rounding]) -> Graph:
    """Of what may have been quantized of a float model, that which has most of the ops, and then that whose
    weights, rounded, are most of the quantized ones."""
    candidates = [
        *_as_recorded(float_model, quantized),
        float_model.graph,
        PassManager(FOLDS).run(float_model).graph,
    ]
    counts = [_score(graph, found) for graph in candidates]
    if max(counts) == (0, 0):
        raise ModelFormatError(
            f"the float model is not the one that was quantized: no op of it writes {found[0].output!r} from"
            f" a weight of shape {list(found[0].weight.shape)}."
        )
    return candidates[counts.index(max(counts))]


def _as_recorded(float_model: Model, quantized: Model) -> list[Graph]:
    """The float model after the passes that the quantized one's record says ran before `transform`."""
    passes: list[Pass] = []
    for text in quantized.provenance.pipelines:
        try:
            steps = PassManager.parse(text).passes
        except PipelineError:
            # A correction of values, told in words; or a pass of a package that is not installed here.
            continue
        before = list(takewhile(lambda step: step.name != _TRANSFORM, steps))
        # What makes rounding good is no part of the float network.
        passes += [step for step in before if not isinstance(step, CorrectBiases)]
        if len(before) < len(steps):
            break
    try:
        return [PassManager(tuple(passes)).run(float_model).graph]
    except PassError:
        return []  # the record is not of this model


def _score(graph: Graph, found: list[Rounding]) -> tuple[int, int]:
    layers = [Layer(pair, graph.weights[pair.weight.name], one) for pair, one in _pairs(graph, found)]
    return len(layers), sum(not _is_moved(layer) for layer in layers)


def _pairs(graph: Graph, found: list[Rounding]) -> Iterator[tuple[Operands, Rounding]]:
    """The roundings of which a graph has the op, with a weight of the same shape; in the graph's order."""
    by_output = {one.output: one for one in found}
    for op in graph.ops:
        pair = operands(op)
        one = None if pair is None else by_output.get(pair.output.name)
        if pair is None or one is None:
            continue
        data = next((name for name in (one.data, *one.unflattened) if name in graph), None)
        if data is not None and graph.weights[pair.weight.name].shape == one.weight.shape:
            yield pair, replace(one, data=data)


def _matched(
    plain: Graph, quantized: Graph, found: list[Rounding], weights: bool, notes: tuple[str, ...]
) -> Twins:
    layers = [Layer(pair, plain.weights[pair.weight.name], one) for pair, one in _pairs(plain, found)]
    lost = len(found) - len(layers)
    if lost:
        kept = {layer.output for layer in layers}
        names = ", ".join(one.output for one in found if one.output not in kept)
        notes = (*notes, f"{counted(lost, 'quantized op')} left out, not in the float model: {names}")
    return Twins(plain, quantized, tuple(layers), weights, notes)


def _trained(layers: tuple[Layer, ...]) -> Iterator[str]:
    """What to say where the integers are not those of the float model's weights."""
    moved = [layer.output for layer in layers if _is_moved(layer)]
    if moved:
        yield (
            f"the weights of {len(moved)} of {len(layers)} ops are not those of the float model, rounded:"
            " they have been trained since, and what is told of a weight's rounding counts that as well"
        )


def _is_moved(layer: Layer) -> bool:
    off = np.abs(layer.weight - layer.rounding.weight)
    return bool(np.mean(off > _MANY_STEPS * layer.rounding.step) > _SOME)
