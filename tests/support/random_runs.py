"""How many random graphs a test makes: few in `make test`, more by a factor in `make test-random`."""

from __future__ import annotations

import os

from hypothesis import event, settings

FACTOR = int(os.environ.get("QCC_RANDOM", "1"))


def examples(short: int) -> settings:
    """Settings of a test that takes `short` examples in `make test`; others, too, where it takes more."""
    return settings(max_examples=short * FACTOR)


def note(step: str, modified: bool | None) -> None:
    """Count what a pass did to a random graph, for the statistics: None where it was refused."""
    event(f"{step}: {'refused' if modified is None else 'changed it' if modified else 'nothing to do'}")
