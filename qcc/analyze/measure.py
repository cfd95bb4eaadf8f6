"""What each quantized op does to the network: measured batch by batch, and op by op."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qcc.analyze.journal import Journal, Numbers
from qcc.analyze.twins import Layer, Rounding, Twins
from qcc.backends.agreement import differences
from qcc.backends.heads import heads_and_parts, values_on
from qcc.calibrate.parts import Parts, SingleOp, Values
from qcc.errors import DataError
from qcc.interrupts import Stopped
from qcc.model import Model
from qcc.numerics import abs_max, fake_quantize, linear_range, max_int
from qcc.passes.fake_quant import AWAY_FROM_ZERO

_FEW_VALUES = 16

BY_ITSELF, AMONG, OUTPUT, ALONE, OFF = "by itself", "among", "output", "alone", "off"


@dataclass(frozen=True)
class Control:
    """`stop` is asked between two measurements, and `report` told the number of those that are done."""

    stop: Callable[[], bool] = lambda: False
    report: Callable[[int], None] = lambda done: None


def round_data(data: np.ndarray, rounding: Rounding) -> np.ndarray:
    """An activation as the op reads it: what its integers stand for, float32."""
    bits = rounding.activation.bits
    scale = abs_max(data) if rounding.scale is None else np.array([rounding.scale], np.float32)
    if rounding.activation.rounding == AWAY_FROM_ZERO:
        integers = fake_quantize(data, scale, bits)
    else:
        integers = np.clip(np.round(data / scale * np.float32(max_int(bits))), *linear_range(bits))
    return (integers * (scale / np.float32(max_int(bits)))).astype(np.float32)


class Measurement:
    """Both networks, ready to be run in parts.

    The numbers go to a journal, under keys of `key`:

    BY_ITSELF   of an op on the float network's input: the sums of the squares of its output, and of what that
                is off by when its weight is rounded, when its activation is, and when both are; and for both
                the share of the noise in the signal, of each channel at most 1, on average over the channels
    AMONG       of an op's output in the quantized network: the sum of the squares of what it is off by, its
                product with the float one, and the sum of its squares
    OUTPUT      of the network: for each head the number of finite elements, the least and the largest of the
                float network, and the sum and the largest of the differences of the quantized one
    ALONE       for each head the sum and the largest of the differences from the float network when this op
                alone is quantized
    OFF         likewise, when all are but this one
    """

    def __init__(self, twins: Twins, journal: Journal, first: Callable[[], Values]) -> None:
        """`first`: a batch, by whose values it is told which parts of outputs are compared by themselves."""
        self.twins, self.journal = twins, journal
        names = heads_and_parts(twins.float_graph, values_on(Model(twins.float_graph), first))
        # What is no op's output, a weight or a feed that is fetched, nothing moves.
        computed = [name for name in names if twins.float_graph.var(name).producer is not None]
        self.heads = tuple(name for name in computed if name in twins.quantized)
        self._names = [name for layer in twins.layers for name in (layer.rounding.data, layer.output)]
        outputs = [layer.output for layer in twins.layers]
        # Of an op by itself, its data are looked at, too.
        looked_at = tuple(dict.fromkeys((*self.heads, *self._names)))
        self._float = Parts(twins.float_graph, outputs, self.heads, looked_at)
        self._quantized = Parts(twins.quantized, outputs, self.heads, looked_at)
        self._single: dict[str, SingleOp] = {}

    def ops(self, batches: Sequence[Callable[[], Values]], control: Control) -> None:
        """Measure BY_ITSELF, AMONG and OUTPUT of all ops.  Raises Stopped, DataError."""
        for number, read in enumerate(batches):
            self._measure_batch(number, read, control)
            give_back_memory()

    def _measure_batch(self, number: int, read: Callable[[], Values], control: Control) -> None:
        layers = self.twins.layers
        # AMONG is put last: whoever is killed in between has BY_ITSELF alone.
        wanted = [layer for layer in layers if not self._has(AMONG, number, layer)]
        if wanted or self.journal.get(key(OUTPUT, number)) is None:
            inputs = read()
            plain, rounded = self._float.run(inputs), self._quantized.run(inputs)
            self.journal.put(key(OUTPUT, number), self._outputs(plain, rounded))
        for place, layer in enumerate(layers, 1):
            if layer in wanted:
                _stop_if_asked(control)
                self._measure_op(number, layer, plain, rounded)
            control.report(number * len(layers) + place)

    def _measure_op(self, number: int, layer: Layer, plain: Values, rounded: Values) -> None:
        data, weight, rounding = plain[layer.rounding.data], layer.weight, layer.rounding
        op, quantized = self._op(layer), round_data(data, rounding)
        right = op.run(data, weight)
        off = [
            op.run(*given) - right
            for given in ((data, rounding.weight), (quantized, weight), (quantized, rounding.weight))
        ]
        share = _share_of_channels(off[-1], right, layer.operands.output_channel_dim)
        self.journal.put(key(BY_ITSELF, number, layer), [_squares(right), *map(_squares, off), share])
        here, there = rounded[layer.output], plain[layer.output]
        _check_shapes(layer.output, here, there)
        product = float(np.sum(np.multiply(here, there, dtype=np.float64)))
        self.journal.put(key(AMONG, number, layer), [_squares(here - there), product, _squares(here)])

    def first_effects(self, read: Callable[[], Values], control: Control) -> None:
        """Measure ALONE of all ops that can be changed on the first batch.  Raises Stopped, DataError."""
        wanted = [layer for layer in self.twins.layers if self.can_be_changed(layer)]
        plain = self._float.run(read())
        for total, layer in enumerate(wanted, 1):
            _stop_if_asked(control)
            self._measure_alone(0, layer, plain)
            control.report(total)

    def effects(
        self, chosen: Sequence[Layer], batches: Sequence[Callable[[], Values]], control: Control
    ) -> None:
        """Measure ALONE and OFF of some ops.  Raises Stopped, DataError."""
        total = 0
        for number, read in enumerate(batches):
            wanted = [layer for layer in chosen if not self._has(OFF, number, layer)]
            if wanted:
                inputs = read()
                plain, rounded = self._float.run(inputs), self._quantized.run(inputs)
            for layer in chosen:
                if layer in wanted:
                    _stop_if_asked(control)
                    self._measure_effect(number, layer, plain, rounded)
                total += 1
                control.report(total)

    def can_be_changed(self, layer: Layer) -> bool:
        """Whether the op's output can be exchanged in both networks; not so where lists cross it."""
        return layer.output in self._float.cuts and layer.output in self._quantized.cuts

    def _measure_effect(self, number: int, layer: Layer, plain: Values, rounded: Values) -> None:
        self._measure_alone(number, layer, plain)
        off = self._op(layer).run(rounded[layer.rounding.data], layer.weight)
        found = self._quantized.heads_with(rounded, {layer.output: off})
        self.journal.put(key(OFF, number, layer), self._differences(found, plain))

    def _measure_alone(self, number: int, layer: Layer, plain: Values) -> None:
        if self._has(ALONE, number, layer):
            return
        rounding = layer.rounding
        alone = self._op(layer).run(round_data(plain[rounding.data], rounding), rounding.weight)
        found = self._float.heads_with(plain, {layer.output: alone})
        self.journal.put(key(ALONE, number, layer), self._differences(found, plain))

    def _outputs(self, plain: Values, rounded: Values) -> Numbers:
        off = self._differences([rounded[name] for name in self.heads], plain)
        numbers: Numbers = []
        for index, array in enumerate(plain[name] for name in self.heads):
            known = array[np.isfinite(array)]
            limits = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
            numbers += [float(known.size), *limits, *off[2 * index : 2 * index + 2]]
        return numbers

    def _differences(self, found: Sequence[np.ndarray], plain: Values) -> Numbers:
        """Of each head, the sum and the largest of what it is off by.  Raises DataError."""
        numbers: Numbers = []
        for name, left in zip(self.heads, found, strict=True):
            _check_shapes(name, left, plain[name])
            off = differences(left, plain[name])
            numbers += [float(off.sum()), float(off.max(initial=0.0))]
        return numbers

    def _op(self, layer: Layer) -> SingleOp:
        if layer.output not in self._single:
            self._single[layer.output] = SingleOp(self.twins.float_graph, layer.operands)
        return self._single[layer.output]

    def _has(self, what: str, number: int, layer: Layer) -> bool:
        return self.journal.get(key(what, number, layer)) is not None


