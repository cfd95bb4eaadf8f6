"""The page as a whole."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from qcc.analyze.findings import Analysis, OpFinding
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.network import Place, network
from qcc.analyze.page.plots import depth
from qcc.analyze.page.tables import float_rows, op_rows
from qcc.analyze.page.words import MINUS, TIMES, decibel, kilobytes, percent
from qcc.files import write_text
from qcc.ir.graph import Graph

_FEW_DECIBELS = (10.0, 20.0, 30.0, 40.0)


def write_page(analysis: Analysis, path: Path) -> None:
    """Write the page, as one change.  Raises OutputError."""
    write_text(path, html(analysis))


def html(analysis: Analysis) -> str:
    """The page's text.

    Nothing is loaded from anywhere, and the one style and the one script are let through by their digests
    alone, so that nothing else that got into the page would be run.
    """
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none';"
        " form-action 'none'"
    )
    rows = {one.layer.output: f"op-{number}" for number, one in enumerate(analysis.ops)}
    rows |= {one.output: f"float-{number}" for number, one in enumerate(analysis.floats)}
    looks = _looks(analysis)
    places = {name: Place(row, *looks[name]) for name, row in rows.items()}
    in_order = sorted(analysis.ops, key=_position(analysis.graph))
    points = [
        (rows[one.layer.output], one.layer.output, one.damage.both, one.damage.among) for one in in_order
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{analysis.title}, quantized"),
        Html(f"<style>{style}</style>"),
    )
    body = tag(
        "body",
        tag(
            "main",
            *_summary(analysis),
            *_plot(points),
            *_tables(analysis, places),
            *_picture(analysis.graph, places),
        ),
        Html(f"<script>{script}</script>"),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _asset(name: str) -> str:
    return files("qcc.analyze.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# ---------------------------------------------------------------------- the first screen


def _summary(analysis: Analysis) -> list[Html]:
    sizes = analysis.sizes
    tiles = [
        _tile(
            "output off by",
            percent(analysis.outcome.distance),
            "of its range, on average",
        ),
        *(
            _tile("same class", f"{one.same_class:.1%}", f"as the float model, {one.output}")
            for one in analysis.agreement
            if one.same_class is not None and one.output in analysis.graph.fetches
        ),
        _tile(
            "weights",
            f"{sizes['float'] / sizes['int8']:.1f} {TIMES} smaller",
            f"{kilobytes(sizes['float'])} float, {kilobytes(sizes['int8'])} in int8",
        ),
        _tile("in int8", f"{len(analysis.ops)} ops", _stays_float(analysis)),
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


def _stays_float(analysis: Analysis) -> str:
    if not analysis.floats:
        return "every convolution and product"
    reasons = Counter(one.how for one in analysis.floats).most_common()
    more = f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
    return f"{len(analysis.floats)} more stay float: {reasons[0][0]}{more}"


def verdict(analysis: Analysis) -> str:
    """In a sentence or two: how far off the network is, through which op, and what would help."""
    distance = analysis.outcome.distance
    worst = analysis.ops[0]
    words = f"Quantized, the output is off by {percent(distance)} of its range."
    if worst.effect is None:
        return (
            f"{words} The op whose output loses most by itself is the {_named(worst)}:"
            f" {decibel(worst.damage.channels)} dB of signal to noise, its channels counting alike."
        )
    measured = sum(one.effect is not None for one in analysis.ops)
    of = "" if measured == len(analysis.ops) else f" of the {measured} ops that were measured"
    words += (
        f" The {_named(worst)} costs most{of}: alone it puts the output off by {percent(worst.effect.alone)}."
    )
    best = min(analysis.ops, key=lambda one: math.inf if one.effect is None else one.effect.off)
    if best.effect is not None and best.effect.off < _MUCH * distance:
        words += (
            f" Left float, {best.layer.output} would bring the whole down to {percent(best.effect.off)}:"
            f" --skip-vars {best.layer.operands.weight.name}."
        )
    return words


_MUCH = 0.8
"""An op that stays float is worth a word when it takes a fifth off what the output is off by."""


def _named(one: OpFinding) -> str:
    return f"{one.layer.operands.op.type} of {one.layer.output}"


def _tile(name: str, value: str, more: str) -> Html:
    return tag("div", tag("b", name), tag("strong", value), tag("span", more), class_="tile")


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
        plot,
    ]


def _tables(analysis: Analysis, places: dict[str, Place]) -> list[Html]:
    found = [
        tag("h2", f"Quantized ops, the worst first, on {analysis.batches} batches"),
        tag(
            "div",
            tag("label", "find ", tag("input", type="search", id="filter", placeholder="name or op")),
            tag("span", id="count"),
            class_="tools",
        ),
        tag("div", op_rows(analysis, places), class_="scroll"),
    ]
    if analysis.floats:
        found += [
            tag("h2", "What stays float, and why"),
            tag("div", float_rows(analysis, places), class_="scroll"),
        ]
    return found


def _picture(graph: Graph, places: dict[str, Place]) -> list[Html]:
    looks = {place.look for place in places.values()}
    keys = [
        ("unmeasured", "in int8, effect not measured"),
        ("float", "a convolution or product that stays float"),
        ("other", "other ops"),
    ]
    scale = (tag("i", class_=f"key {look}") for look in reversed(_COLOURS))
    legend = tag(
        "p",
        tag("span", "in int8, and costs most ", *scale, " least"),
        *(tag("span", words, class_=f"key {look}") for look, words in keys if look in {*looks, "other"}),
        class_="legend",
    )
    buttons = tag(
        "span",
        *(
            tag("button", words, type="button", data_zoom=zoom)
            for words, zoom in ((MINUS, 0.8), ("+", 1.25), ("fit", 0))
        ),
        class_="zoom",
    )
    return [
        tag("h2", "The network", id="network"),
        tag("div", legend, buttons, class_="tools"),
        tag("div", network(graph, places), class_="canvas", id="canvas"),
    ]


def _position(graph: Graph) -> Callable[[OpFinding], int]:
    place = {op: number for number, op in enumerate(graph.ops)}
    return lambda one: place[one.layer.operands.op]


_COLOURS = ("best", "better", "middle", "worse", "worst")


def _looks(analysis: Analysis) -> dict[str, tuple[str, str]]:
    """The class of colour of each op with a weight, and words about it."""
    most = max((one.effect.alone for one in analysis.ops if one.effect is not None), default=0.0)
    found = {}
    for one in analysis.ops:
        if one.effect is not None and most > 0:
            share = one.effect.alone / most
            look = _COLOURS[min(int(5 * math.sqrt(max(share, 0.0))), 4)]
            words = f"alone it puts the output off by {percent(one.effect.alone)}"
        elif most > 0:
            look, words = "unmeasured", f"{decibel(one.damage.both)} dB by itself"
        else:
            look = _COLOURS[4 - sum(one.damage.channels > limit for limit in _FEW_DECIBELS)]
            words = f"{decibel(one.damage.channels)} dB by itself, channels alike"
        found[one.layer.output] = (look, f"int8: {words}")
    return found | {one.output: ("float", f"float: {one.how}") for one in analysis.floats}
