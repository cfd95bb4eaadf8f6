"""Whether a sample of a quantized model tells a right run of it from a wrong one.

Ties that fall otherwise move the outputs of a right run. On some data they move them as far as a fault would:
where a classifier is undecided, its scores are nearly equal, and relative to how far they are apart one
integer is any number. A blank image is such data, and so is a line of text that could stand on its head. What
comes out there says nothing of an engine, and other inputs are compared instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from qcc.backends.agreement import FEW, MOST, MULTIPLE, ROUNDING, Distance, distances, furthest
from qcc.backends.heads import is_chosen
from qcc.backends.predictor import PaddleExecutor
from qcc.backends.samples import Sample, off_by_a_step, scene_like
from qcc.backends.steps import steps_of
from qcc.ir.graph import Graph
from qcc.numerics import max_int

_MANY_TIES = (7, 11, 13)
"""One in so many integers: a good part of the noise of 8 bits. These are several draws, since peaks of a
softmax move in one by ten times what they move in another."""

_OTHER_TIES = 2.0
"""Two runs whose ties fall otherwise are each as far off as the network lets them be, and as far from each
other; another pair is as far apart, within a factor that few draws of the same noise differ by."""

_SCENES = 3
"""Pictures differ in how much they say, and more of them take time."""

_SAYS_LITTLE = "since rounding alone decides what comes out of the data"


def of_ties(seen: Distance, factor: float = _OTHER_TIES) -> Distance:
    """As a limit, how far outputs may be off that are so far off when ties fall otherwise."""
    # How the size of an output changes that is off everywhere by chance is one draw, and may be near zero.
    return furthest(seen, Distance(norms=seen.largest)).times(factor)


def factor_of(size: int) -> float:
    """How many times as far an output of so many elements may be off whose ops are each right."""
    # Of few elements each draw is one of noise and not the largest of many.
    return MULTIPLE if size <= FEW else _OTHER_TIES


def moved_by_ties(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    executor: PaddleExecutor,
    names: Sequence[str],
    outputs: Sequence[np.ndarray],
) -> list[Distance]:
    """How far outputs move when many integers at the inputs are off by one: in each respect the furthest of
    some draws."""
    steps = steps_of(graph, inputs)
    runs = (executor.run(off_by_a_step(inputs, steps, share), names) for share in _MANY_TIES)
    return [furthest(*seen) for seen in zip(*(distances(run, outputs) for run in runs), strict=True)]


def noise(
    graph: Graph, names: Sequence[str], outputs: Sequence[np.ndarray], moved: Sequence[Distance]
) -> float:
    """How far the worst output may be off on account of ties that have been seen to move it so far, as a part
    of what any may be off: from 1 on, that tells nothing. What is chosen among values never does."""
    found = [
        factor_of(output.size) * one.mean / MOST
        for name, output, one in zip(names, outputs, moved, strict=True)
        if not is_chosen(graph.var(name))
    ]
    # On an image of one grey the first layer may round all of them away, which says nothing of the others.
    furthest_one = max(found, default=0.0)
    return furthest_one if furthest_one > ROUNDING else np.inf


def scenes(graph: Graph, sample: Sample) -> Iterator[Sample]:
    """Made-up inputs of the sizes of a sample, and in the ranges that the model rounds."""
    ranges = {name: step * max_int(8) for name, step in steps_of(graph, sample.inputs).items()}
    for seed in range(_SCENES):
        scene = scene_like(sample, ranges, seed)
        yield replace(scene, source=f"{scene.source}, {_SAYS_LITTLE}")