def give_back_memory() -> None:
    """Let the system have what is free: glibc keeps it, in pieces between what is in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)


def key(what: str, number: int, layer: Layer | None = None) -> str:
    """Under which a journal has a measurement of a batch, and of an op where it is of one."""
    return f"{what} {number}" if layer is None else f"{what} {number} {layer.output}"


def _stop_if_asked(control: Control) -> None:
    if control.stop():
        raise Stopped


def _check_shapes(name: str, found: np.ndarray, wanted: np.ndarray) -> None:
    """Raise DataError where two networks compute different shapes, which cannot be compared."""
    if found.shape != wanted.shape:
        raise DataError(
            f"{name!r} is of shape {list(wanted.shape)} in the float network and {list(found.shape)} in the"
            " quantized one, so that ops cannot be compared: its size depends on values that rounding moves."
        )


def _squares(values: np.ndarray) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))


def _share_of_channels(off: np.ndarray, right: np.ndarray, axis: int) -> float:
    """The mean over the channels of noise to signal, each at most 1: a channel that is much larger than the
    others cannot hide them. Where a channel has few values, as behind a product, all count as one channel."""
    few = right.size < _FEW_VALUES * right.shape[axis]
    others = tuple(dim for dim in range(right.ndim) if few or dim != axis)
    noise, signal = (np.sum(np.square(one, dtype=np.float64), axis=others) for one in (off, right))
    shares = np.divide(noise, signal, out=np.ones_like(noise), where=signal > 0)
    return float(np.mean(np.where(noise > 0, np.minimum(shares, 1.0), 0.0))) if noise.size else 0.0
