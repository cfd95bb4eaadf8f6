"""What quantizing each op does to a metric: models in which one op alone is quantized, or all but one are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from qcc.analyze.journal import Journal
from qcc.analyze.measure import Control
from qcc.analyze.twins import Layer, Twins
from qcc.interrupts import Stopped
from qcc.ir.graph import Graph
from qcc.ir.nodes import Var
from qcc.model import Model
from qcc.passes.fake_quant import AWAY_FROM_ZERO, insert_pair
from qcc.passes.frozen import frozen_op
from qcc.passes.normalize import Normalize
from qcc.passes.prune import Prune
from qcc.passes.quantizable import operands
from qcc.passes.round_trip import round_trips
from qcc.passes.unquantize import Unquantize

FLOAT, QUANTIZED, ALONE, OFF = "float", "quantized", "alone", "off"


@dataclass(frozen=True)
class Metric:
    """A metric of models, higher is better: `name` for people; `key` tells it from others, and from the same
    one of changed code; `of` computes it. `most`: of how many ops it is computed."""

    name: str
    key: str
    of: Callable[[Model], float]
    most: int


@dataclass(frozen=True)
class Scores:
    """What a metric has given: of the float and of the quantized network."""

    name: str
    of_float: float
    quantized: float


@dataclass(frozen=True)
class Score:
    """What a metric has given: `alone`, when one op is quantized alone; `off`, when all are but this one."""

    alone: float
    off: float


class Scoring:
    """Computes a metric, as far as the journal does not have it yet."""

    def __init__(self, twins: Twins, metric: Metric, journal: Journal) -> None:
        self._twins, self._metric, self._journal = twins, metric, journal

    def run(self, layers: Sequence[Layer], control: Control) -> tuple[Scores, dict[str, Score]]:
        """Of both networks, and of each of these ops by its output.  Raises Stopped, and what the metric
        raises."""
        twins, done = self._twins, 0

        def scored(what: str, model: Callable[[], Model]) -> float:
            nonlocal done
            if control.stop():
                raise Stopped
            found = self._journal.get(f"{self._metric.key} {what}")
            if found is None:
                found = [self._metric.of(model())]
                self._journal.put(f"{self._metric.key} {what}", found)
            done += 1
            control.report(done)
            return found[0]

        both = Scores(
            self._metric.name,
            scored(FLOAT, lambda: Model(twins.float_graph)),
            scored(QUANTIZED, lambda: Model(twins.quantized)),
        )
        return both, {
            layer.output: Score(
                scored(f"{ALONE} {layer.output}", partial(alone, twins, layer)),
                scored(f"{OFF} {layer.output}", partial(all_but, twins, layer)),
            )
            for layer in layers
        }


def steps(count: int) -> int:
    """How many times a metric is computed for so many ops."""
    return 2 + 2 * count


def alone(twins: Twins, layer: Layer) -> Model:
    """The float network with one op that reads its activation and its weight as they are rounded.

    Before: `y = conv2d(Input=x, Filter=w)`, after, where `w` has the values that its integers stand for:

        x.quantized, x@scale = fake_quantize_moving_average_abs_max(X=x, InScale=x@scale)
        x.quantized.dequantized = fake_dequantize_max_abs(X=x.quantized, Scale=x@scale)
        y = conv2d(Input=x.quantized.dequantized, Filter=w)
    """
    graph, rounding = twins.float_graph.copy(), layer.rounding
    producer = graph.var(layer.output).producer
    found = None if producer is None else operands(producer)
    assert found is not None
    kind = "abs_max" if rounding.scale is None else "moving_average_abs_max"
    pair = insert_pair(graph, found.data, replace(rounding.activation, type=kind), found.op)
    if rounding.activation.rounding != AWAY_FROM_ZERO:
        graph.set_attr(pair.quantize, "round_type", rounding.activation.rounding)
    if rounding.scale is not None:
        graph.weights[pair.quantize.input("InScale").name] = np.array([rounding.scale], np.float32)
    graph.set_input(found.op, found.data_slot, [pair.dequantized])
    weight = _with_value(graph, found.weight, rounding.weight)
    graph.set_input(found.op, found.weight_slot, [weight])
    Prune().apply(graph)
    return Model(graph)


def all_but(twins: Twins, layer: Layer) -> Model:
    """The quantized network with one op that reads its activation and its weight as they are in float."""
    graph = twins.quantized.copy()
    Normalize().apply(graph)
    for op in list(graph.ops):
        trips = round_trips(op)
        if trips is not None and trips.operands.output.name == layer.output:
            graph.set_input(op, trips.operands.data_slot, [trips.data.source])
            graph.set_input(
                op, trips.operands.weight_slot, [_with_value(graph, trips.weight.source, layer.weight)]
            )
            break
        frozen = frozen_op(op)
        if frozen is not None and frozen.dequantize.output("Out").name == layer.output:
            slot = frozen.operands.weight_slot
            Unquantize(outputs=(layer.output,)).apply(graph)
            graph.set_input(op, slot, [_with_value(graph, op.input(slot), layer.weight)])
            break
    Prune().apply(graph)
    return Model(graph)


def _with_value(graph: Graph, weight: Var, value: np.ndarray) -> Var:
    """A weight like another one, which other ops may read, with a value of its own."""
    return graph.add_weight_like(f"{weight.name}.other", weight, value.astype(np.float32))
