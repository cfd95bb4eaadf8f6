"""The pass manager: runs a pipeline, watched by instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from qcc.errors import PassError, QccError
from qcc.ir.collector import collector_paused
from qcc.ir.graph import Graph
from qcc.passes.base import Pass, PassResult, code_of_pass
from qcc.passes.instruments import Instrument, Verification
from qcc.passes.pipeline import build_pass, format_pass, parse_specs

if TYPE_CHECKING:
    from qcc.model import Model


@dataclass(frozen=True)
class PassManager(Pass):
    """Run passes one after the other; itself a pass, so that pipelines nest.

    `str(manager)` is the textual form, and parses back to an equal manager; a manager inside another is
    written as the passes that it runs. A manager without passes has no textual form.
    """

    name: ClassVar[str] = "pipeline"
    passes: tuple[Pass, ...] = ()

    @classmethod
    def parse(cls, text: str) -> PassManager:
        """A manager from a pipeline's text.  Raises PipelineError."""
        return cls(tuple(build_pass(spec) for spec in parse_specs(text)))

    def __str__(self) -> str:
        return ",".join(
            str(step) if isinstance(step, PassManager) else format_pass(step) for step in self.passes
        )

    def run(self, model: Model, instruments: Sequence[Instrument] = (Verification(),)) -> Model:
        """The model after all passes; the one given is left as it is.

        Instruments watch from outside; by default every pass is verified.  Raises PassError, or what
        else a pass or instrument raises, with the name of the pass in front; what a pass of another package
        raises is a PassError.
        """
        with collector_paused():
            graph = model.graph.copy()
            self.apply(graph, instruments)
        return replace(model, graph=graph, provenance=model.provenance.then(str(self)))

    def apply(self, graph: Graph, instruments: Sequence[Instrument] = (Verification(),)) -> PassResult:
        """Run all passes on a graph, in place."""
        for instrument in instruments:
            instrument.start(graph, self.passes)
        modified = False
        notes: list[str] = []
        for position, step in enumerate(self.passes):
            try:
                result = _run_step(step, graph, instruments)
            except QccError as error:
                raise type(error)(f"{self._where(position)}: {error}") from error
            modified |= result.modified
            notes += result.notes
        for instrument in instruments:
            instrument.finish(graph)
        return PassResult(modified, tuple(notes))

    def _where(self, position: int) -> str:
        done = ", ".join(step.name for step in self.passes[:position]) or "none"
        return (
            f"pass {self.passes[position].name!r} ({position + 1} of {len(self.passes)}; already run: {done})"
        )


def _run_step(step: Pass, graph: Graph, instruments: Sequence[Instrument]) -> PassResult:
    for instrument in instruments:
        instrument.before(step, graph)
    with collector_paused(), code_of_pass(type(step), "apply()", PassError):
        result = step.apply(graph)
    if not isinstance(result, PassResult):
        raise PassError(f"apply() returned {type(result).__name__}, where a PassResult is wanted.")
    if result.modified and not step.runs_in_paddle:
        graph.lowered_by = graph.lowered_by or step.name
    # In reverse, so that the first instrument stands outermost, before and after.
    for instrument in reversed(instruments):
        instrument.after(step, graph, result)
    return result
