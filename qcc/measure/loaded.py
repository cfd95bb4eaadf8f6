"""Models that a command line names, loaded by an engine as `qcc bench` loads them, to be run on anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc.backends.engines.fed import fed
from qcc.backends.engines.runtime import Runtime
from qcc.errors import EngineError, GraphError
from qcc.measure.engines import ENGINES, Case, Running, find_cases
from qcc.measure.subjects import find_subjects


@dataclass(frozen=True)
class Loaded:
    """What stands for a `qcc.Model` where an engine runs it. `feeds`: names, in the model's order; `dtypes`:
    what they take, where it is known."""

    feeds: tuple[str, ...]
    running: Running
    dtypes: Mapping[str, np.dtype]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs, in the model's order; arrays that it is not fed with are not used.

        Raises GraphError where one is missing or of other elements, and what the engine raises.
        """
        missing = [name for name in self.feeds if name not in inputs]
        if missing:
            raise GraphError(
                f"the model is fed by {list(self.feeds)}, but the inputs given are {list(inputs)}."
            )
        return self.running.run(fed(self.feeds, self.dtypes, inputs, GraphError))


def cases_of(engine: str, path: Path, scratch: Path) -> list[Case]:
    """What an engine runs of the models that a path names; what is written for it goes to `scratch`.

    Raises ModelFormatError where there is no model, EngineError where the engine runs none of them.
    """
    found = find_cases([engine], find_subjects([path], scratch), scratch)
    cases = [one for one in found if isinstance(one, Case)]
    if not cases:
        reasons = dict.fromkeys(one.reason.rstrip(".") for one in found if not isinstance(one, Case))
        why = "; ".join(reasons) or "give its float, frozen or qdq form"
        raise EngineError(f"{path} does not run in {ENGINES[engine].name}: {why}.")
    return cases


@contextmanager
def loaded(case: Case, threads: int) -> Iterator[Loaded]:
    """The case in a process of its own, which ends with the block."""
    running = case.open(threads)
    try:
        names = tuple(feed.name for feed in case.subject.feeds)
        if not names:
            assert isinstance(running, Runtime)  # of an ONNX file, whose inputs the engine tells
            names = running.inputs
        yield Loaded(names, running, {feed.name: feed.dtype for feed in case.subject.feeds})
    finally:
        running.close()
