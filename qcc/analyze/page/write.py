"""The page as a whole."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from glob import escape
from pathlib import Path
from types import MappingProxyType

from qcc.analyze.findings import Analysis, OpFinding, share_of
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.frame import Parts, page, read_page
from qcc.analyze.page.network import COLOURS, Place, network
from qcc.analyze.page.plots import depth
from qcc.analyze.page.tables import FILTER, left_float, op_rows, scrolled, stays_float, tile
from qcc.analyze.page.words import TIMES, decibel, kilobytes, percent
from qcc.files import write_text
from qcc.ir.graph import Graph
from qcc.shown import counted, metric_value

_FEW_DECIBELS = (10.0, 20.0, 30.0, 40.0)


def write_page(analysis: Analysis, path: Path, kept: str = "") -> bool:
    """Write the page, as one change; `kept`: a part that a page which is there keeps. Gives whether it had
    it.  Raises OutputError, also where the file that is there is no page of qcc and a part is to be kept."""
    parts = read_page(path)[1] if kept and path.exists() else {}
    found = {name: part for name, part in parts.items() if name == kept}
    write_text(path, html(analysis, found))
    return bool(found)


def html(analysis: Analysis, more: Parts = MappingProxyType({})) -> str:
    """The page's text, with the parts that another command has put in."""
    rows = {one.layer.output: f"op-{number}" for number, one in enumerate(analysis.ops)}
    rows |= {one.output: f"float-{number}" for number, one in enumerate(analysis.floats)}
    looks = _looks(analysis)
    places = {name: Place(row, *looks[name]) for name, row in rows.items()}
    in_order = sorted(analysis.ops, key=_position(analysis.graph))
    points = [
        (rows[one.layer.output], one.layer.output, one.damage.both, one.damage.among) for one in in_order
    ]
    parts = {
        "summary": joined(*_summary(analysis)),
        "signal": joined(*_plot(points)),
        "ops": joined(*_ops(analysis, places)),
        "network": network(analysis.graph, places),
    }
    if analysis.floats:
        parts["floats"] = left_float(analysis.floats, places)
    return page(f"{analysis.title}, quantized", {**parts, **more})


# ---------------------------------------------------------------------- the first screen


def _summary(analysis: Analysis) -> list[Html]:
    sizes = analysis.sizes
    tiles = [
        tile(
            "output off by",
            percent(analysis.outcome.distance),
            "of its range, on average",
        ),
        *(
            []
            if analysis.scores is None
            else [
                tile(
                    analysis.scores.name,
                    metric_value(analysis.scores.quantized),
                    f"{metric_value(analysis.scores.of_float)} in float",
                )
            ]
        ),
        *(
            tile("same class", f"{one.same_class:.1%}", f"as the float model, {one.output}")
            for one in analysis.agreement
            if one.same_class is not None and one.output in analysis.graph.fetches
        ),
        tile(
            "weights",
            f"{sizes['float'] / sizes['int8']:.1f} {TIMES} smaller",
            f"{kilobytes(sizes['float'])} float, {kilobytes(sizes['int8'])} in int8",
        ),
        tile("in int8", counted(len(analysis.ops), "op"), stays_float(analysis.floats)),
    ]
    facts = [joined(tag("dt", name), tag("dd", value)) for name, value in analysis.facts.items()]
    return [
        tag("h1", analysis.title),
        tag("p", verdict(analysis), class_="verdict"),
        tag("div", *tiles, class_="tiles"),
        *(
            [tag("ul", *(tag("li", note) for note in analysis.notes), class_="notes")]
            if analysis.notes
            else []
        ),
        tag("dl", *facts, class_="facts"),
    ]


