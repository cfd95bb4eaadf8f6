"""channel-steps: in front of an activation, each channel is rounded in steps of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op, Var
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.channels import Constant, Layer, bias_of, layers, output_channels
from qcc.passes.entries import named_numbers
from qcc.passes.out_thresholds import ATTRIBUTE
from qcc.passes.rewrite import free_name, only_reader, slot_of

OWN_STEPS = "own_steps"
"""The attribute of a product that takes the octaves of channels back: what folds products into the layer
before asks for it."""

FLAT_BELOW: Mapping[str, float] = MappingProxyType(
    {"hard_swish": 3.0, "swish": 6.0, "gelu": 3.0, "mish": 6.0}
)
"""The activations that channels are divided in front of. Below minus this they give zero, or less than the
half of a step that reaches there."""

_MOST = 24


@options(frozen=True, config=OPTIONS)
class ChannelSteps(Pass):
    """Divide the channels that a convolution writes by powers of two, and multiply them again in front of the
    activation.

    Before:

        c = conv2d(Input=x, Filter=w)
        d = elementwise_add(X=c, Y=b)
        e = hard_swish(X=d)

    After, with octaves=["d=0 2"], w and b of the second channel being a quarter of what they were:

        c = conv2d(Input=x, Filter=w)
        d.level = elementwise_add(X=c, Y=b)
        d = elementwise_mul(X=d.level, Y=d.steps) {axis=1, own_steps=true}
        e = hard_swish(X=d)

    An engine that rounds what a convolution writes, behind its bias and with one scale for all channels, then
    rounds each in its own steps. `d` is the same to the last bit; whoever folds products into convolutions
    for such an engine leaves those with `own_steps`.
    """

    name: ClassVar[str] = "channel-steps"

    octaves: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        found = {one.var.name: one for one in in_front_of_activations(graph)}
        wanted = [_parse(entry) for entry in self.octaves]
        for name, octaves in wanted:
            if name not in found:
                raise PassError(
                    f"octaves has an entry for {name!r}, which no convolution writes for one activation alone"
                    f" ({', '.join(FLAT_BELOW)})."
                )
            if np.abs(octaves).max() > _MOST:
                raise PassError(f"octaves has {np.abs(octaves).max()} for {name!r}; {_MOST} is the most.")
            if octaves.size != found[name].channels:
                raise PassError(
                    f"octaves has {octaves.size} numbers for {name!r}, which has {found[name].channels}"
                    " channels."
                )
        for name, octaves in wanted:
            _insert(graph, found[name], octaves)
        return PassResult(any(octaves.any() for _, octaves in wanted))


@dataclass(frozen=True)
class Written:
    """What a convolution writes (`var`), behind its `bias`, if any, for an activation alone."""

    layer: Layer
    bias: Constant | None
    var: Var
    activation: Op
    channels: int


def in_front_of_activations(graph: Graph) -> Iterator[Written]:
    """All of them, in order."""
    for one in layers(graph):
        if one.is_matrix or one.op.inputs.get("Bias"):
            continue
        bias = bias_of(graph, one)
        var = one.operands.output if bias is None else bias.op.output("Out")
        activation = only_reader(graph, var)
        single = len(graph.versions(var.name)) == 1
        if single and activation is not None and activation.type in FLAT_BELOW:
            yield Written(one, bias, var, activation, output_channels(graph, one))


def _insert(graph: Graph, found: Written, octaves: np.ndarray) -> None:
    if not octaves.any():
        return
    down, up = np.ldexp(1.0, -octaves), np.ldexp(1.0, octaves).astype(np.float32)
    weight = found.layer.operands.weight.name
    graph.weights[weight] = found.layer.scaled(graph.weights[weight], down, None)
    if found.bias is not None:
        found.bias.put(graph, found.bias.value * down)
    var, writes = found.var, found.var.producer
    assert writes is not None
    level = graph.add_var_like(free_name(graph, var.name, ".level"), var)
    graph.set_output(writes, slot_of(writes, var), [level])
    graph.remove_attr(writes, ATTRIBUTE)  # a scale of what it wrote
    steps = graph.add_var(free_name(graph, var.name, ".steps"), "float32", up.shape, up)
    product = graph.add_op(
        "elementwise_mul",
        {"X": level, "Y": steps},
        {"Out": var},
        {"axis": 1, "op_role": 0},
        before=found.activation,
    )
    graph.set_flag(product, OWN_STEPS, True)


def _parse(entry: str) -> tuple[str, np.ndarray]:
    return named_numbers(entry, "octaves", "variable=numbers, such as d=-3 0 1", np.int64)
