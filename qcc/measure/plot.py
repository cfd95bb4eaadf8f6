"""A drawing of the times: a bar for each row, as an SVG file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qcc.measure.bench import Row, Spread
from qcc.shown import markup

_FLOAT, _INT8, _SLOWER = "#9aa5b1", "#2f7d4f", "#b3392f"
_BAR, _STEP, _TOP, _SIDE, _WIDTH, _TEXT = 16, 24, 48, 12, 420, 7


def plot(rows: Sequence[Row], title: str) -> str:
    """The CPU time of a run, with its quartiles, of what was measured: float grey, int8 green, and red where
    it is slower than float."""
    shown = [row for row in rows if row.cpu and row.reason is None]
    times = [Spread.of([seconds * 1000 for seconds in row.cpu]) for row in shown]
    names = [_name(row) for row in shown]
    left = _SIDE + _TEXT * max(map(len, names), default=0)
    scale = _WIDTH / max((one.third for one in times), default=1)
    width = max(left + _WIDTH + 140, 2 * _SIDE + _TEXT * len(title))
    height = _TOP + _STEP * len(shown) + _SIDE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_SIDE}" y="20" font-weight="bold">{markup(title)}</text>',
        f'<text x="{left}" y="38" fill="#555">CPU milliseconds of a run, with quartiles</text>',
    ]
    for number, (row, name, time) in enumerate(zip(shown, names, times, strict=True)):
        lines += _bar(row, name, time, left, _TOP + _STEP * number, scale)
    return "\n".join([*lines, "</svg>", ""])


def _bar(row: Row, name: str, time: Spread, left: float, top: int, scale: float) -> Iterator[str]:
    middle, text = top + _BAR / 2, top + _BAR - 4
    colour = _FLOAT if not row.int8 else _SLOWER if row.is_slower else _INT8
    first, third = left + time.first * scale, left + time.third * scale
    ratio = f" ({Spread.of(row.ratios).median:.2f})" if row.ratios else ""
    yield f'<text x="{left - 6}" y="{text}" text-anchor="end">{markup(name)}</text>'
    yield (
        f'<rect x="{left}" y="{top}" width="{time.median * scale:.1f}" height="{_BAR}" fill="{colour}">'
        f"<title>{markup(name)}: {time.median:.2f} ms</title></rect>"
    )
    yield f'<path d="M{first:.1f} {middle}H{third:.1f}" stroke="black"/>'
    yield f'<text x="{third + 6:.1f}" y="{text}">{time.median:.2f}{ratio}</text>'


def _name(row: Row) -> str:
    assert row.subject is not None
    threads = f", {row.threads} threads" if row.threads > 1 else ""
    return f"{row.engine}, {row.subject.shown} ({row.subject.label}){threads}"
