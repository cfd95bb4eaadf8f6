"""Two models layer by layer, on the same inputs: where they come apart first, and how far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from qcc._paddle import VarType
from qcc.backends.agreement import differences
from qcc.calibrate.parts import Parts, Values
from qcc.errors import ModelFormatError
from qcc.files import finite
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.fake_quant import DEQUANTIZE_OPS, FUSED_OPS, QUANTIZE_OPS
from qcc.passes.quantizable import KINDS, layer_of
from qcc.quantization import op_name, state


@dataclass(frozen=True)
class Limit:
    """From which `noise` on a layer has diverged, and `why`, for people."""

    noise: float
    why: str

    def __str__(self) -> str:
        return f"a layer counts as apart from {self.noise:.1%} on: {self.why}."


ROUNDED = Limit(0.1, "rounding to 8 bits explains less")  # 20 dB of signal to noise
SAME_INTEGERS = Limit(0.02, "both hold the same integers, and only values on a tie fall to another one")
SAME_FLOATS = Limit(0.001, "both hold the same floats")

_QUANTIZERS = frozenset({*QUANTIZE_OPS, *DEQUANTIZE_OPS, *FUSED_OPS, "quantize_linear", "dequantize_linear"})


class Other(Protocol):
    """What is compared with a model: a program that runs another one.

    `names`: of what it gives, as they are called in the model that is compared with it; `inner`: whether that
    is more than its outputs; `kernels`: what computes it, in words. `bounds`: of what it clips where it
    writes it, the largest magnitude.
    """

    names: tuple[str, ...]
    inner: bool
    kernels: str
    bounds: Mapping[str, float]

    def run(self, inputs: Values) -> Values:
        """Its values by name."""
        ...

    def apart(self, given: Values) -> Values | None:
        """The same when each layer reads these values in place of its own; None where it cannot be run so."""
        ...


@dataclass(frozen=True)
class Off:
    """How far values are off, over all batches. `noise`: the root of the mean square of the difference,
    relative to that of what is expected; `largest`: the largest difference relative to the range of what is
    expected. Both are infinite where shapes or dtypes differ, or values are not finite that should be."""

    noise: float
    largest: float

    def record(self) -> dict[str, float | None]:
        """For programs."""
        return {name: finite(value) for name, value in vars(self).items()}

    def __str__(self) -> str:
        if not np.isfinite(self.noise):
            return "of another shape, or with values that are not finite"
        return f"off by {self.noise:.2%} (largest difference {self.largest:.2%} of the range)"


@dataclass(frozen=True)
class LayerDistance:
    """How far what is called `output` in both is off: `whole` in the two networks, and `own` when the layer
    reads equal inputs, None where that was not measured. `op`: the type of the layer's op, the one with a
    weight where it has one, and `name`, what that is called, as `qcc.quantization.op_name` says it."""

    op: str
    name: str
    output: str
    whole: Off
    own: Off | None

    @property
    def nearest(self) -> Off:
        """How far it is off by itself, as far as that was measured."""
        return self.whole if self.own is None else self.own


@dataclass(frozen=True)
class Comparison:
    """`layers`, in the model's order; `first`: the first one whose noise is above `limit`. `kernels`: what
    computed the other model."""

    layers: tuple[LayerDistance, ...]
    first: LayerDistance | None
    limit: Limit
    kernels: str

    def record(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kernels": self.kernels,
            "limit": self.limit.noise,
            "limit_why": self.limit.why,
            "first": None if self.first is None else self.first.output,
            "layers": [
                {
                    "op": one.op,
                    "name": one.name,
                    "output": one.output,
                    "whole": one.whole.record(),
                    "own": None if one.own is None else one.own.record(),
                }
                for one in self.layers
            ],
        }

    def verdict(self) -> str:
        """In a sentence."""
        return f"{self._where()} ({self.kernels})."

    def _where(self) -> str:
        most = f"{self.limit.noise:.1%}"
        if self.first is None:
            worst = max(self.layers, key=lambda one: one.whole.noise)
            return f"no layer is off by more than {most}; furthest off is {_named(worst)}: {worst.whole}"
        one = self.first
        if one.own is None:
            return f"they first come apart at {_named(one)}: {one.whole}"
        if _is_off(one.own, self.limit):
            return f"they first come apart at {_named(one)}: {one.own} on equal inputs"
        return (
            f"no layer is off by more than {most} on equal inputs; their errors add up, and pass {most} first"
            f" at {_named(one)}: {one.whole} in the network"
        )

    def worst(self, count: int) -> tuple[LayerDistance, ...]:
        """The first one that is off, and of all so many that are furthest off, on equal inputs where that was
        measured; in the model's order."""
        by_distance = sorted(self.layers, key=lambda one: -one.nearest.noise)
        chosen = {one.output for one in (*by_distance[:count], *filter(None, [self.first]))}
        return tuple(one for one in self.layers if one.output in chosen)


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
    # What a branch writes has no value where the other one is taken.
    branches = var.producer is not None and var.producer.has_block
    return (
        var.is_tensor
        and var.dtype == VarType.FP32
        and not var.persistable
        and not branches
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


def usual_limit(graph: Graph, other: Graph) -> Limit:
    """How far a layer may be off, whose networks hold the same numbers in the same form, or others."""
    same = all(np.array_equal(one, another) for one, another in _alike(graph, other))
    quantized = (state(graph) != "float", state(other) != "float")
    if not same or quantized[0] != quantized[1]:
        return ROUNDED
    return SAME_INTEGERS if quantized[0] else SAME_FLOATS


def _alike(graph: Graph, other: Graph) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights of one shape that stand in the same place of two networks: those of one name, and those that
    the ops read, whatever they are called, which compute a variable that both have."""
    names = [(name, name) for name in graph.weights]
    for op in graph.ops:
        twins = (other.var(var.name).producer for var in op.all_outputs() if var.name in other)
        for twin in twins:
            if twin is not None and twin.type == op.type:
                names += (
                    (var.name, its.name)
                    for slot, variables in op.inputs.items()
                    for var, its in zip(variables, twin.inputs.get(slot, []), strict=False)
                )
    for name, its in dict.fromkeys(names):
        one, another = graph.weights.get(name), other.weights.get(its)
        if one is not None and another is not None and one.shape == another.shape:
            yield one, another


def compare_layers(graph: Graph, other: Other, batches: Iterable[Values], limit: Limit) -> Comparison:
    """Run a network op for op in Paddle, and the other one, on some batches.  Raises DataError."""
    network = Parts(graph, other.names, (), other.names)
    whole, own = ({name: _Sums() for name in other.names} for _ in range(2))
    for inputs in batches:
        values = network.run(inputs)
        found, apart = other.run(inputs), other.apart(values)
        for name in other.names:
            whole[name].add(*_clipped(found[name], values[name], other.bounds.get(name)))
            if apart is not None:
                own[name].add(apart[name], values[name])
    layers = tuple(
        LayerDistance(*_known_as(graph, name, other), name, whole[name].off(), own[name].off_or_none())
        for name in other.names
    )
    return Comparison(layers, _first(layers, limit), limit, other.kernels)


def _clipped(found: np.ndarray, wanted: np.ndarray, bound: float | None) -> tuple[np.ndarray, np.ndarray]:
    """What one network clips where it writes it, the other one clips where it is read."""
    if bound is None:
        return found, wanted
    return np.clip(found, -bound, bound), np.clip(wanted, -bound, bound)


@dataclass
class _Sums:
    """Of all batches: squares of what is expected and of differences, and the limits of both."""

    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    batches: int = 0

    def add(self, found: np.ndarray, wanted: np.ndarray) -> None:
        self.batches += 1
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            self.noise = np.inf
            return
        off, finite = differences(found, wanted), np.isfinite(wanted)
        self.noise += float(np.sum(np.square(off)))
        if finite.any():
            wanted = wanted[finite]
            self.signal += float(np.sum(np.square(wanted, dtype=np.float64)))
            self.largest = max(self.largest, float(np.max(off)))
            self.low, self.high = min(self.low, float(wanted.min())), max(self.high, float(wanted.max()))

    def off(self) -> Off:
        if not np.isfinite(self.noise):
            return Off(np.inf, np.inf)
        if not self.noise:
            return Off(0.0, 0.0)
        varies = self.high - self.low or max(abs(self.high), _LEAST)
        return Off(float(np.sqrt(self.noise / max(self.signal, _LEAST))), self.largest / varies)

    def off_or_none(self) -> Off | None:
        return self.off() if self.batches else None


_LEAST = 1e-30


def _first(layers: Sequence[LayerDistance], limit: Limit) -> LayerDistance | None:
    """The first layer that is wrong by itself; where none is, the first that is far off all the same."""
    for one in layers:
        if one.own is not None and _is_off(one.own, limit):
            return one
    return next((one for one in layers if _is_off(one.whole, limit)), None)


def _is_off(found: Off, limit: Limit) -> bool:
    return not found.noise <= limit.noise


def _named(one: LayerDistance) -> str:
    return f"the {one.op} of {one.name!r}"


def _known_as(graph: Graph, name: str, other: Other) -> tuple[str, str]:
    """The type of the op that a layer is known by, and what that is called; an output that is compared alone
    is known by its own name, and by the op that computes what is only rounded or scaled back behind it."""
    op = layer_of(graph.var(name), other.names) if other.inner else _computes(graph.var(name))
    assert op is not None
    return op.type, op_name(op) if other.inner else name


def _computes(var: Var) -> Op | None:
    op = var.producer
    while op is not None and op.type in _QUANTIZERS and op.input("X").producer is not None:
        op = op.input("X").producer
    return op
