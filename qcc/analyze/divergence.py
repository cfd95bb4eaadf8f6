"""Two models layer by layer, on the same inputs: where they come apart first, and how far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from qcc._paddle import VarType
from qcc.analyze.parts import Parts, Values
from qcc.backends.agreement import Distance, distances, furthest
from qcc.backends.judge import ONE_OP
from qcc.errors import ModelFormatError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.fake_quant import DEQUANTIZE_OPS, FUSED_OPS, QUANTIZE_OPS
from qcc.passes.quantizable import KINDS
from qcc.quantization import state

ROUNDED = 0.02
"""How far, on average, an 8-bit layer may be off before it counts as a divergence: some times what rounding
does to layers whose values fill their range."""

_QUANTIZERS = frozenset({*QUANTIZE_OPS, *DEQUANTIZE_OPS, *FUSED_OPS, "quantize_linear", "dequantize_linear"})


class Other(Protocol):
    """What is compared with a model: a program that runs another one.

    `names`: of what it gives, as they are called in the model that is compared with it; `kernels`: what
    computes it, in words.
    """

    names: tuple[str, ...]
    kernels: str

    def run(self, inputs: Values) -> Values:
        """Its values by name."""
        ...

    def apart(self, given: Values) -> Values | None:
        """The same when each layer reads these values in place of its own; None where it cannot be run so."""
        ...


@dataclass(frozen=True)
class LayerDistance:
    """How far what is called `output` in both is off: `whole` in the two networks, and `own` when the layer
    reads equal inputs, None where that was not measured; in each respect the furthest of all batches."""

    op: str
    output: str
    whole: Distance
    own: Distance | None


@dataclass(frozen=True)
class Comparison:
    """`layers`, in the model's order; `first`: the first one that is further off than `limit`, on average,
    relative to the range of what is expected. `kernels`: what computed the other model."""

    layers: tuple[LayerDistance, ...]
    first: LayerDistance | None
    limit: float
    kernels: str

    def record(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kernels": self.kernels,
            "limit": self.limit,
            "first": None if self.first is None else self.first.output,
            "layers": [
                {
                    "op": one.op,
                    "output": one.output,
                    "whole": _numbers(one.whole),
                    "own": None if one.own is None else _numbers(one.own),
                }
                for one in self.layers
            ],
        }

    def verdict(self) -> str:
        """In a sentence."""
        if self.first is not None:
            one = self.first
            where = "on equal inputs" if one.own is not None and one.own.mean > self.limit else "there"
            far = one.own if where == "on equal inputs" and one.own is not None else one.whole
            return f"they first come apart at the {one.op} of {one.output!r}: {far} {where} ({self.kernels})."
        worst = max(self.layers, key=lambda one: one.whole.mean)
        return (
            f"no layer is off by more than {self.limit:.3%} of its range on average; furthest off is the"
            f" {worst.op} of {worst.output!r}: {worst.whole} ({self.kernels})."
        )


def stations(graph: Graph) -> tuple[str, ...]:
    """The variables at which two networks can be compared: those that join, part, or are quantized next, and
    the last one of what merely goes on behind an op, such as a bias, a norm and an activation function, which
    other kernels and passes make one op of."""
    return tuple(
        dict.fromkeys(
            var.name
            for op in graph.ops
            for var in op.all_outputs()
            if _is_station(graph, op, var) and _comparable(graph, var)
        )
    )


def _is_station(graph: Graph, op: Op, var: Var) -> bool:
    if op.type in _QUANTIZERS and op.type not in DEQUANTIZE_OPS:
        return False
    if var.name in graph.fetches:
        return True
    readers = list(var.consumers)
    return bool(readers) and (len(readers) > 1 or not _goes_on(readers[0]))


def _goes_on(reader: Op) -> bool:
    """Whether an op only goes on with what it reads."""
    if reader.type in _QUANTIZERS:
        return reader.type in DEQUANTIZE_OPS
    if reader.type in KINDS and any(var.persistable for var in reader.all_inputs()):
        return False
    return sum(not var.persistable for var in reader.all_inputs()) == 1


def _comparable(graph: Graph, var: Var) -> bool:
    return (
        var.is_tensor
        and var.dtype == VarType.FP32
        and not var.persistable
        and len(graph.versions(var.name)) == 1
    )


def common(graph: Graph, other: Graph) -> tuple[str, ...]:
    """The stations of a graph that another one has as well, computed by an op.

    Raises ModelFormatError where there is none.
    """
    found = tuple(
        name
        for name in stations(graph)
        if name in other and other.var(name).producer is not None and _comparable(other, other.var(name))
    )
    if not found:
        raise ModelFormatError("the two models have no variable in common: they are two networks.")
    return found


def usual_limit(graph: Graph, other: Graph) -> float:
    """How far a layer may be off: by float kernels' rounding where both hold the same numbers in the same
    form, and by that of 8 bits otherwise."""
    same = all(
        np.array_equal(value, other.weights[name])
        for name, value in graph.weights.items()
        if name in other.weights and value.shape == other.weights[name].shape
    )
    quantized = (state(graph) != "float", state(other) != "float")
    return ONE_OP if same and quantized[0] == quantized[1] else ROUNDED


def compare_layers(graph: Graph, other: Other, batches: Iterable[Values], limit: float) -> Comparison:
    """Run a network op for op in Paddle, and the other one, on some batches.  Raises DataError."""
    own = Parts(graph, other.names, (), other.names)
    whole: dict[str, list[Distance]] = {name: [] for name in other.names}
    apart: dict[str, list[Distance]] = {name: [] for name in other.names}
    for inputs in batches:
        values = own.run(inputs)
        wanted = [values[name] for name in other.names]
        _note(whole, other.names, wanted, other.run(inputs))
        found = other.apart(values)
        if found is not None:
            _note(apart, other.names, wanted, found)
    layers = tuple(
        LayerDistance(
            _op_type(graph, name, other.names),
            name,
            furthest(*whole[name]),
            furthest(*apart[name]) if apart[name] else None,
        )
        for name in other.names
    )
    return Comparison(layers, _first(layers, limit), limit, other.kernels)


def _note(
    kept: Mapping[str, list[Distance]], names: Sequence[str], wanted: Sequence[np.ndarray], found: Values
) -> None:
    for name, distance in zip(names, distances([found[name] for name in names], wanted), strict=True):
        kept[name].append(distance)


def _first(layers: Sequence[LayerDistance], limit: float) -> LayerDistance | None:
    """The first layer that is wrong by itself; where none is, the first that is far off all the same."""
    for one in layers:
        if one.own is not None and not one.own.mean <= limit:
            return one
    return next((one for one in layers if not one.whole.mean <= limit), None)


def _op_type(graph: Graph, name: str, others: Sequence[str]) -> str:
    """The op that a layer is known by: the one with a weight, where it has one."""
    op = graph.var(name).producer
    assert op is not None
    first = op
    while op.type not in KINDS:
        read = [var for var in op.all_inputs() if not var.persistable]
        if len(read) != 1 or read[0].producer is None or read[0].name in others:
            return first.type
        op = read[0].producer
    return op.type


def _numbers(distance: Distance) -> dict[str, float | None]:
    if not distance.sound:
        return {"largest": None, "mean": None, "norms": None}
    return {"largest": distance.largest, "mean": distance.mean, "norms": distance.norms}
