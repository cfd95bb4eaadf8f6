"""Model: what users hold. A graph, and the record of what made it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from qcc._paddle import core, paddle, run_program, static_mode
from qcc.errors import GraphError, PaddleError
from qcc.failures import PADDLE_FAILURES, reason
from qcc.ir.dtypes import dtype_name
from qcc.ir.graph import Graph
from qcc.ir.weights import Weights
from qcc.passes.frozen import frozen_ops
from qcc.passes.scales import fresh_weight_scales


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
        """The program for `paddle.static.Executor`; its weights go into a scope by `write_weights`.

        Raises GraphError for a graph that has been lowered for another executor.
        """
        if self.graph.lowered_by is not None:
            raise GraphError(
                f"the model went through pass {self.graph.lowered_by!r}, whose result Paddle does not"
                " compute: run the model from before that pass."
            )
        return self.graph.to_program()

    def write_weights(self, scope: paddle.static.Scope, *, overwrite: bool) -> None:
        """Put the weights into a scope; without `overwrite` only those that the scope lacks."""
        for name, array in self.weights.items():
            if overwrite or not scope_holds(scope, name):
                scope.var(name).get_tensor().set(array, paddle.CPUPlace())

    def read_weights(
        self, scope: paddle.static.Scope, values: Mapping[str, np.ndarray] = MappingProxyType({})
    ) -> None:
        """Take the values that training has reached out of a scope, with weight scales that fit them.

        `values`, such as moving averages of the weights, stand in for those of the scope. The weight scales
        of a transformed graph are computed anew: those that training leaves in the scope are older than the
        weights by one step of the optimizer.

        Raises GraphError for a frozen model, whose weights are integers, and when the scope lacks a value or
        has one of another shape or dtype; the model is then left as it was.
        """
        if next(frozen_ops(self.graph), None) is not None:
            raise GraphError(
                "the model is frozen, and its weights are integers that no training moves: read the scope"
                " into the transformed model, and freeze that."
            )
        found = values_in_scope(scope, [name for name in self.weights if name not in values])
        found |= {name: values[name] for name in self.weights if name in values}
        for name, array in found.items():
            wanted = self.weights[name]
            if (array.shape, array.dtype) != (wanted.shape, wanted.dtype):
                raise GraphError(
                    f"the value of {name!r} is {array.dtype}{list(array.shape)}, and the model's is"
                    f" {wanted.dtype}{list(wanted.shape)}."
                )
        for name, array in found.items():
            self.weights[name] = array
        for name, array in fresh_weight_scales(self.graph).items():
            self.weights[name] = array

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the model on the CPU and return the fetched arrays in the order of `fetches`.

        INT8 weights, which Paddle's kernels do not take, are turned back into float32 first. Each
        call compiles anew: use `Runner` for many calls.  Raises GraphError for missing or unknown
        inputs, and for a model that `to_program` refuses; PaddleError for inputs on which Paddle does not
        compute it, such as images of another size than the layers take.
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
        self._declared = {
            name: f"{dtype_name(graph.var(name).dtype)}{list(graph.var(name).shape)}" for name in model.feeds
        }
        self._known = frozenset(var.name for var in graph.vars)
        self._program = runnable.to_program()
        self._scope = paddle.static.Scope()
        runnable.write_weights(self._scope, overwrite=True)
        # Paddle keeps every scope until the process ends.
        weakref.finalize(self, _clear, self._scope, tuple(runnable.weights)).atexit = False
        self._executor = paddle.static.Executor(paddle.CPUPlace())

    @static_mode()
    def run(self, inputs: Mapping[str, np.ndarray], fetches: tuple[str, ...] | None = None) -> list[Any]:
        """Arrays of `fetches` (any variables' names; by default the model's own) for these inputs.

        Raises GraphError for missing or unknown inputs and for unknown variables, and PaddleError, with
        Paddle's reason, what was fed and what is declared, when Paddle does not compute the model on them.
        """
        if not isinstance(inputs, Mapping):
            raise GraphError(
                f"the inputs are a {type(inputs).__name__}, where a mapping of an array for each feed is"
                f" wanted: {list(self._feeds)}."
            )
        missing = [name for name in self._feeds if name not in inputs]
        unknown = [name for name in inputs if name not in self._feeds]
        if missing or unknown:
            raise GraphError(
                f"the model is fed by {list(self._feeds)}, but the inputs given are {list(inputs)}."
            )
        wanted = list(self._fetches if fetches is None else fetches)
        unknown = [name for name in wanted if name not in self._known]
        if unknown:
            raise GraphError(f"the model has no variables {unknown} that could be fetched.")
        try:
            return run_program(self._executor, self._program, dict(inputs), wanted, self._scope)
        except PADDLE_FAILURES as error:
            fed = ", ".join(
                f"{name!r} with {np.asarray(value).dtype}{list(np.shape(value))}"
                f" (declared {self._declared[name]})"
                for name, value in inputs.items()
            )
            raise PaddleError(f"Paddle cannot run the model fed {fed}: {reason(error)}") from error
        finally:
            _release_feeds(self._scope, len(self._feeds))


@dataclass
class Compiled(Model):
    """A model that its first run prepares for all others, for code that calls `run` image by image; what is
    changed in it after that run does not reach the next one."""

    _runner: Runner | None = field(default=None, init=False, repr=False, compare=False)

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """As of `Model`."""
        if self._runner is None:
            self._runner = Runner(self)
        return self._runner.run(inputs)


def _release_feeds(scope: paddle.static.Scope, count: int) -> None:
    """Let go of the arrays that were fed: a scope keeps them, and Paddle keeps the scope."""
    for place in range(count):
        core.set_feed_variable(scope, _nothing(), "feed", place)


@cache
def _nothing() -> Any:
    """The smallest tensor, one for all: each would take a scope that Paddle keeps."""
    tensor = paddle.static.Scope().var("nothing").get_tensor()
    tensor.set(np.zeros(1, np.float32), paddle.CPUPlace())
    return tensor


def _clear(scope: paddle.static.Scope, names: Sequence[str]) -> None:
    """Free the memory of a scope's tensors."""
    for name in names:
        scope.find_var(name).get_tensor()._clear()


def values_in_scope(scope: paddle.static.Scope, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Copies of what a scope holds under these names.  Raises GraphError when it lacks some."""
    missing = [name for name in names if not scope_holds(scope, name)]
    if missing:
        raise GraphError(
            f"the scope has no value for {len(missing)} of {len(names)} variables"
            f" ({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''});"
            " run the startup program in this scope first, or load the weights into it."
        )
    return {name: np.array(scope.find_var(name).get_tensor()) for name in names}


def scope_holds(scope: paddle.static.Scope, name: str) -> bool:
    """True when the scope has an initialized tensor of this name."""
    var = scope.find_var(name)
    return var is not None and var.get_tensor()._is_initialized()
