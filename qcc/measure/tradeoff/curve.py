"""What a search has tried, as a record for programs and as a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qcc import __version__
from qcc.files import finite
from qcc.measure.bench import Spread
from qcc.measure.engines import ENGINES
from qcc.measure.report import machine
from qcc.measure.tradeoff.search import Goal, Outcome, Tried
from qcc.shown import markup
from qcc.targets.processor import int8_instructions, processor

_FLOAT, _TRIED, _CHOSEN, _LIMIT = "#9aa5b1", "#6b8fb3", "#2f7d4f", "#b3392f"
_LEFT, _TOP, _WIDTH, _HEIGHT, _SIDE, _BOTTOM = 64, 68, 520, 300, 24, 48
_MARKS = 4


@dataclass(frozen=True)
class Curve:
    """An outcome, and of what it is. `layers`: all that are quantized; `wanted`: what else had to hold."""

    outcome: Outcome
    layers: tuple[str, ...]
    goal: Goal
    engine: str
    target: str
    inputs: str
    wanted: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """Everything, for JSON; times in milliseconds of the processor."""
        return {
            "qcc": __version__,
            "processor": processor(),
            "int8_instructions": int8_instructions(),
            "engine": ENGINES[self.engine].title,
            "target": self.target,
            "inputs": self.inputs,
            "threads": 1,
            "batch": 1,
            "no_slower": self.goal.no_slower,
            "max_latency_ms": None if self.goal.seconds is None else self.goal.seconds * 1000,
            **self.wanted,
            "met": self.outcome.met,
            "interrupted": self.outcome.interrupted,
            "layers": list(self.layers),
            "candidates": [self._content(one) for one in self.outcome.tried],
        }

    def _content(self, one: Tried) -> dict[str, Any]:
        return {
            "what": one.what,
            "int8_ops": len(self.layers) - len(one.floats),
            "float_layers": [layer for layer in self.layers if layer in one.floats],
            "cpu_ms": _spread([seconds * 1000 for seconds in one.seconds]),
            "cpu_to_float": _spread(one.ratios),
            "agreement": None if one.agreement is None else finite(one.agreement),
            "value": None if one.value is None else finite(one.value),
            "reason": one.reason,
            "chosen": self._is_chosen(one),
        }

    def _is_chosen(self, one: Tried) -> bool:
        return one.floats == self.outcome.chosen.floats

    def _is_float(self, one: Tried) -> bool:
        return len(one.floats) == len(self.layers)

    def drawing(self) -> str:
        """The candidates as points, as an SVG file: time to the right, and up how far they agree with the
        float model, or, where nobody has measured that, how many layers are in int8.

        Times are relative to the float model in the same turns, since a busy machine is slower at some
        moments than at others; where the goal is a latency, which is absolute, they are milliseconds."""
        shown = [one for one in self.outcome.tried if one.seconds]
        agree = all(one.agreement is not None for one in shown)
        ups = [one.agreement or 0.0 if agree else float(len(self.layers) - len(one.floats)) for one in shown]
        limit = None if self.goal.seconds is None else self.goal.seconds * 1000
        if limit is None:
            times = [1.0 if self._is_float(one) else one.ratio for one in shown]
            (of_float,) = (one for one in shown if self._is_float(one))
            unit = f"CPU time of a run, relative to the float model&#x27;s {of_float.time * 1000:.3g} ms"
        else:
            times, unit = [one.time * 1000 for one in shown], "CPU milliseconds of a run"
        right = _Axis.of([*times, *([] if limit is None else [limit])], _LEFT, _LEFT + _WIDTH)
        up = _Axis.of(ups, _TOP + _HEIGHT, _TOP)
        width, height = _LEFT + _WIDTH + _SIDE, _TOP + _HEIGHT + _BOTTOM
        label = "agreement with the float model" if agree else "layers in int8"
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            ' font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="12" y="20" font-weight="bold">{markup(ENGINES[self.engine].title)}</text>',
            f'<text x="12" y="38" fill="#555">{markup(machine())}</text>',
            f'<text x="12" y="56" fill="#555">{label}</text>',
            f'<text x="{_LEFT + _WIDTH}" y="{height - 8}" text-anchor="end" fill="#555">{unit}</text>',
            f'<path d="M{_LEFT} {_TOP}V{_TOP + _HEIGHT}H{_LEFT + _WIDTH}" fill="none" stroke="black"/>',
            *(_below(place, value) for place, value in right.marks()),
            *(_beside(place, value, agree) for place, value in up.marks()),
        ]
        if limit is not None:
            place = right.at(limit)
            lines.append(
                f'<path d="M{place:.1f} {_TOP}V{_TOP + _HEIGHT}" stroke="{_LIMIT}" stroke-dasharray="4 3">'
                f"<title>--max-latency {limit:g}</title></path>"
            )
        # What was chosen comes last, on top.
        order = sorted(range(len(shown)), key=lambda number: self._is_chosen(shown[number]))
        lines += [self._point(shown[number], right.at(times[number]), up.at(ups[number])) for number in order]
        return "\n".join([*lines, "</svg>", ""])

    def _point(self, one: Tried, x: float, y: float) -> str:
        chosen, is_float = self._is_chosen(one), self._is_float(one)
        colour = _CHOSEN if chosen else _FLOAT if is_float else _TRIED
        agreement = "" if one.agreement is None else f", agreement {one.agreement:.2%}"
        told = f"{one.what}: {one.time * 1000:.2f} ms, {one.ratio:.2f} of float{agreement}"
        words = "chosen" if chosen else "float" if is_float else ""
        text = f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{words}</text>' if words else ""
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{6 if chosen else 4}" fill="{colour}">'
            f"<title>{markup(told)}</title></circle>{text}"
        )


@dataclass(frozen=True)
class _Axis:
    """Values from `low` to `high` on a line from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: list[float], start: float, end: float) -> _Axis:
        low, high = min(values), max(values)
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        return cls(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def marks(self) -> Iterator[tuple[float, float]]:
        """Places and values of a few marks."""
        for part in range(_MARKS):
            value = self.low + (self.high - self.low) * (part + 0.5) / _MARKS
            yield self.at(value), value


def _below(place: float, value: float) -> str:
    return f'<text x="{place:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{value:.3g}</text>'


def _beside(place: float, value: float, share: bool) -> str:
    text = f"{value:.1%}" if share else f"{value:.0f}"
    return f'<text x="{_LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{text}</text>'


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    return asdict(Spread.of(values)) if values else None
