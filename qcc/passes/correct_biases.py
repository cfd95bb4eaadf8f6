"""correct-biases: biases that take back what rounded weights do to the mean of a layer's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.entries import named_numbers
from qcc.passes.rewrite import is_weight


@options(frozen=True, config=OPTIONS)
class CorrectBiases(Pass):
    """Add to biases what rounding the weights takes from the mean of each output channel.

    Before:

        c = conv2d(Input=x, Filter=w)
        y = elementwise_add(X=c, Y=b)

    After, the same ops, with b + s for b.

    Rounding moves w by e, and the mean of `c` by e E[x]: s is that with its sign turned (Nagel et al. 2019,
    https://arxiv.org/abs/1906.04721, section 4.2, with means that were measured). `biases` has an entry for
    each `b`, such as "b=0.5 -0.25": a number for each of its values.
    """

    name: ClassVar[str] = "correct-biases"

    biases: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        shifts = dict(map(_parse, self.biases))
        for name, shift in shifts.items():
            if name not in graph or not is_weight(graph, graph.var(name)):
                raise PassError(f"biases names {name!r}, which is no weight of the graph.")
            size = graph.weights[name].size
            if size != shift.size:
                raise PassError(f"biases has {shift.size} numbers for {name!r}, which has {size} values.")
        for name, shift in shifts.items():
            value = graph.weights[name]
            graph.weights[name] = value + shift.reshape(value.shape)
        return PassResult(any(shift.any() for shift in shifts.values()))


def correcting(shifts: Mapping[str, np.ndarray]) -> CorrectBiases:
    """The pass that adds these float32 values to biases, by name, to three digits: its text is kept in what
    is saved."""
    entries = (
        f"{name}={' '.join(f'{value:.3g}' for value in shift.reshape(-1))}" for name, shift in shifts.items()
    )
    return CorrectBiases(biases=tuple(entries))


def _parse(entry: str) -> tuple[str, np.ndarray]:
    return named_numbers(entry, "biases", "bias=numbers, such as b=0.5 -0.25", np.float32)
