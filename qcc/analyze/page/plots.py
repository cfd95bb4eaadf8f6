"""Plots as SVG inside a page; how they look is `style.css`'s."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qcc.analyze.page.elements import Html, joined, tag
from qcc.analyze.ranges import Range, Spread

_SMALL_WIDTH, _SMALL_HEIGHT = 128.0, 32.0
_WIDE, _HIGH, _LEFT, _BELOW = 720.0, 240.0, 40.0, 24.0
_MOST_CHANNELS = 128


def histogram(found: Range) -> Html:
    """The counts of an activation's magnitudes, their logarithm upwards, and the threshold behind which they
    are clipped."""
    highest = math.log1p(max(found.counts))
    step = _SMALL_WIDTH / len(found.counts)
    bars = [
        (index * step, step, _SMALL_HEIGHT * math.log1p(count) / highest if highest else 0.0)
        for index, count in enumerate(found.counts)
    ]
    parts = [_bars(bars, "bars")]
    words = f"from {found.smallest:.4g} to {found.largest:.4g}"
    if found.scale is not None:
        x = min(found.scale / found.width * step, _SMALL_WIDTH)
        parts.append(
            tag("rect", class_="beyond", x=_n(x), y=0, width=_n(_SMALL_WIDTH - x), height=_n(_SMALL_HEIGHT))
        )
        parts.append(tag("path", class_="threshold", d=f"M{_n(x)} 0V{_n(_SMALL_HEIGHT)}"))
        words += f"; clipped at {found.scale:.4g}, {found.clipped:.3%} of the values"
    return _small(f"histogram of magnitudes, {words}", *parts)


def channels(spread: Spread) -> Html:
    """The largest magnitude of each of a weight's channels, the largest first."""
    peaks = sorted(spread.peaks, reverse=True)
    if len(peaks) > _MOST_CHANNELS:
        peaks = [peaks[index * len(peaks) // _MOST_CHANNELS] for index in range(_MOST_CHANNELS)]
    step = _SMALL_WIDTH / len(peaks)
    bars = [(index * step, step, _SMALL_HEIGHT * peak / peaks[0]) for index, peak in enumerate(peaks)]
    return _small(
        f"largest weight of each of {len(spread.peaks)} channels, from {min(spread.peaks):.3g} to"
        f" {max(spread.peaks):.3g}",
        _bars(bars, "bars"),
    )


def depth(points: Sequence[tuple[str, str, float, float]]) -> Html:
    """Signal to noise along the network: for each op, in order, its link, its name, and the decibels of its
    output by itself and in the quantized network."""
    finite = [value for _, _, *both in points for value in both if math.isfinite(value)]
    if not finite:
        return Html("")
    low, high = min(0.0, *finite), max(10.0, *finite)
    step = (_WIDE - _LEFT) / max(len(points), 1)

    def y(value: float) -> float:
        return (_HIGH - _BELOW) * (high - min(max(value, low), high)) / (high - low)

    marks = range(math.ceil(low / 10) * 10, math.floor(high) + 1, 10)
    grid = [
        joined(
            tag("path", class_="grid", d=f"M{_n(_LEFT)} {_n(y(mark))}H{_n(_WIDE)}"),
            tag("text", f"{mark}", class_="axis", x=_n(_LEFT - 6), y=_n(y(mark) + 4), text_anchor="end"),
        )
        for mark in marks
    ]
    lines, dots = [], []
    for curve, name in ((0, "itself"), (1, "among")):
        values = [both[curve] for _, _, *both in points]
        spots = [(_LEFT + (index + 0.5) * step, y(value)) for index, value in enumerate(values)]
        lines.append(
            tag("path", class_=f"line {name}", d="M" + "L".join(f"{_n(x)} {_n(v)}" for x, v in spots))
        )
        dots += [
            tag(
                "a",
                tag(
                    "circle",
                    tag("title", f"{output}: {value:.1f} dB"),
                    cx=_n(x),
                    cy=_n(height),
                    r=4,
                    class_=name,
                ),
                href=f"#{row}",
            )
            for (row, output, *_), value, (x, height) in zip(points, values, spots, strict=True)
        ]
    below = tag("text", "from the network's input to its output", class_="axis", x=_n(_LEFT), y=_n(_HIGH - 6))
    return tag(
        "svg",
        tag("title", "signal to noise in decibels along the network"),
        *grid,
        *lines,
        *dots,
        below,
        class_="plot",
        viewBox=f"0 -8 {_n(_WIDE)} {_n(_HIGH + 8)}",
        role="img",
    )


def bar(share: float) -> Html:
    """A bar of a share of the width of a cell."""
    width = 64.0
    filled = width * min(max(share, 0.0), 1.0)
    return tag(
        "svg",
        tag("rect", class_="effect", width=_n(filled), height=6),
        class_="bar",
        viewBox=f"0 0 {_n(width)} 6",
        width=_n(width),
        height=6,
        aria_hidden="true",
    )


def _bars(bars: Sequence[tuple[float, float, float]], name: str) -> Html:
    d = "".join(
        f"M{_n(x)} {_n(_SMALL_HEIGHT)}v-{_n(high)}h{_n(width)}v{_n(high)}z" for x, width, high in bars if high
    )
    return tag("path", class_=name, d=d)


def _small(words: str, *parts: Html) -> Html:
    return tag(
        "svg",
        tag("title", words),
        *parts,
        class_="small",
        viewBox=f"0 0 {_n(_SMALL_WIDTH)} {_n(_SMALL_HEIGHT)}",
        width=_n(_SMALL_WIDTH),
        height=_n(_SMALL_HEIGHT),
        role="img",
    )


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
