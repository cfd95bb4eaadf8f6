"""The one error for all ops of a program that Paddle 2.6 cannot express."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qcc.errors import ModelFormatError
from qcc.frontend.paddle3.program import Op

# So many different ones are told in full.
_MOST = 20


@dataclass(frozen=True)
class Refusal:
    op: Op
    reason: str


def refused(refusals: Sequence[Refusal], path: Path, version: int) -> ModelFormatError:
    """Each op by its name, where it stands (the layer that made it), why, and how often."""
    places: dict[tuple[str, str], list[str]] = {}
    for refusal in refusals:
        places.setdefault((refusal.op.name, refusal.reason), []).append(refusal.op.scope)
    told = [_told(name, reason, scopes) for (name, reason), scopes in list(places.items())[:_MOST]]
    more = f"; and {len(places) - _MOST} more" if len(places) > _MOST else ""
    count = "an op" if len(refusals) == 1 else f"{len(refusals)} ops"
    return ModelFormatError(
        f"{path} (a program of Paddle 3, PIR version {version}) has {count} that Paddle 2.6 cannot express:"
        f" {'; '.join(told)}{more}."
    )


def _told(name: str, reason: str, scopes: list[str]) -> str:
    others = len(scopes) - 1
    where = scopes[0] + (f" and {others} more time{'s' * (others > 1)}" if others else "")
    return f"{name} in {where} ({reason})"
