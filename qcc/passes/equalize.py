"""equalize: the channels between two layers brought to like ranges, by factors that cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass as options

from qcc.errors import PassError
from qcc.ir.graph import Graph
from qcc.passes.base import OPTIONS, Pass, PassResult, check_test_graph
from qcc.passes.channels import Gain, Layer, Link, links, operand_in
from qcc.passes.entries import named_numbers

_MOST = 24
_SWEEPS = 100
_FURTHEST = 100


@options(frozen=True, config=OPTIONS)
class Equalize(Pass):
    """Balance the ranges of channels between two layers.

    Before:

        c = conv2d(Input=x, Filter=w1)
        d = elementwise_add(X=c, Y=b)
        e = relu(X=d)
        y = conv2d(Input=e, Filter=w2)

    After, with a factor s per channel of `e`: w1 / s and b / s along the outputs, w2 * s along the inputs.
    The ops stay, and so does `y`; the channels of `c`, `d` and `e` are divided by s.

    A factor is a power of two, so that nothing is rounded: `y` is the same to the last bit. By default it is
    sqrt(r1 / r2), with r1 the largest weight of an output channel of w1, and r2 that of the input channel of
    w2 (Nagel et al. 2019, https://arxiv.org/abs/1906.04721, equation 11), repeated along chains until nothing
    changes. `octaves` says it otherwise, where ranges were measured: for a variable that a layer reads, such
    as "e=-3 0 1", of each channel the power of two below which the largest weight of w1 is to lie.

    Between the layers there may be products and sums with a weight, relu, leaky_relu, prelu, pooling,
    interpolation, and reshapes that only drop dimensions of size 1. Layers whose weight others read, too,
    stay, as does what a fetch sees. With `octaves`, such a product, a layer_norm or a batch_norm may stand
    for the first layer: its weight, which may be one number for all channels, becomes one for each
    (PaddleOCR's networks have it behind hard_swish; behind norms it is that of Xiao et al. 2022,
    https://arxiv.org/abs/2211.10438).
    """

    name: ClassVar[str] = "equalize"

    octaves: tuple[str, ...] = ()

    def apply(self, graph: Graph) -> PassResult:
        check_test_graph(self, graph)
        found = {link.var.name: link for link in links(graph, from_gains=bool(self.octaves))}
        if self.octaves:
            modified = _bring(graph, found, dict(map(_parse, self.octaves)))
        else:
            modified = _balance(graph, found)
        return PassResult(modified)


def octave(values: np.ndarray) -> np.ndarray:
    """The power of two below which each magnitude lies, as an exponent; 0 for a magnitude of 0."""
    return np.frexp(values)[1].astype(np.int64)


def _balance(graph: Graph, found: Mapping[str, Link]) -> bool:
    modified = False
    for _ in range(_SWEEPS):
        changed = False
        # One after the other: what a shift changes, the next one along the chain sees.
        for link in found.values():
            changed |= scale_channels(graph, link, _balancing(graph, link))
        modified |= changed
        if not changed:
            break
    return modified


def _balancing(graph: Graph, link: Link) -> np.ndarray:
    return balance(link.ranges(graph), read_ranges(graph, link))


def read_ranges(graph: Graph, link: Link) -> np.ndarray:
    """The largest weight that each channel of a link meets, in any layer that reads it: [channels]."""
    ranges = [one.input_ranges(graph.weights[one.operands.weight.name]) for one in link.last]
    return np.max(ranges, axis=0)


def balance(out: np.ndarray, read: np.ndarray) -> np.ndarray:
    """log2 of sqrt(out / read) for each channel, rounded; 0 for a channel where either is 0."""
    known = (out > 0) & (read > 0)
    ratio = np.where(known, out, 1.0) / np.where(known, read, 1.0)
    return np.clip(np.rint(0.5 * np.log2(ratio)), -_MOST, _MOST).astype(np.int64)


def _bring(graph: Graph, found: Mapping[str, Link], wanted: Mapping[str, np.ndarray]) -> bool:
    """Bring the weights of the first layers to these octaves."""
    for name, octaves in wanted.items():
        if name not in found:
            raise PassError(
                f"octaves names {name!r}, which is not read by layers alone, behind a layer and what factors"
                " pass through."
            )
        present = octaves_of(graph, found[name])
        if octaves.size != present.size:
            raise PassError(
                f"octaves has {octaves.size} numbers for {name!r}, which has {present.size} channels."
            )
        furthest = int(np.argmax(np.abs(present - octaves)))
        if abs(present[furthest] - octaves[furthest]) > _FURTHEST:
            raise PassError(
                f"octaves has {octaves[furthest]} for channel {furthest} of {name!r}, whose weights are at"
                f" {present[furthest]}; {_FURTHEST} octaves is the most, for float32 to hold what comes out."
            )
    modified = False
    # In their order: a layer's outputs are brought to theirs when its inputs have their factors.
    for name, link in found.items():
        if name in wanted:
            present = octaves_of(graph, link)
            empty = link.ranges(graph) == 0
            modified |= scale_channels(graph, link, np.where(empty, 0, present - wanted[name]))
    return modified


def octaves_of(graph: Graph, link: Link) -> np.ndarray:
    """The octave of the largest weight of each output channel of a link's first layer."""
    return octave(link.ranges(graph))


def scale_channels(graph: Graph, link: Link, shift: np.ndarray) -> bool:
    """Divide each channel between two layers by 2**shift; False where there is nothing to do."""
    if not shift.any():
        return False
    down, up = np.ldexp(1.0, -shift), np.ldexp(1.0, shift)
    scaled: list[tuple[Layer, np.ndarray | None, np.ndarray | None]] = [(one, None, up) for one in link.last]
    if isinstance(link.first, Gain):
        link.first.multiply(graph, down)
    else:
        scaled.append((link.first, down, None))
    for layer, outputs, inputs in scaled:
        name = layer.operands.weight.name
        graph.weights[name] = layer.scaled(graph.weights[name], outputs, inputs)
    for op in link.steps:
        addend = None
        if op.type == "elementwise_add":
            addend = operand_in(graph, op, shift.size, last_axis=link.last_axis)
        if addend is not None:
            addend.put(graph, addend.value * down)
    return True


def _parse(entry: str) -> tuple[str, np.ndarray]:
    return named_numbers(entry, "octaves", "variable=numbers, such as e=-3 0 1", np.int64)
