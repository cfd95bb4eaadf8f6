"""Layer by layer, with the quantized input: biases corrected, weights rounded so that outputs change
least."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qcc.calibrate.accurate.products import Places, Products, matrix, put_matrix
from qcc.calibrate.accurate.rounding import adaround
from qcc.calibrate.accurate.stages import Advance, Values, parts, size
from qcc.calibrate.choose import Chosen
from qcc.calibrate.collect import Numbered
from qcc.calibrate.memo import NO_MEMO, Memo
from qcc.calibrate.weights import BITS, nearest
from qcc.errors import DataError
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.numerics import dequantize_weight, max_int
from qcc.passes.channels import Constant, Layer, bias_of, layer
from qcc.passes.manager import PassManager
from qcc.passes.prune import Prune
from qcc.passes.round_trip import round_trips

MEMORY = 1 << 30
"""How many bytes of activations are held at most, of the float and the quantized network together: images
that would need more are let go."""

MOST_INPUTS = 4608
"""Layers with more inputs per output than a 3 x 3 convolution of 512 channels has are rounded to nearest:
their products would not fit."""

CHECKED = 4
"""Every so many-th image is not learned from, but tells whether a layer gains; of fewer, the last one."""
_FEWEST = 2
"""One to learn from, and one to check by."""

_PLACES = 8192
_PLACES_PER_INPUT = 6


@dataclass(frozen=True)
class Learned:
    """Of a layer, called by its weight: the new values of its weight and bias, by name; the root mean square
    error of its outputs on images that were not learned from, relative to that of nearest rounding."""

    weight: str
    values: Mapping[str, np.ndarray]
    gain: float


@dataclass(frozen=True)
class Methods:
    """What is done to each layer."""

    correction: bool
    rounding: bool


def reconstruct(
    chosen: Chosen,
    batches: Sequence[Numbered],
    methods: Methods,
    memo: Memo = NO_MEMO,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Learned]:
    """Learn the weights and biases of a network's quantized layers, in order.

    Each layer is given what the float network computes on the images, and what the network computes whose
    layers before are quantized as they have been learned. `report` is called with the number of layers that
    are done, and of all; it may raise what stops the run, which goes on with the `memo`.

    Raises DataError when the network cannot be run in parts, when the number of a layer's inputs depends on
    how others are rounded, or when there are too few batches to check what is rounded.
    """
    if methods.rounding and len(batches) < _FEWEST:
        raise DataError("one batch is too few: it takes one to learn from, and another to check by.")
    walk = _Walk(chosen, methods, memo, [batch.name for batch in batches])
    every = min(CHECKED, max(_FEWEST, len(batches)))
    images = _held(
        _Image(dict(batch.read()), place % every == every - 1) for place, batch in enumerate(batches)
    )
    found: list[Learned] = []
    for done, step in enumerate(walk.steps):
        report(done, len(walk.steps))
        images = walk.advance(done, images)
        learned = walk.learn(step, done, images)
        found.append(learned)
    report(len(walk.steps), len(walk.steps))
    return found


@dataclass
class _Image:
    """A batch on its way: what the float and the quantized network hold of it."""

    fed: Values
    checks: bool
    wanted: Values = field(init=False)
    given: Values = field(init=False)

    def __post_init__(self) -> None:
        self.wanted = self.given = self.fed


def _held(images: Iterable[_Image]) -> list[_Image]:
    """As many images as there is memory for; others are not read."""
    held = 0
    kept = []
    for image in images:
        held += size(image.wanted) + size(image.given)
        kept.append(image)
        # A few are needed in any case.
        if held > MEMORY and len(kept) >= 2 * CHECKED:
            break
    return kept


@dataclass(frozen=True)
class _Step:
    """A layer in both networks, and its bias."""

    layer: Layer
    quantized: Op
    bias: Constant | None

    @property
    def name(self) -> str:
        """What the layer is called: its weight's name."""
        return self.layer.operands.weight.name

    @property
    def given(self) -> str:
        """What the quantized layer reads."""
        return self.quantized.input(self.layer.operands.data_slot).name


