"""How many random graphs a test makes: few in `make test`, more by a factor in `make test-random`."""

from __future__ import annotations

import atexit
import functools
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import event, settings

FACTOR = int(os.environ.get("QCC_RANDOM", "1"))
_graphs: Counter[str] = Counter()
_passes: dict[str, Counter[str]] = {}


def examples(short: int) -> Callable[[Any], Any]:
    """Settings of a test that takes `short` examples in `make test`; others, too, where it takes more."""

    def decorate(test: Any) -> Any:
        # What hypothesis runs for each example.
        inner = test.hypothesis.inner_test

        @functools.wraps(inner)
        def counted(*arguments: Any, **named: Any) -> None:
            inner(*arguments, **named)
            _graphs[inner.__name__] += 1

        test.hypothesis.inner_test = counted
        # `make test` takes the same graphs every time; otherwise pytest's --hypothesis-seed says which.
        return settings(max_examples=short * FACTOR, derandomize=FACTOR == 1)(test)

    return decorate


def note(step: str, modified: bool | None) -> None:
    """Count what a pass did to a random graph, for the statistics: None where it was refused."""
    told = "refused" if modified is None else "changed it" if modified else "nothing to do"
    event(f"{step}: {told}")
    _passes.setdefault(step, Counter())[told] += 1


def _write(path: Path) -> None:
    path.write_text(json.dumps({"graphs": sum(_graphs.values()), "passes": _passes}))


if wanted := os.environ.get("QCC_RANDOM_COUNTS"):
    atexit.register(_write, Path(wanted))
