"""fold-constants: compute once what depends on no input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as options

from qcc._paddle import paddle, static_mode
from qcc.errors import PassError
from qcc.failures import PADDLE_FAILURES, reason
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.prune import SIDE_EFFECTS
from qcc.passes.rewrite import become_weight, is_fetched, is_weight

# Another result at every run.
_RANDOM = (
    "bernoulli",
    "class_center_sample",
    "dirichlet",
    "dropout",
    "dropout_nd",
    "exponential",
    "fused_dropout_add",
    "gaussian_inplace",
    "gaussian_random",
    "gaussian_random_batch_size_like",
    "graph_khop_sampler",
    "graph_sample_neighbors",
    "gumbel_softmax",
    "multinomial",
    "nce",
    "poisson",
    "randint",
    "random_crop",
    "randperm",
    "rrelu",
    "sampling_id",
    "seed",
    "shuffle_batch",
    "tdm_sampler",
    "top_p_sampling",
    "truncated_gaussian_random",
    "uniform_random",
    "uniform_random_batch_size_like",
    "uniform_random_inplace",
    "weighted_sample_neighbors",
)
# What is quantized stands as integers in the file, and is turned into floats by the op behind it.
_QUANTIZATION = ("fake_", "quantize_linear", "dequantize_linear")


@options(frozen=True, config=OPTIONS)
class FoldConstants(Pass):
    """Replace ops that depend on no input by weights that hold their results.

    Before:

        shape = fill_constant() {shape=[1, 4, 8], value=0.0}
        mask = set_value(Input=shape) {axes=[1], ends=[2], starts=[0], steps=[1], values=[5.0]}
        y = elementwise_add(X=x, Y=mask)

    After, with a weight `mask`:

        y = elementwise_add(X=x, Y=mask)

    Results of more than `max_elements` stay computed, since they would swell the file; so do random ones,
    what is fetched, and what quantizes or dequantizes a weight. Paddle's own kernels compute the results.
    """

    name: ClassVar[str] = "fold-constants"

    max_elements: Annotated[int, Field(ge=1)] = 1 << 20

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        return fold(graph, self.max_elements, lambda op: True)


def fold(graph: Graph, max_elements: int, wanted: Callable[[Op], bool]) -> PassResult:
    """Replace the constant ops that are `wanted`, and what only they need, by weights.

    Raises PassError when Paddle cannot compute them.
    """
    constant: dict[Op, None] = {}
    for op in graph.ops:
        if can_be_folded(graph, op) and all(
            is_weight(graph, var) or var.producer in constant for var in op.all_inputs()
        ):
            constant[op] = None
    chosen = {op for op in constant if wanted(op)}
    results = list(_results(constant, chosen))
    # What is declared as too large is not computed to see that it is; an open size makes a product negative.
    large = {var.producer for var in results if math.prod(var.shape) > max_elements}
    results = [var for var in results if var.producer not in large]
    needed = _needed(constant, results)
    values = dict(zip(results, compute(graph, needed, results), strict=True))
    large |= {var.producer for var, value in values.items() if value.size > max_elements}
    for var, value in values.items():
        if var.producer not in large:
            become_weight(graph, var, value)
    for op in reversed(needed):
        if graph.has_op(op) and op not in large and not any(var.consumers for var in op.all_outputs()):
            _remove(graph, op)
    folded = sum(not graph.has_op(op) for op in needed)
    notes = (f"{folded} op{'s' if folded > 1 else ''} without an input: computed once.",) if folded else ()
    return PassResult(bool(folded), notes)


def can_be_folded(graph: Graph, op: Op) -> bool:
    """Whether weights may take the place of what an op gives, if its inputs are known."""
    if op.type in SIDE_EFFECTS or op.type in _RANDOM or op.type.startswith(_QUANTIZATION):
        return False
    if op.has_block:
        return False
    outputs = list(op.all_outputs())
    return bool(outputs) and all(
        var.is_tensor
        # A parameter that every run writes anew, such as the weights that weight_norm computes.
        and (not var.persistable or var.name in graph.weights)
        and not is_fetched(graph, var)
        and len(graph.versions(var.name)) == 1
        for var in outputs
    )


def _results(constant: Mapping[Op, None], chosen: Set[Op]) -> Iterator[Var]:
    """What is read of the ops that go and have an output that those read which stay: all of it, since such an
    op goes as a whole, and what reads another output may be an op that has to stay."""
    for op in constant:
        if op in chosen:
            read = [var for var in op.all_outputs() if var.consumers]
            if any(reader not in chosen for var in read for reader in var.consumers):
                yield from read


def _needed(constant: Mapping[Op, None], results: Sequence[Var]) -> list[Op]:
    """The ops behind some results, in their order."""
    found: set[Op] = set()
    waiting = [var.producer for var in results]
    while waiting:
        op = waiting.pop()
        if op is not None and op not in found:
            found.add(op)
            waiting += [var.producer for var in op.all_inputs()]
    return [op for op in constant if op in found]


@static_mode()
def compute(
    graph: Graph, ops: Sequence[Op], results: Sequence[Var], fed: Mapping[str, np.ndarray] | None = None
) -> list[np.ndarray]:
    """What ops of a graph give in Paddle, where `fed` are the values of what they read and is no weight.

    Raises PassError when Paddle cannot compute it.
    """
    if not results:
        return []
    variables = dict.fromkeys(var for op in ops for var in (*op.all_inputs(), *op.all_outputs()))
    message = graph.shell.fill((op.desc for op in ops), (var.desc for var in variables))
    # No op of an inner block is computed here, and what those read is not given.
    del message.blocks[1:]
    for var in message.blocks[0].vars:
        var.need_check_feed = False  # what is fed may have fewer channels than are declared
    program = paddle.static.Program.parse_from_string(message.SerializeToString())
    scope = paddle.static.Scope()
    for var in variables:
        if var.persistable:
            scope.var(var.name).get_tensor().set(graph.weights[var.name], paddle.CPUPlace())
    try:
        found = paddle.static.Executor(paddle.CPUPlace()).run(
            program, feed=fed, fetch_list=[var.name for var in results], scope=scope
        )
    except PADDLE_FAILURES as error:
        raise PassError(f"what depends on no input cannot be computed: {reason(error)}.") from error
    return [np.asarray(value) for value in found]


def _remove(graph: Graph, op: Op) -> None:
    outputs = list(op.all_outputs())
    inputs = dict.fromkeys(op.all_inputs())
    graph.remove_op(op)
    for var in outputs:
        graph.remove_var(var)
    for var in inputs:
        if var.persistable and not var.consumers and var.name not in graph.fetches:
            graph.remove_var(var)
