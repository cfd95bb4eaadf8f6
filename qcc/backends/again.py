"""A file on two inputs, one after the other: what it was checked on, and another size of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qcc.backends.agreement import Distance, furthest
from qcc.backends.apart import Wrong
from qcc.backends.judge import FROM_TIES, all_within, is_far, see_movements
from qcc.backends.reference import Reference
from qcc.backends.report import Check
from qcc.errors import EngineError, LiteRuntimeError, PaddleError

Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]
_REFUSALS = (EngineError, LiteRuntimeError, PaddleError)
_KEEP = "right where all inputs have the size that it was checked at; else evaluate it at yours"


@dataclass(frozen=True)
class Outcome:
    """Whether a file is right, in words."""

    right: bool
    words: str


@dataclass(frozen=True)
class Both:
    """What a file gives on a reference's sample, and then, in the same session, at the other size: the error
    where it refuses that, None where there is none."""

    outputs: list[np.ndarray]
    again: list[np.ndarray] | Exception | None


def weigh(
    found: Reference,
    seen: Sequence[Distance],
    wrong_op: Callable[[], Wrong | None],
    blame: Callable[[Wrong | None], str],
) -> Outcome:
    """Whether a run is right whose outputs are as far off as `seen`; where it is further than the model moves
    by itself, or far in any case, `wrong_op` runs its ops one by one, and `blame` says what is wrong."""
    words = f"{furthest(*seen)} on {found.sample.source}"
    if not all_within(seen, found.limits()):
        # How far ties move the outputs is in the limits from now on.
        see_movements(found)
    allowed = all_within(seen, found.limits())
    if allowed and not is_far(seen):
        return Outcome(True, words)
    wrong = wrong_op()
    if wrong is None and (allowed or found.moves_as_far(seen)):
        return Outcome(True, f"{words}, {FROM_TIES}")
    return Outcome(False, f"{words}, which is wrong: {blame(wrong)}")


def run_both(found: Reference, run: Run) -> Both:
    """Raises what `run` raises on the first sample."""
    outputs = run(found.sample.inputs)
    if found.again is None:
        return Both(outputs, None)
    try:
        return Both(outputs, run(found.again.sample.inputs))
    except _REFUSALS as error:
        return Both(outputs, error)


def with_other_size(
    check: Check,
    found: Reference,
    both: Both,
    judged: Callable[[Reference, list[np.ndarray]], Outcome],
) -> list[Check]:
    """A check that is good, and what came out at the other size, which `judged` judges: where that is wrong
    it is a check of its own, that is not good."""
    if found.again is None or both.again is None:
        return [check]
    try:
        if isinstance(both.again, Exception):
            raise both.again
        # At the one size the engine was right, so that how far it was off there is its noise.
        found.again.movements.append(found.distances(both.outputs))
        outcome = judged(found.again, both.again)
    except _REFUSALS as error:
        outcome = Outcome(False, f"it does not run: {str(error).rstrip('.')}")
    if outcome.right:
        return [replace(check, outcome=f"{check.outcome}; with {found.again.sizes}, {outcome.words}")]
    words = f"with {found.again.sizes}, after {found.sizes}, {outcome.words}; {_KEEP}"
    return [check, Check(f"{check.what}, at another size", words, good=False)]
