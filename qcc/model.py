"""Model: what users hold. A graph, and the record of what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qcc._paddle import paddle, static_mode
from qcc.errors import GraphError
from qcc.ir.graph import Graph
from qcc.ir.weights import Weights


@dataclass(frozen=True)
class Provenance:
    """How a model came to be; written beside every saved model.

    `source` is a digest of the program and weights that were loaded, `pipelines` the texts of the
    pipelines that ran since.
    """

    source: str | None = None
    pipelines: tuple[str, ...] = ()

    def then(self, pipeline: str) -> Provenance:
        return Provenance(self.source, (*self.pipelines, pipeline))


@dataclass
class Model:
    """A Paddle program with its weights, ready to be compiled, run or saved."""

    graph: Graph
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def feeds(self) -> tuple[str, ...]:
        """Names of the variables that a run must be given."""
        return self.graph.feeds

    @property
    def fetches(self) -> tuple[str, ...]:
        """Names of the variables that a run returns, in this order."""
        return self.graph.fetches

    @property
    def weights(self) -> Weights:
        """Values of the persistable variables: reads give read-only arrays, setting copies."""
        return self.graph.weights

    def copy(self) -> Model:
        """A model of its own that shares the weights' arrays until one side sets a new one."""
        return Model(self.graph.copy(), self.provenance)

    def to_program(self) -> paddle.static.Program:
        """The program for `paddle.static.Executor`; its weights go into a scope by `write_weights`."""
        return self.graph.to_program()

    def write_weights(self, scope: paddle.static.Scope, *, overwrite: bool) -> None:
        """Put the weights into a scope; without `overwrite` only those that the scope lacks."""
        for name, array in self.weights.items():
            if overwrite or not scope_holds(scope, name):
                scope.var(name).get_tensor().set(array, paddle.CPUPlace())

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the model on the CPU and return the fetched arrays in the order of `fetches`.

        INT8 weights, which Paddle's kernels do not take, are turned back into float32 first. Each
        call compiles anew: use `Runner` for many calls.  Raises GraphError for missing or unknown
        inputs.
        """
        return Runner(self).run(inputs)


class Runner:
    """A model prepared once for many runs; later changes of the model do not reach it."""

    def __init__(self, model: Model) -> None:
        from qcc.passes.unpack import Unpack

        graph = model.graph.copy()
        Unpack().apply(graph)
        runnable = Model(graph)
        self._feeds = model.feeds
        self._fetches = model.fetches
        self._program = runnable.to_program()
        self._scope = paddle.static.Scope()
        runnable.write_weights(self._scope, overwrite=True)
        self._executor = paddle.static.Executor(paddle.CPUPlace())

    @static_mode()
    def run(self, inputs: Mapping[str, np.ndarray], fetches: tuple[str, ...] | None = None) -> list[Any]:
        """Arrays of `fetches` (any variables' names; by default the model's own) for these inputs."""
        missing = [name for name in self._feeds if name not in inputs]
        unknown = [name for name in inputs if name not in self._feeds]
        if missing or unknown:
            raise GraphError(
                f"the model is fed by {list(self._feeds)}, but the inputs given are {list(inputs)}."
            )
        return list(
            self._executor.run(
                self._program,
                feed=dict(inputs),
                fetch_list=list(self._fetches if fetches is None else fetches),
                scope=self._scope,
            )
        )


def scope_holds(scope: paddle.static.Scope, name: str) -> bool:
    """True when the scope has an initialized tensor of this name."""
    var = scope.find_var(name)
    return var is not None and var.get_tensor()._is_initialized()
