"""What an analysis has found: of the network, and of each of its quantized ops, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qcc.analyze.inspection import OpStatus
from qcc.analyze.journal import Journal
from qcc.analyze.measure import ALONE, AMONG, BY_ITSELF, OFF, OUTPUT, key
from qcc.analyze.metric import Score, Scores
from qcc.analyze.ranges import Range, Spread
from qcc.analyze.twins import Layer, Twins
from qcc.calibrate.compare import Agreement
from qcc.files import all_finite, finite
from qcc.ir.graph import Graph
from qcc.numerics import decibels


@dataclass(frozen=True)
class Damage:
    """What rounding does to an op's output, as ratios of signal to noise in decibels: infinite where nothing
    is off.

    `weight`, `activation`, `both`: on the float network's input, when one of them is rounded, and when both
    are; `channels`: as `both`, with each of the output's channels counting alike, and at most as wholly lost.
    `among`: in the quantized network, against the float one; `cosine`: the cosine of the angle between
    the two there.
    """

    weight: float
    activation: float
    both: float
    channels: float
    among: float
    cosine: float

    @staticmethod
    def of(by_itself: np.ndarray, among: np.ndarray, batches: int) -> Damage:
        """From the sums over all batches of what `Measurement` measures."""
        signal, weight, activation, both, share = by_itself
        off, product, size = among
        norms = math.sqrt(signal * size)
        return Damage(
            decibels(signal, weight),
            decibels(signal, activation),
            decibels(signal, both),
            decibels(batches, share),
            decibels(signal, off),
            min(product / norms, 1.0) if norms else float(signal == size),
        )


@dataclass(frozen=True)
class Effect:
    """How far the network's output is from the float one's: `alone`, when only this op is quantized; `off`,
    when all are but this one. As in `Outcome.distance`."""

    alone: float
    off: float


@dataclass(frozen=True)
class OpFinding:
    """All that is known of a quantized op; `effect` and `score` are None where they were not measured."""

    layer: Layer
    damage: Damage
    range: Range
    spread: Spread
    effect: Effect | None
    score: Score | None = None

    def record(self) -> dict[str, Any]:
        """For programs."""
        layer, rounding = self.layer, self.layer.rounding
        return {
            "op": layer.operands.op.type,
            "output": layer.output,
            "activation": rounding.data,
            "weight": layer.operands.weight.name,
            "weight_shape": list(layer.weight.shape),
            "weight_bits": rounding.weight_bits,
            "per_channel": rounding.per_channel,
            "activation_bits": rounding.activation.bits,
            "sqnr_db": {name: finite(value) for name, value in vars(self.damage).items() if name != "cosine"},
            "cosine": finite(self.damage.cosine),
            "range": self.range.record(),
            "channel_peaks": list(map(finite, self.spread.peaks)),
            "effect": None if self.effect is None else {k: finite(v) for k, v in vars(self.effect).items()},
            "metric": None if self.score is None else vars(self.score),
        }


@dataclass(frozen=True)
class Outcome:
    """How far the quantized network's output is from the float one's, over all batches.

    `distance` is the mean difference relative to the range of the float values, of the head where it is
    largest; `by_head` has it for each.
    """

    distance: float
    by_head: Mapping[str, float]


@dataclass(frozen=True)
class Analysis:
    """What is told. `graph`: the float network; `facts`: of the model and the data, in order; `sizes`: as
    those of the function;
    `floats`: ops with a weight that are not quantized; `notes`: what a user should know; `scores`: of a
    metric, where one was computed."""

    title: str
    graph: Graph
    facts: Mapping[str, str]
    sizes: Mapping[str, int]
    agreement: Sequence[Agreement]
    outcome: Outcome
    ops: tuple[OpFinding, ...]
    floats: tuple[OpStatus, ...]
    batches: int
    notes: tuple[str, ...]
    scores: Scores | None = None

    def record(self) -> dict[str, Any]:
        """What report.json holds."""
        return {
            "model": self.title,
            "facts": dict(self.facts),
            "weight_bytes": dict(self.sizes),
            "batches": self.batches,
            "agreement": all_finite([vars(one) for one in self.agreement]),
            "metric": None if self.scores is None else vars(self.scores),
            "distance": finite(self.outcome.distance),
            "distances": {name: finite(value) for name, value in self.outcome.by_head.items()},
            "ops": [one.record() for one in self.ops],
            "float_ops": [
                {"op": one.type, "output": one.output, "weight": one.weight, "why": one.how}
                for one in self.floats
            ],
            "notes": list(self.notes),
        }


def outcome(journal: Journal, heads: Sequence[str], batches: int) -> Outcome:
    """How far the quantized network is off."""
    return _distance(
        journal, heads, batches, [_sums(_needed(journal, key(OUTPUT, n)), 5, 3) for n in range(batches)]
    )


def op_finding(
    journal: Journal, heads: Sequence[str], batches: int, layer: Layer, found: Range, measured: bool
) -> OpFinding:
    """What the journal has of an op; `measured`: its effects, too."""
    effect = None
    if measured:
        alone, off = (
            _distance(
                journal,
                heads,
                batches,
                [_sums(_needed(journal, key(what, n, layer)), 2, 0) for n in range(batches)],
            ).distance
            for what in (ALONE, OFF)
        )
        effect = Effect(alone, off)
    by_itself, among = (
        np.sum([_needed(journal, key(what, n, layer)) for n in range(batches)], axis=0)
        for what in (BY_ITSELF, AMONG)
    )
    return OpFinding(layer, Damage.of(by_itself, among, batches), found, Spread.of(layer), effect)


def sizes(twins: Twins) -> dict[str, int]:
    """Bytes of the weights of the float network, and of the quantized one as it is stored in int8."""
    weights, graph = twins.float_graph.weights, twins.float_graph
    used = {var.name for op in graph.ops for var in op.all_inputs() if var.name in weights}
    whole = sum(weights[name].nbytes for name in used)
    rounded = {layer.operands.weight.name: layer for layer in twins.layers}
    saved = sum(layer.weight.nbytes - layer.weight.size for layer in rounded.values())
    scales = sum(4 * layer.rounding.step.size + 4 for layer in rounded.values())
    return {"float": whole, "int8": whole - saved + scales}


def first_effect(journal: Journal, heads: Sequence[str], layer: Layer) -> float:
    """The effect that an op has alone on the first batch."""
    return _distance(journal, heads, 1, [_sums(_needed(journal, key(ALONE, 0, layer)), 2, 0)]).distance


def worst_first(found: Iterable[OpFinding]) -> tuple[OpFinding, ...]:
    """By the effect that an op has alone, then by what its output's channels lose by themselves."""
    return tuple(sorted(found, key=_badness))


