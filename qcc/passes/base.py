"""What a pass is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict

from qcc.errors import PassError, QccError
from qcc.given_code import code_of_users
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op

OPTIONS = ConfigDict(extra="forbid", strict=False)
"""Pydantic's configuration of every pass: an unknown option is an error."""


@dataclass(frozen=True)
class PassResult:
    """What a pass did: whether it modified the graph, and what a user should know about it."""

    modified: bool
    notes: tuple[str, ...] = ()


class Pass(ABC):
    """One rewrite of a graph.

    A pass is a frozen dataclass (pydantic's checks the options' types) with a class-level `name`,
    one typed field per option, each with a default, and `apply`. The first line of its docstring is
    what `qcc passes` prints; the rest shows the IR before and after.

    The contract: `apply` reports truthfully whether it modified anything; it raises
    `qcc.errors.PassError`, naming op and reason, before its first edit, so that a graph is left as
    it was; a second run changes nothing or is refused.
    """

    name: ClassVar[str]
    backend: ClassVar[str | None] = None
    """The backend that the pass serves, such as "lite"; None for a pass of general use."""
    runs_in_paddle: ClassVar[bool] = True
    """Whether Paddle's executor computes what the pass makes. Where it does not, `PassManager` notes that in
    the graph, which then is to be looked at or lowered, and cannot be run or saved as a Paddle model."""

    @abstractmethod
    def apply(self, graph: Graph) -> PassResult:
        """Rewrite the graph in place."""


def code_of_pass(found: type[Pass], what: str, kind: type[QccError]) -> AbstractContextManager[None]:
    """For a block that calls a pass: what one of another package raises is one sentence, an error of this
    kind. What is wrong in one of qcc's own keeps its traceback."""
    own = found.__module__.partition(".")[0] == __name__.partition(".")[0]
    return nullcontext() if own else code_of_users(what, kind)


def check_free(graph: Graph, op: Op, names: Iterable[str]) -> None:
    """Raise PassError when a variable that a pass is about to make for an op is there already."""
    for name in names:
        if name in graph:
            raise PassError(f"{op} needs a new variable {name!r}, but the graph has one of that name.")


def check_test_graph(step: Pass, graph: Graph) -> None:
    """Raise PassError for a training graph, in which weights and norms change from step to step."""
    if not graph.for_test:
        raise PassError(f"{step.name} works on the test graph, and this is a training graph.")
