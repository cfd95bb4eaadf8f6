"""The tables of a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from qcc.analyze.findings import Analysis, OpFinding, share_of
from qcc.analyze.inspection import OpStatus
from qcc.analyze.metric import Scores
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.network import Place
from qcc.analyze.page.plots import bar, channels, histogram
from qcc.analyze.page.words import TIMES, decibel, number, percent
from qcc.analyze.ranges import Spread
from qcc.analyze.twins import Layer
from qcc.shown import counted, metric_value

CHANNELS = (
    "weight's channels",
    "how many times the middle channel's largest weight the largest one is; and all of them",
)
_COLUMNS = (
    ("op", "the op, the variable that it writes, and its bits: weight, activation"),
    ("alone", "how far the output is off when this op alone is quantized, in % of its range"),
    ("all but this", "how far the output is off when all ops are quantized but this one"),
    ("metric, alone", "what the metric falls by when this op alone is quantized"),
    ("metric, all but this", "what the metric falls by when all ops are quantized but this one"),
    ("by itself", "signal to noise of its output in dB when its weight and its activation are rounded"),
    (
        "channels alike",
        "the same with each of its output's channels counting alike, and at most as wholly lost",
    ),
    ("weight", "by itself, when its weight alone is rounded"),
    ("activation", "by itself, when its activation alone is rounded"),
    ("in the network", "signal to noise of its output in the quantized network"),
    ("cosine", "of the angle between its output in the quantized and in the float network"),
    ("clipped", "the share of the activation's values beyond the threshold"),
    ("activation's values", "a histogram of magnitudes, and the threshold"),
    CHANNELS,
)


def op_rows(analysis: Analysis, places: Mapping[str, Place]) -> Html:
    """A row for each quantized op."""
    most = max((one.effect.alone for one in analysis.ops if one.effect is not None), default=0.0)
    hidden = {*(() if most > 0 else (1, 2)), *(() if analysis.scores is not None else (3, 4))}
    shown = [n for n in range(len(_COLUMNS)) if n not in hidden]
    columns = [_COLUMNS[n] for n in shown]
    rows = []
    for one in analysis.ops:
        place = places[one.layer.output]
        cells = _cells(one, place, most, analysis.scores)
        rows.append(tag("tr", *(cells[n] for n in shown), id=place.row, class_=place.look))
    return tag(
        "table",
        tag(
            "thead",
            tag("tr", *(header(name, words) for name, words in columns)),
        ),
        tag("tbody", *rows),
        id="ops",
    )


def header(name: str, words: str) -> Html:
    """The head of a column that can be sorted by, and words about it."""
    return tag("th", tag("button", name, type="button", title=words), scope="col")


def _cells(one: OpFinding, place: Place, most: float, scores: Scores | None) -> list[Html]:
    damage = one.damage
    alone = (
        Html("")
        if one.effect is None
        else joined(percent(one.effect.alone), bar(share_of(one.effect.alone, most)))
    )
    off = "" if one.effect is None else percent(one.effect.off)
    falls: list[float | None] = [None, None]
    if one.score is not None and scores is not None:
        falls = [scores.of_float - one.score.alone, scores.of_float - one.score.off]
    return [
        op_name(one.layer, place),
        cell(alone, None if one.effect is None else one.effect.alone),
        cell(off, None if one.effect is None else one.effect.off),
        *(cell("" if fall is None else metric_value(fall), fall) for fall in falls),
        *(
            cell(decibel(value), value)
            for value in (damage.both, damage.channels, damage.weight, damage.activation, damage.among)
        ),
        cell(f"{damage.cosine:.5f}", damage.cosine),
        cell(f"{one.range.clipped:.3%}", one.range.clipped),
        cell(joined(histogram(one.range), tag("small", _limits(one))), one.range.largest),
        spread_cell(one.spread),
    ]


def spread_cell(spread: Spread) -> Html:
    """A cell with the largest weights of all channels."""
    return cell(joined(channels(spread), tag("small", f"{TIMES} {number(spread.times)}")), spread.times)


def op_name(layer: Layer, place: Place) -> Html:
    """The head of an op's row, which leads to its place in the network."""
    rounding = layer.rounding
    bits = f"w{rounding.weight_bits} a{rounding.activation.bits}"
    kind = bits if rounding.per_channel else f"{bits}, one scale for all channels"
    return tag(
        "th",
        tag("a", layer.output, href=f"#node-{place.row}", title="where it is in the network"),
        tag("small", f"{layer.operands.op.type} {kind}"),
        scope="row",
        data_value=layer.output,
    )


def _limits(one: OpFinding) -> str:
    scale = "measured at every run" if one.range.scale is None else f"±{number(one.range.scale)}"
    return f"{number(one.range.smallest)} … {number(one.range.largest)}, {scale}"


def cell(content: str, value: float | None) -> Html:
    """A cell of a column that can be sorted by: what is shown, and the number, None where there is none."""
    known = value is not None and not math.isnan(value)
    return tag("td", content, data_value=repr(value) if known else None)


def left_float(floats: Sequence[OpStatus], places: Mapping[str, Place]) -> Html:
    """The part of a page that has the ops with a weight that are not quantized, a row for each."""
    rows = [
        tag(
            "tr",
            tag(
                "th",
                tag("a", one.output, href=f"#node-{places[one.output].row}"),
                tag("small", one.type),
                scope="row",
            ),
            tag("td", one.how, class_="words"),
            id=places[one.output].row,
        )
        for one in floats
    ]
    return joined(tag("h2", "What stays float, and why"), scrolled(table(("op", "why"), rows)))


def table(heads: Sequence[str], rows: Sequence[Html]) -> Html:
    """A table of words, which is not sorted."""
    head = tag("tr", *(tag("th", name, scope="col", class_="words") for name in heads))
    return tag("table", tag("thead", head), tag("tbody", *rows))


def scrolled(content: Html) -> Html:
    """A table in a frame that scrolls where the page is narrower; there the script shows the hint."""
    hint = tag("p", "scroll sideways for more \N{RIGHTWARDS ARROW}", class_="hint", hidden=True)
    return joined(hint, tag("div", content, class_="scroll", tabindex=0))


def stays_float(floats: Sequence[OpStatus]) -> str:
    """How many ops stay float, and the most common reason."""
    if not floats:
        return "every convolution and product"
    reasons = Counter(one.how for one in floats).most_common()
    more = f", and {counted(len(reasons) - 1, 'more reason')}" if len(reasons) > 1 else ""
    stay = "stays" if len(floats) == 1 else "stay"
    return f"{len(floats)} more {stay} float: {reasons[0][0]}{more}"


FILTER = tag(
    "div",
    tag("label", "find ", tag("input", type="search", id="filter", placeholder="name or op")),
    tag("span", id="count"),
    class_="tools",
)


def tile(name: str, value: str, more: str) -> Html:
    """A number that is seen first, and what it is."""
    return tag("div", tag("b", name), tag("strong", value), tag("span", more), class_="tile")