def _badness(one: OpFinding) -> tuple[float, float]:
    alone = -math.inf if one.effect is None else one.effect.alone
    return (-alone, one.damage.channels)


def share_of(effect: float, most: float) -> float:
    """An effect as a share of the largest one; all of it where it is not finite."""
    if not math.isfinite(effect):
        return 1.0
    return effect / most if most else 0.0


def _needed(journal: Journal, name: str) -> list[float]:
    found = journal.get(name)
    assert found is not None
    return found


def _sums(numbers: Sequence[float], stride: int, place: int) -> list[float]:
    """The sum of the differences of each head."""
    return list(numbers[place::stride])


def _distance(
    journal: Journal, heads: Sequence[str], batches: int, sums: Sequence[Sequence[float]]
) -> Outcome:
    """Sums of differences, by batch and head, as the mean relative to the range of all that is expected."""
    outputs = np.array([_needed(journal, key(OUTPUT, n)) for n in range(batches)]).reshape(batches, -1, 5)
    counts, low, high = outputs[:, :, 0].sum(0), outputs[:, :, 1].min(0), outputs[:, :, 2].max(0)
    totals = np.sum(sums, axis=0)
    varies = np.where(high > low, high - low, np.maximum(np.maximum(np.abs(high), np.abs(low)), 1e-30))
    means = totals / np.maximum(counts, 1) / varies
    return Outcome(float(means.max(initial=0.0)), dict(zip(heads, map(float, means), strict=True)))
