"""Numbers as they are shown."""

from __future__ import annotations

import math

TIMES, MINUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}"


def percent(value: float) -> str:
    """A share: 0.0123 as 1.2 %."""
    if not math.isfinite(value):
        return "not finite"
    if 0 < abs(value) < 0.001:
        return f"{100 * value:.2g} %"
    return f"{100 * value:.{1 if abs(value) >= 0.1 else 2}f} %"


def decibel(value: float) -> str:
    """Decibels, without the unit."""
    if math.isinf(value):
        return "exact" if value > 0 else "not finite"
    return f"{value:.1f}"


def number(value: float) -> str:
    """Any number, in few digits."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def kilobytes(size: int) -> str:
    """A size in bytes."""
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
