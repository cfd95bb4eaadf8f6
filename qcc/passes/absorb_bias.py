"""absorb-bias: what a channel never falls below, moved from one layer's bias to the next one's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.channels import Link, bias_of, links


@options(frozen=True, config=OPTIONS)
class AbsorbBias(Pass):
    """Move high biases to the next layer.

    Before:

        c = conv2d(Input=x, Filter=w1)
        d = elementwise_add(X=c, Y=b1)
        e = relu(X=d)
        f = conv2d(Input=e, Filter=w2)
        y = elementwise_add(X=f, Y=b2)

    After, with what b1 has lost in h, b1 - h for b1, and b2 + sum(w2 * h) over inputs and places for b2.

    Where a channel of `d` is at least h, relu(d - h) + h = relu(d), and `y` is what it was, while `e`, which
    is quantized, needs a range that is smaller by h (Nagel et al. 2019,
    https://arxiv.org/abs/1906.04721, section 4.1.3). `biases` has an entry for each `e`, such as
    "e=0:1.5 7:0.25": channels, and what is left of their bias.

    Between bias and `f` stands a relu alone; layers that read zeros around their input are left alone, since
    at the edges they would add what the padding does not have.
    """

    name: ClassVar[str] = "absorb-bias"

    biases: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        wanted = dict(map(_parse, self.biases))
        found = {link.var.name: link for link in absorbing(graph)}
        for name, left in wanted.items():
            if name not in found:
                raise PassError(
                    f"biases names {name!r}, which is not a relu between two layers with biases, the second"
                    " one without padding."
                )
            bias = found[name].bias(graph)
            if bias is not None and max(left) >= bias.value.size:
                raise PassError(
                    f"biases has a number for channel {max(left)} of {name!r}, which has {bias.value.size}."
                )
        return PassResult(any([_absorb(graph, found[name], left) for name, left in wanted.items()]))


def absorbing(graph: Graph) -> list[Link]:
    """The links whose first layer's bias can move on."""
    return [
        link
        for link in links(graph)
        if [op.type for op in link.steps] == ["elementwise_add", "relu"]
        and not any(one.pads or bias_of(graph, one) is None for one in link.last)
    ]


def _absorb(graph: Graph, link: Link, left: Mapping[int, float]) -> bool:
    bias = link.bias(graph)
    if bias is None:
        raise PassError(f"{link.first.op} has no bias.")
    kept = bias.value.copy()
    kept[list(left)] = np.array(list(left.values()), np.float32)
    moved = bias.value - kept
    if not moved.any():
        return False
    bias.put(graph, kept)
    for one in link.last:
        onto = bias_of(graph, one)
        if onto is None:
            raise PassError(f"{one.op} has no bias.")
        weight = graph.weights[one.operands.weight.name].astype(np.float64)
        grouped = one.grouped(weight).sum(3)
        added = np.einsum("goi,gi->go", grouped, moved.astype(np.float64).reshape(one.groups, -1))
        onto.put(graph, onto.value + added.reshape(-1).astype(np.float32))
    return True


def _parse(entry: str) -> tuple[str, dict[int, float]]:
    name, mark, text = entry.rpartition("=")
    try:
        pairs = [word.split(":") for word in text.split()]
        left = {int(channel): float(value) for channel, value in pairs}
    except ValueError:
        left = {}
    if not mark or not name or not left or min(left) < 0 or not np.isfinite(list(left.values())).all():
        raise PassError(f"{entry!r} in biases is not of the form variable=channel:bias, such as e=0:1.5 7:2.")
    return name, left
