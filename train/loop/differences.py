"""How two sets of settings differ."""

from __future__ import annotations

from typing import Any


def changed_settings(before: Any, after: Any, key: str = "") -> list[str]:
    """One line for each setting that differs: `LearningRate.base_lr: 0.01 -> 0.001`."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        lines = []
        for name in sorted({*before, *after}):
            inner = f"{key}.{name}" if key else name
            lines += changed_settings(before.get(name), after.get(name), inner)
        return lines
    return [f"{key}: {before} -> {after}"]
