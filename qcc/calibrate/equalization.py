"""Which passes equalize the channels of a network, by what was measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from qcc.calibrate.activations import largest_magnitudes
from qcc.calibrate.collect import Numbered
from qcc.calibrate.moments import ChannelRanges, Moments, measure
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.passes.absorb_bias import AbsorbBias, absorbing
from qcc.passes.base import Pass
from qcc.passes.channel_gains import ChannelGains
from qcc.passes.channels import Link, links, unlinked
from qcc.passes.entries import as_entries
from qcc.passes.equalize import Equalize, octaves_of, scale_channels
from qcc.passes.relax_relu6 import RelaxRelu6

_DEVIATIONS = 3.0
"""How far below its mean a channel is taken to fall, in standard deviations (Nagel et al. 2019, section
4.1.3)."""

MUCH = 4
"""How many octaves further than others a channel has to move for all to be equalized again."""

MOST_OCTAVES = 16
"""A channel is made at most 2**16 times larger: what was nearly zero on the data may not be so elsewhere."""


def equalizing(model: Model, batches: Sequence[Numbered]) -> tuple[Pass, ...]:
    """The passes that equalize, through each relu6 that stays below its limit on all batches, too; none where
    no two layers follow each other that allow it."""
    relaxed = _below_limit(model, batches)
    relaxing = (RelaxRelu6(variables=tuple(relaxed)),) if relaxed else ()
    graph = model.graph.copy()
    for one in relaxing:
        one.apply(graph)
    octaves = balanced_octaves(model, graph, batches)
    return (*relaxing, with_octaves(octaves)) if octaves else ()


def gaining(model: Model, batches: Sequence[Numbered], wanted: Collection[str]) -> tuple[Pass, ...]:
    """The passes that equalize the wanted ones of what layers read, by products that are put in where no
    factor passes; none where that is nowhere."""
    names = tuple(one.var.name for one in unlinked(model.graph) if one.var.name in wanted)
    graph = model.graph.copy()
    ChannelGains(variables=names).apply(graph)
    octaves = balanced_octaves(model, graph, batches, names)
    return (ChannelGains(variables=tuple(octaves)), with_octaves(octaves)) if octaves else ()


def balanced_octaves(
    model: Model, graph: Graph, batches: Iterable[Numbered], only: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """The octaves of the pass `equalize`, by variable, that bring the channels of `graph` to like ranges,
    or `only` of what these layers read; it computes what the model does, which is run on the batches, and is
    changed."""
    found = [link for link in links(graph, from_gains=True) if only is None or link.var.name in only]
    ranges = ChannelRanges({link.var.name: link.last_axis for link in found})
    measure(model, ranges, batches)
    changed = [
        link
        for link in found
        if scale_channels(graph, link, _shift(graph, link, ranges.largest(link.var.name)))
    ]
    return {link.var.name: octaves_of(graph, link) for link in changed}


def revised_octaves(
    graph: Graph,
    largest: Mapping[str, np.ndarray],
    gained: Sequence[str] = (),
    drowns: Callable[[str], bool] = lambda name: True,
) -> dict[str, np.ndarray]:
    """The octaves that bring the channels of an equalized graph, which is changed, to like ranges, where some
    are much larger, beside others, than what it was equalized by, and one scale `drowns` these, or where
    products are put behind `gained` variables; none otherwise. `largest`: the largest magnitude of each
    channel of what layers read, by its name, as far as it is known."""
    ChannelGains(variables=tuple(gained)).apply(graph)
    found = list(links(graph, from_gains=True))
    shifts = {link: _shift(graph, link, largest[link.var.name]) for link in found if link.var.name in largest}
    moved = (link.var.name for link, shift in shifts.items() if np.ptp(shift) >= MUCH)
    if not gained and not any(drowns(name) for name in moved):
        return {}
    for link, shift in shifts.items():
        scale_channels(graph, link, shift)
    # Of the others, too: what they were brought to stays.
    return {link.var.name: octaves_of(graph, link) for link in found}


def with_octaves(octaves: Mapping[str, np.ndarray]) -> Equalize:
    """The pass that brings channels to these octaves."""
    return Equalize(octaves=as_entries(octaves))


def _below_limit(model: Model, batches: Sequence[Numbered]) -> list[str]:
    """The outputs of relu6 that stay below its limit on all batches."""
    limits = {
        op.output("Out").name: float(op.attr("threshold", 6.0))
        for op in model.graph.ops
        if op.type == "relu6"
    }
    limits = {name: limit for name, limit in limits.items() if len(model.graph.versions(name)) == 1}
    if not limits:
        return []
    largest = largest_magnitudes(model, list(limits), (batch.read() for batch in batches))
    return [name for name, limit in limits.items() if largest[name] < limit]


def _shift(graph: Graph, link: Link, largest: np.ndarray) -> np.ndarray:
    """By how many octaves each channel is to become smaller, by the largest magnitude of each: how far it is
    from the middle one, which stays, since only differences count."""
    known = largest > 0
    count = octaves_of(graph, link).size
    if largest.size != count or not known.any():
        return np.zeros(count, np.int64)
    exponents = np.log2(largest[known])
    if not all(one.is_depthwise for one in link.last):
        # Where weights of each channel have a scale of their own, only the activation loses or gains; here
        # what one gains the other loses.
        exponents = (exponents - np.log2(_read_ranges(graph, link)[known])) / 2
    return from_the_middle(exponents, known)


def from_the_middle(exponents: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How many octaves each channel is from the middle one, of the `exponents` of those that are known: one
    at least. One that was never seen goes with the others. Channels that are nearly zero beside the largest,
    as weight decay leaves them, have no part in what the middle is: were they most of them, the others would
    be moved beyond what scales are made for."""
    shift = np.zeros(known.size, np.int64)
    middle = np.median(exponents[exponents >= exponents.max() - MOST_OCTAVES])
    shift[known] = np.rint(exponents - middle)
    return np.maximum(shift, shift.max() - MOST_OCTAVES)


def _read_ranges(graph: Graph, link: Link) -> np.ndarray:
    """The largest weight that meets each channel, relative to the largest of the same output, since each
    output has a scale of its own: [channels]."""
    ranges, tiny = [], np.finfo(np.float32).tiny
    for one in link.last:
        weight = graph.weights[one.operands.weight.name]
        outputs = one.output_ranges(weight)
        relative = one.scaled(weight, 1 / np.where(outputs > tiny, outputs, 1.0), None)
        ranges.append(one.input_ranges(relative))
    found = np.max(ranges, axis=0)
    return np.maximum(found, max(found.max(), tiny) * 2.0**-MOST_OCTAVES)


def absorbing_biases(model: Model, batches: Sequence[Numbered]) -> tuple[Pass, ...]:
    """The pass that moves high biases on; none where there are none."""
    graph = model.graph
    found = [(link, bias) for link in absorbing(graph) if (bias := link.bias(graph)) is not None]
    moments = Moments({bias.op.output("Out").name: bias.last_axis for _, bias in found})
    measure(model, moments, batches)
    entries = []
    for link, bias in found:
        name = bias.op.output("Out").name
        lowest = moments.mean(name) - _DEVIATIONS * moments.deviation(name)
        pairs = [
            f"{channel}:{np.float32(bias.value[channel] - lowest[channel])!s}"
            for channel in np.flatnonzero(lowest > 0)
        ]
        if pairs:
            entries.append(f"{link.var.name}={' '.join(pairs)}")
    return (AbsorbBias(biases=tuple(entries)),) if entries else ()
