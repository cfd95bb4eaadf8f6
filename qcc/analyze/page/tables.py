"""The tables of a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qcc.analyze.findings import Analysis, OpFinding
from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.network import Place
from qcc.analyze.page.plots import bar, channels, histogram
from qcc.analyze.page.words import TIMES, decibel, number, percent

_COLUMNS = (
    ("op", "the op, the variable that it writes, and its bits: weight, activation"),
    ("alone", "how far the output is off when this op alone is quantized, in % of its range"),
    ("all but this", "how far the output is off when all ops are quantized but this one"),
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
    (
        "weight's channels",
        "how many times the middle channel's largest weight the largest one is; and all of them",
    ),
)


def op_rows(analysis: Analysis, places: Mapping[str, Place]) -> Html:
    """A row for each quantized op."""
    most = max((one.effect.alone for one in analysis.ops if one.effect is not None), default=0.0)
    shown = range(len(_COLUMNS)) if most > 0 else [n for n in range(len(_COLUMNS)) if n not in (1, 2)]
    columns = [_COLUMNS[n] for n in shown]
    rows = []
    for one in analysis.ops:
        place = places[one.layer.output]
        cells = _cells(one, place, most)
        rows.append(tag("tr", *(cells[n] for n in shown), id=place.row, class_=place.look))
    return tag(
        "table",
        tag(
            "thead",
            tag("tr", *(_header(name, words, sorted_=n == 0) for n, (name, words) in enumerate(columns))),
        ),
        tag("tbody", *rows),
        id="ops",
    )


def _header(name: str, words: str, *, sorted_: bool) -> Html:
    return tag("th", tag("button", name, type="button", title=words), scope="col")


def _cells(one: OpFinding, place: Place, most: float) -> list[Html]:
    layer, rounding, damage = one.layer, one.layer.rounding, one.damage
    bits = f"w{rounding.weight_bits} a{rounding.activation.bits}"
    kind = bits if rounding.per_channel else f"{bits}, one scale for all channels"
    name = tag(
        "th",
        tag("a", layer.output, href=f"#node-{place.row}", title="where it is in the network"),
        tag("small", f"{layer.operands.op.type} {kind}"),
        scope="row",
        data_value=layer.output,
    )
    alone = (
        Html("")
        if one.effect is None
        else joined(percent(one.effect.alone), bar(one.effect.alone / most if most else 0))
    )
    off = "" if one.effect is None else percent(one.effect.off)
    return [
        name,
        _cell(alone, None if one.effect is None else one.effect.alone),
        _cell(off, None if one.effect is None else one.effect.off),
        *(
            _cell(decibel(value), value)
            for value in (damage.both, damage.channels, damage.weight, damage.activation, damage.among)
        ),
        _cell(f"{damage.cosine:.5f}", damage.cosine),
        _cell(f"{one.range.clipped:.3%}", one.range.clipped),
        _cell(joined(histogram(one.range), tag("small", _limits(one))), one.range.largest),
        _cell(
            joined(channels(one.spread), tag("small", f"{TIMES} {number(one.spread.times)}")),
            one.spread.times,
        ),
    ]


def _limits(one: OpFinding) -> str:
    scale = "measured at every run" if one.range.scale is None else f"±{number(one.range.scale)}"
    return f"{number(one.range.smallest)} … {number(one.range.largest)}, {scale}"


def _cell(content: str, value: float | None) -> Html:
    known = value is not None and not math.isnan(value)
    return tag("td", content, data_value=repr(value) if known else None)


def float_rows(analysis: Analysis, places: Mapping[str, Place]) -> Html:
    """A row for each op with a weight that is not quantized."""
    rows: Sequence[Html] = [
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
        for one in analysis.floats
    ]
    head = tag(
        "tr", tag("th", "op", scope="col", class_="words"), tag("th", "why", scope="col", class_="words")
    )
    return tag("table", tag("thead", head), tag("tbody", *rows))
