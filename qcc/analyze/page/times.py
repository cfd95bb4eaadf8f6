"""The part of a page that has the times: what `qcc bench` measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.page.tables import scrolled
from qcc.measure.bench import Row, Spread, fastest
from qcc.measure.report import COLUMNS, cells, refusals, threads_of, verdicts
from qcc.shown import short_paths

_BAR, _STEP, _LEFT, _WIDTH, _RIGHT = 16.0, 24.0, 270.0, 360.0, 110.0
_LONGEST, _NAME = 28, 48
_WORDS, _MODEL = 3, 1
"""The first columns have words in them, the second one the model's name, the others numbers."""


def times(rows: Sequence[Row], facts: Mapping[str, str]) -> Html:
    """What was measured, by numbers of threads, and what of it is to be heard first."""
    told = [joined(tag("dt", name), tag("dd", value)) for name, value in facts.items()]
    parts = [
        tag("h2", "How long it takes", id="times"),
        *(tag("p", line, class_="verdict") for line in _heard(rows)),
        tag("dl", *told, class_="facts"),
    ]
    for threads in dict.fromkeys(row.threads for row in rows if row.cpu):
        ours = [row for row in rows if row.threads == threads and row.reason is None]
        parts += [
            tag("h3", threads_of(threads)),
            tag("div", _plot(ours), class_="wide"),
            scrolled(_table(ours)),
        ]
    left = [tag("li", line) for line in refusals(rows)]
    return joined(*parts, *([tag("ul", *left, class_="facts")] if left else []))


def _heard(rows: Sequence[Row]) -> Iterator[str]:
    """Where int8 pays, and where it does not."""
    for row in fastest(rows):
        if not row.is_slower:
            place, ratio = f"{row.engine}, {threads_of(row.threads)}", Spread.of(row.ratios).median
            yield f"{place}: int8 takes {ratio:.2f} times the CPU time of float."
    yield from verdicts(rows)


def _table(rows: Sequence[Row]) -> Html:
    looks = [*["words"] * _WORDS, *["figures"] * (len(COLUMNS) - _WORDS)]
    head = tag(
        "tr",
        *(
            tag("th", name, title=words, scope="col", class_=look)
            for (name, words), look in zip(COLUMNS.items(), looks, strict=True)
        ),
    )
    names = short_paths([row.subject.shown for row in rows if row.subject is not None], _NAME)
    lines = [tag("tr", *_cells(row, name)) for row, name in zip(rows, names, strict=True)]
    return tag("table", tag("thead", head), tag("tbody", *lines))


def _cells(row: Row, name: str) -> Iterator[Html]:
    """A row's cells, with a shorter name of the model."""
    for number, content in enumerate(cells(row)):
        words = "name" if number < _WORDS else None
        if number == _MODEL:
            yield tag("td", name, class_=words, title=content)
        else:
            yield tag("td", content, class_=words)


def _plot(rows: Sequence[Row]) -> Html:
    """The CPU time of a run of each, with its quartiles."""
    spreads = [Spread.of([seconds * 1000 for seconds in row.cpu]) for row in rows]
    scale = _WIDTH / max(one.third for one in spreads)
    names = short_paths([row.subject.shown for row in rows if row.subject is not None], _LONGEST)
    bars = [
        joined(*_bar(row, name, time, number * _STEP, scale))
        for number, (row, name, time) in enumerate(zip(rows, names, spreads, strict=True))
    ]
    width, height = _LEFT + _WIDTH + _RIGHT, _STEP * len(rows)
    return tag(
        "svg",
        tag("title", "CPU milliseconds of a run, with quartiles"),
        *bars,
        class_="times",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
    )


def _bar(row: Row, short: str, time: Spread, top: float, scale: float) -> Iterator[Html]:
    assert row.subject is not None
    look = "float" if not row.int8 else "slower" if row.is_slower else "int8"
    name = f"{row.engine}, {row.subject.shown}"
    ratio = f" ({Spread.of(row.ratios).median:.2f})" if row.ratios else ""
    first, third = _LEFT + time.first * scale, _LEFT + time.third * scale
    yield tag("text", f"{row.engine}, {short}", x=_LEFT - 6, y=f"{top + 12:.0f}", text_anchor="end")
    yield tag(
        "rect",
        tag("title", f"{name} ({row.subject.label}): {time.median:.3g} ms"),
        class_=look,
        x=_LEFT,
        y=f"{top:.0f}",
        width=f"{time.median * scale:.1f}",
        height=_BAR,
    )
    yield tag("path", class_="quartiles", d=f"M{first:.1f} {top + _BAR / 2:.1f}H{third:.1f}")
    yield tag("text", f"{time.median:.3g} ms{ratio}", x=f"{third + 6:.1f}", y=f"{top + 12:.0f}")
