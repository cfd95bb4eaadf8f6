"""Models that a command line names, loaded by an engine as `qcc bench` loads them, to be run on anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qcc.backends.engines.fed import fed, fits
from qcc.backends.engines.runtime import Runtime
from qcc.errors import EngineError, GraphError, LiteRuntimeError, PaddleError
from qcc.measure.engines import ENGINES, Case, Running, find_cases
from qcc.measure.subjects import find_subjects


@dataclass(frozen=True)
class Loaded:
    """What stands for a `qcc.Model` where an engine runs it. `feeds`: names, in the model's order; `dtypes`
    and `shapes`: what they take, where it is known, with -1 for lengths that are open."""

    feeds: tuple[str, ...]
    running: Running
    dtypes: Mapping[str, np.dtype]
    shapes: Mapping[str, tuple[int, ...]]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs, in the model's order; arrays that it is not fed with are not used.

        Raises GraphError where one is missing or of other elements, and what the engine raises; of an array
        of another shape than the model is declared with, which some engines run, in words that name it.
        """
        missing = [name for name in self.feeds if name not in inputs]
        if missing:
            raise GraphError(
                f"the model is fed by {list(self.feeds)}, but the inputs given are {list(inputs)}."
            )
        given = fed(self.feeds, self.dtypes, inputs, GraphError)
        try:
            return self.running.run(given)
        except (EngineError, LiteRuntimeError, PaddleError) as error:
            unfit = [
                name
                for name, array in given.items()
                if name in self.shapes and not fits(array.shape, self.shapes[name])
            ]
            if not unfit:
                raise
            name = unfit[0]
            declared, found = self.shapes[name], given[name].shape
            open_lengths = ", with any length for -1" if -1 in declared else ""
            raise type(error)(
                f"{name!r} is of shape {list(found)}, which this engine does not run, and the model is"
                f" declared with {list(declared)}: give it that{open_lengths}, or save the model with open"
                " sizes."
            ) from error


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
        feeds = case.subject.feeds
        if feeds:
            names, shapes = tuple(feed.name for feed in feeds), {feed.name: feed.shape for feed in feeds}
        else:
            assert isinstance(running, Runtime)  # of an ONNX file, whose inputs the engine tells
            names, shapes = running.inputs, running.shapes
        yield Loaded(names, running, {feed.name: feed.dtype for feed in feeds}, shapes)
    finally:
        running.close()