class _Walk:
    def __init__(self, chosen: Chosen, methods: Methods, memo: Memo, images: list[str]) -> None:
        self._methods, self._memo = methods, memo
        self._wanted, self._given = chosen.plan.folded.graph, _simulated(chosen)
        self._plan = chosen.plan
        self.steps = list(_steps(self._wanted, self._given))
        self._parts = [
            parts(self._wanted, [step.layer.op for step in self.steps]),
            parts(self._given, [step.quantized for step in self.steps]),
        ]
        scales = [(choice.name, choice.scale) for choice in chosen.choices]
        ways = [methods.correction, methods.rounding, sorted(chosen.plan.even)]
        self._identity = [chosen.plan.identity(), scales, images, *ways]

    def advance(self, number: int, images: Sequence[_Image]) -> list[_Image]:
        """Run both networks up to a layer; images for which there is no memory are let go."""
        wanted = Advance(self._wanted, self._parts[0][number])
        given = Advance(self._given, self._parts[1][number])

        def advanced() -> Iterator[_Image]:
            for image in images:
                image.wanted, image.given = wanted(image.wanted), given(image.given)
                yield image

        return _held(advanced())

    def learn(self, step: _Step, number: int, images: Sequence[_Image]) -> Learned:
        """Learn a layer's weight and bias, and let the quantized network have them."""
        key = [self._identity, step.name, len(images)]
        found = self._memo.load(key)
        if found is None:
            learned = self._learned(step, number, images)
            self._memo.save(key, learned.values, {"gain": learned.gain})
        else:
            learned = Learned(step.name, found[0], found[1]["gain"])
        for name, value in learned.values.items():
            self._given.weights[name] = value
        return learned

    def _learned(self, step: _Step, number: int, images: Sequence[_Image]) -> Learned:
        operands = step.layer.operands
        original = self._wanted.weights[operands.weight.name]
        weight = matrix(step.layer, original)
        rounded_nearest = nearest(self._plan, step.name, operands.channel_axis)
        scale, even = rounded_nearest.scale, step.name in self._plan.even
        step_size = (scale / np.float32(max_int(BITS))).reshape(step.layer.groups, 1, -1)
        nearest_integers = matrix(step.layer, rounded_nearest.integers)
        rounding = self._methods.rounding and weight.shape[1] <= MOST_INPUTS
        learning, checking = _products(step, weight, images, number, with_gram=rounding)
        if not learning.count:
            return Learned(step.name, {}, 1.0)
        centred = self._methods.correction and step.bias is not None

        integers, gain = nearest_integers, 1.0
        if rounding:
            gram, cross, _ = learning.around(means=centred)
            rounded = adaround(gram, cross, weight, step_size, max_int(BITS), even=even)
            before, after = (
                checking.error(candidate * step_size - weight, centred=centred)
                for candidate in (nearest_integers, rounded)
            )
            if after < before:
                integers, gain = rounded, float(np.sqrt(after / before))
        values = {}
        if rounding:
            put = put_matrix(step.layer, original, integers)
            values[operands.weight.name] = dequantize_weight(put, scale, BITS, operands.channel_axis)
        if self._methods.correction and step.bias is not None:
            missing = learning.missing_mean(integers * step_size - weight).reshape(-1)
            operand = step.bias.op.input("Y")
            value = (step.bias.value + missing).astype(np.float32)
            values[operand.name] = value.reshape(operand.shape)
        return Learned(step.name, values, gain)


def _products(
    step: _Step, weight: np.ndarray, images: Sequence[_Image], seed: int, *, with_gram: bool
) -> tuple[Products, Products]:
    """Of the images that are learned from, and of those that check.

    Raises DataError where the two networks have not the same number of inputs."""
    inputs = weight.shape[1]
    most = -(-max(_PLACES, _PLACES_PER_INPUT * inputs) // len(images))
    places = Places(step.layer, most, seed)
    learning, checking = Products(weight, with_gram), Products(weight, with_gram)
    data = step.layer.operands.data.name
    for image in images:
        wanted, given = image.wanted[data], image.given[step.given]
        if wanted.shape != given.shape:
            raise DataError(
                f"{data!r} is of shape {list(wanted.shape)} in the float network and {list(given.shape)} in"
                " the quantized one: its size depends on values that rounding moves."
            )
        wanted, given = places.read(wanted, given)
        (checking if image.checks else learning).add(wanted, given)
    return learning, checking


def _simulated(chosen: Chosen) -> Graph:
    """The folded network with its activations quantized and dequantized, and its weights rounded in place."""
    model = PassManager((chosen.plan.transform, chosen.static_scales)).run(chosen.plan.folded)
    graph = model.graph
    for op in graph.ops:
        trips = round_trips(op)
        if trips is None:
            continue
        source, quantizer = trips.weight.source, trips.weight.quantizer
        graph.set_input(op, trips.operands.weight_slot, [source])
        graph.weights[source.name] = nearest(chosen.plan, source.name, quantizer.axis).values
    Prune().apply(graph)
    return graph


def _steps(wanted: Graph, given: Graph) -> Iterator[_Step]:
    """The quantized layers, but for transposed convolutions and those whose weight or bias others share."""
    for op in wanted.ops:
        found = layer(wanted, op)
        if found is None or op.type == "conv2d_transpose":
            continue
        # Of a variable that a loop overwrites, the last value is another op's.
        twin = given.var(found.operands.output.name).producer
        if twin is None or twin.type != op.type:
            continue
        if twin.input(found.operands.data_slot).name == found.operands.data.name:
            continue
        bias = bias_of(wanted, found)
        if bias is not None and len(bias.op.input("Y").consumers) > 1:
            bias = None
        yield _Step(found, twin, bias)