def verdict(analysis: Analysis) -> str:
    """In a sentence or two: how far off the network is, through which op, and what would help."""
    distance = analysis.outcome.distance
    worst = analysis.ops[0]
    words = f"Quantized, the output is off by {percent(distance)} of its range."
    if worst.effect is None:
        words += (
            f" The op whose output loses most by itself is the {_named(worst)}:"
            f" {decibel(worst.damage.channels)} dB of signal to noise, its channels counting alike."
        )
        return f"{words} {told_scores(analysis)}".rstrip()
    measured = sum(one.effect is not None for one in analysis.ops)
    of = "" if measured == len(analysis.ops) else f" of the {measured} measured"
    words += (
        f" The {_named(worst)} costs most{of}: alone it puts the output off by {percent(worst.effect.alone)}."
    )
    best = min(analysis.ops, key=lambda one: math.inf if one.effect is None else one.effect.off)
    if best.effect is not None and best.effect.off < _MUCH * distance:
        words += (
            f" Left float, {best.layer.output} would bring the whole down to {percent(best.effect.off)}:"
            f" {_left_float(best)}."
        )
    return f"{words} {told_scores(analysis)}".rstrip()


def told_scores(analysis: Analysis) -> str:
    """What the metric gives, and which op that stays float would help it most; empty without a metric."""
    scores = analysis.scores
    if scores is None:
        return ""
    words = (
        f"{scores.name} gives {metric_value(scores.quantized)}, and {metric_value(scores.of_float)} in float"
    )
    known = [(one.score, one) for one in analysis.ops if one.score is not None]
    score, best = max(known, key=lambda pair: pair[0].off, default=(None, None))
    if score is None or best is None or score.off <= scores.quantized:
        return f"{words}."
    return f"{words}; with {best.layer.output} float it gives {metric_value(score.off)}: {_left_float(best)}."


_MUCH = 0.8
"""An op that stays float is worth a word when it takes a fifth off what the output is off by."""


def _left_float(one: OpFinding) -> str:
    """The option by which an op stays float; it takes globs."""
    return f"--skip-vars {shlex.quote(escape(one.layer.output))}"


def _named(one: OpFinding) -> str:
    return f"{one.layer.operands.op.type} of {one.layer.output}"


# ---------------------------------------------------------------------- plots, tables, the picture


def _plot(points: list[tuple[str, str, float, float]]) -> list[Html]:
    plot = depth(points)
    if not plot:
        return []
    legend = tag(
        "p",
        tag("span", "by itself", class_="key itself"),
        tag("span", "in the quantized network", class_="key among"),
        class_="legend",
    )
    return [
        tag("h2", "Signal to noise along the network, in decibels"),
        tag(
            "p",
            "Each op's output: what its own rounding does, and what is left in the quantized network. Where"
            " the first line falls, an op is hard to round; where only the second falls, the errors of ops"
            " before it add up. 40 dB is off by 1 %, 20 dB by 10 %.",
        ),
        legend,
        tag("div", plot, class_="wide"),
    ]


def _ops(analysis: Analysis, places: dict[str, Place]) -> list[Html]:
    on = "a batch" if analysis.batches == 1 else f"{analysis.batches} batches"
    return [
        tag("h2", f"Quantized ops, the worst first, on {on}"),
        FILTER,
        scrolled(op_rows(analysis, places)),
    ]


def _position(graph: Graph) -> Callable[[OpFinding], int]:
    place = {op: number for number, op in enumerate(graph.ops)}
    return lambda one: place[one.layer.operands.op]


def _looks(analysis: Analysis) -> dict[str, tuple[str, str]]:
    """The class of colour of each op with a weight, and words about it."""
    most = max((one.effect.alone for one in analysis.ops if one.effect is not None), default=0.0)
    found = {}
    for one in analysis.ops:
        if one.effect is not None and most > 0:
            look = COLOURS[min(int(5 * math.sqrt(share_of(one.effect.alone, most))), 4)]
            words = f"alone it puts the output off by {percent(one.effect.alone)}"
        elif most > 0:
            look, words = "unmeasured", f"{decibel(one.damage.both)} dB by itself"
        else:
            look = COLOURS[4 - sum(one.damage.channels > limit for limit in _FEW_DECIBELS)]
            words = f"{decibel(one.damage.channels)} dB by itself, channels alike"
        found[one.layer.output] = (look, f"int8: {words}")
    return found | {one.output: ("float", f"float: {one.how}") for one in analysis.floats}
