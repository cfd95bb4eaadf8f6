"""An analysis from beginning to end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from qcc.analyze.findings import Analysis, OpFinding, first_effect, op_finding, outcome, sizes, worst_first
from qcc.analyze.inspection import COULD_BE_QUANTIZED, OpStatus, inspect
from qcc.analyze.journal import Journal
from qcc.analyze.measure import Control, Measurement
from qcc.analyze.metric import Metric, Score, Scores, Scoring, steps
from qcc.analyze.ranges import Range
from qcc.analyze.twins import Layer, Twins
from qcc.calibrate.collect import Collector, Numbered, unnamed
from qcc.calibrate.compare import compare
from qcc.calibrate.data.arrays import fitting
from qcc.calibrate.data.batches import Batch, Batches, digest_of, name_of, spread
from qcc.calibrate.data.sources import Source
from qcc.calibrate.observers import Seen
from qcc.calibrate.parts import Values
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError
from qcc.ir.graph import Graph
from qcc.model import Model

Phase = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Begins a piece of work, with its name and number of steps; what it gives is told those that are done."""


@dataclass(frozen=True)
class Wanted:
    """`top`: of how many ops the effect on the network's output is measured, None for all; those with the
    largest one on the first batch. `stop` is asked whether to stop, `phase` told of what is done. `metric`:
    what is computed as well, of the ops with the largest effect."""

    top: int | None
    phase: Phase
    stop: Callable[[], bool] = field(default=lambda: False)
    metric: Metric | None = None


@dataclass(frozen=True)
class Sample:
    """The batches that an analysis runs on, read when it is their turn, each many times."""

    reads: Sequence[Callable[[], Values]]
    identity: str

    @staticmethod
    def of(source: Source, model: Model, count: int) -> Sample:
        """At most so many batches of a source, evenly spread where their number is known.

        Raises DataError where there is none.
        """
        if isinstance(source.batches, Batches):
            batches = source.batches
            chosen = spread(batches.items, count)
            named = [(name_of(item), partial(batches.read, item)) for item in chosen]
            identity = json.dumps([source.record, source.identity, [name for name, _ in named]])
        else:
            kept = list(islice(source.batches, count))
            named = [(unnamed(number), partial(_itself, batch)) for number, batch in enumerate(kept)]
            identity = digest_of(kept)
        if not named:
            raise DataError("there is no data to run the model on.")
        return Sample([partial(_fitting, model, name, read) for name, read in named], identity)


def analyze(
    title: str,
    twins: Twins,
    sample: Sample,
    journal: Path,
    wanted: Wanted,
    *,
    facts: Mapping[str, str],
) -> tuple[Analysis, Journal]:
    """Measure what each quantized op does; the journal is to be removed once the result is written.

    `journal`: where what is measured is kept, so that an interrupted analysis goes on.

    Raises Stopped, and DataError when the model does not run on the data.
    """
    kept = Journal(journal, _identity(twins, sample))
    ranges = _seen(twins, sample, wanted)
    measurement = Measurement(twins, kept, sample.reads[0])
    count = len(sample.reads)
    with wanted.phase("ops", count * len(twins.layers)) as report:
        measurement.ops(sample.reads, Control(wanted.stop, report))

    def finding(layer: Layer, measured: bool) -> OpFinding:
        found = Range.of(ranges[layer.rounding.data], layer.rounding.scale)
        return op_finding(kept, measurement.heads, count, layer, found, measured)

    chosen = _chosen(measurement, sample, wanted)
    if chosen:
        with wanted.phase("effects", count * len(chosen)) as report:
            measurement.effects(chosen, sample.reads, Control(wanted.stop, report))
    found = worst_first(finding(layer, layer in chosen) for layer in twins.layers)
    scores, by_output = _scored(twins, found, kept, wanted)
    left_out = [layer.output for layer in twins.layers if not measurement.can_be_changed(layer)]
    notes = [f"the effect of {name} was not measured: it runs inside a loop or a branch" for name in left_out]
    models = Model(twins.float_graph), Model(twins.quantized)
    analysis = Analysis(
        title,
        twins.float_graph,
        facts,
        sizes(twins),
        compare(*models, (read() for read in sample.reads)),
        outcome(kept, measurement.heads, count),
        tuple(replace(one, score=by_output.get(one.layer.output)) for one in found),
        tuple(_told(one) for one in inspect(models[1]).quantizable if not one.quantized),
        count,
        (*twins.notes, *notes),
        scores,
    )
    return analysis, kept


def _scored(
    twins: Twins, found: Sequence[OpFinding], journal: Journal, wanted: Wanted
) -> tuple[Scores | None, dict[str, Score]]:
    """The metric, of both networks and with the worst ops, where one is wanted."""
    if wanted.metric is None:
        return None, {}
    layers = [one.layer for one in found[: wanted.metric.most]]
    with wanted.phase("metric", steps(len(layers))) as report:
        return Scoring(twins, wanted.metric, journal).run(layers, Control(wanted.stop, report))


def _chosen(measurement: Measurement, sample: Sample, wanted: Wanted) -> list[Layer]:
    """The ops whose effect is measured: the worst ones on the first batch, where not all are wanted."""
    layers = [layer for layer in measurement.twins.layers if measurement.can_be_changed(layer)]
    if wanted.top is None or wanted.top >= len(layers):
        return layers
    if not wanted.top:
        return []
    with wanted.phase("first effects", len(layers)) as report:
        measurement.first_effects(sample.reads[0], Control(wanted.stop, report))
    journal, heads = measurement.journal, measurement.heads
    return sorted(layers, key=lambda layer: -first_effect(journal, heads, layer))[: wanted.top]


def _told(one: OpStatus) -> OpStatus:
    """Why an op stays float, of a network that was quantized."""
    return replace(one, how=_ON_PURPOSE) if one.how == COULD_BE_QUANTIZED else one


_ON_PURPOSE = "left float when the model was quantized: by --skip-vars, for the target, or for want of values"


def _seen(twins: Twins, sample: Sample, wanted: Wanted) -> dict[str, Seen]:
    names = tuple(dict.fromkeys(layer.rounding.data for layer in twins.layers))
    statistics = Statistics(names)
    collector = Collector(Model(twins.float_graph), statistics)
    with wanted.phase("ranges", len(sample.reads)) as report:
        for number, read in enumerate(sample.reads):
            collector.run(Numbered(number, unnamed(number), read), read())
            report(number + 1)
    return {name: statistics.seen(name) for name in names}


def _itself(batch: Batch) -> Batch:
    return batch


def _fitting(model: Model, name: str, read: Callable[[], Batch]) -> Values:
    batch = read()
    missing = [feed for feed in model.feeds if feed not in batch]
    if missing:
        raise DataError(f"{name} has no array {missing[0]!r}; it has {list(batch)}.")
    return {feed: fitting(model, feed, batch[feed], name) for feed in model.feeds}


def _identity(twins: Twins, sample: Sample) -> str:
    digest = hashlib.sha256(sample.identity.encode())
    for graph in (twins.float_graph, twins.quantized):
        digest.update(_digest_of_graph(graph))
    return digest.hexdigest()


def _digest_of_graph(graph: Graph) -> bytes:
    digest = hashlib.sha256(graph.to_proto().SerializeToString(deterministic=True))
    for name, value in sorted(graph.weights.items()):
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return digest.digest()
