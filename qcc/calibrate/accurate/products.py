"""What a layer's inputs and outputs have to do with each other, summed over samples of the data.

All that correcting a bias and choosing how weights are rounded need are sums of products, whose size does not
depend on the number of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qcc.passes.channels import Layer
from qcc.passes.window import Window

_DOUBT = 2.0

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass
class Products:
    """Sums over places: the float layer reads x and computes y = x w; the quantized one reads z.

    With d = y - z w: `inputs` is that of z, [groups, inputs], `missing` of d, [groups, outputs]; `each`: of
    each image, how many places, and its part of these. Within each image, around its means: `gram` of z z',
    float32 [groups, inputs, inputs], `cross` of z d', [groups, inputs, outputs], and `squares` of d * d,
    [groups, outputs]; `around` makes those of all images of them. Inputs are those that one output meets: of
    each channel the places of the kernel.
    """

    weight: np.ndarray
    with_gram: bool
    count: int = 0
    gram: FloatArray = field(init=False)
    cross: FloatArray = field(init=False)
    inputs: FloatArray = field(init=False)
    missing: FloatArray = field(init=False)
    squares: FloatArray = field(init=False)
    each: list[tuple[int, FloatArray, FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        groups, inputs, outputs = self.weight.shape
        size = inputs if self.with_gram else 0
        self.gram = np.zeros((groups, size, size), np.float32)
        self.cross = np.zeros((groups, size, outputs), np.float32)
        self.inputs = np.zeros((groups, inputs), np.float64)
        self.missing = np.zeros((groups, outputs), np.float64)
        self.squares = np.zeros((groups, outputs), np.float64)

    def add(self, wanted: np.ndarray, given: np.ndarray) -> None:
        """Count what the two layers read at some places: x and z, float32 [groups, places, inputs]. An image
        without places, such as one on which nothing was found, says nothing."""
        if not given.shape[1]:
            return
        missing = np.matmul(wanted, self.weight) - np.matmul(given, self.weight)
        self.count += given.shape[1]
        image = (given.shape[1], given.sum(1, dtype=np.float64), missing.sum(1, dtype=np.float64))
        self.each.append(image)
        self.inputs += image[1]
        self.missing += image[2]
        # Of inputs that hardly vary, the difference of large sums would leave what float32 rounds alone.
        given, missing = (
            values - (sums / values.shape[1])[:, np.newaxis].astype(np.float32)
            for values, sums in ((given, image[1]), (missing, image[2]))
        )
        self.squares += np.square(missing, dtype=np.float64).sum(1)
        if self.with_gram:
            turned = given.swapaxes(1, 2)
            self.gram += np.matmul(turned, given)
            self.cross += np.matmul(turned, missing)

    def missing_mean(self, moved: np.ndarray) -> np.ndarray:
        """By how much the quantized layer's outputs are too small on average, when its weights have moved by
        so much: [groups, outputs].

        As far as images agree: a mean that a few images make, such as those that are clipped, says little of
        others. It is multiplied by 1 - (2 * standard error / mean)**2, or 0 where that is negative, as when
        chance alone might have made it.
        """
        found = []
        for count, inputs, missing in self.each:
            found.append((missing - np.matmul(inputs[:, np.newaxis], moved)[:, 0]) / count)
        means = np.stack(found)
        mean = means.mean(0)
        if len(means) < 2:
            return mean
        doubt = means.var(0, ddof=1) / len(means) / np.maximum(np.square(mean), np.finfo(np.float64).tiny)
        return mean * np.maximum(1 - _DOUBT**2 * doubt, 0)

    def around(self, *, means: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
        """`gram`, `cross` and `squares` over all places: around the means, which a bias makes good, or around
        zero. For these `with_gram` is needed."""
        inputs = self._of_images([sums for _, sums, _ in self.each], self.inputs, means)
        missing = self._of_images([sums for _, _, sums in self.each], self.missing, means)
        turned = inputs.swapaxes(1, 2)
        return (
            self.gram + np.matmul(turned, inputs),
            self.cross + np.matmul(turned, missing),
            self.squares + np.square(missing, dtype=np.float64).sum(1),
        )

    def _of_images(self, sums: Sequence[FloatArray], total: FloatArray, means: bool) -> FloatArray:
        """The means of the images around that of all or around zero, each weighted so that its square counts
        for all places of the image: float32 [groups, images, values]."""
        counts = np.array([count for count, _, _ in self.each], np.float64)[:, np.newaxis, np.newaxis]
        each = np.array(sums, np.float64).reshape(-1, *total.shape) / counts
        middle = total / max(self.count, 1) if means else 0.0
        return ((each - middle) * np.sqrt(counts)).astype(np.float32).swapaxes(0, 1)

    def error(self, moved: np.ndarray, *, centred: bool) -> float:
        """The sum of the squares of what the outputs are off by, when weights have moved by so much."""
        gram, cross, squares = self.around(means=centred)
        own = (np.matmul(gram, moved) * moved).sum(dtype=np.float64)
        return max(float(squares.sum() + own - 2 * (cross * moved).sum(dtype=np.float64)), 0.0)


def matrix(layer: Layer, weight: np.ndarray) -> np.ndarray:
    """A layer's weight as [groups, inputs, outputs]."""
    grouped = layer.grouped(weight)
    return np.ascontiguousarray(grouped.reshape(*grouped.shape[:2], -1).swapaxes(1, 2))


def put_matrix(layer: Layer, weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A weight of the shape of `weight` with the values of `matrix`."""
    result = np.empty_like(weight)
    grouped = layer.grouped(result)
    grouped[...] = values.swapaxes(1, 2).reshape(grouped.shape)
    return result


class Places:
    """Some places of a layer's output, drawn anew in each call, and what is read there.

    `most`: how many at most; seed and order of the calls alone decide which.
    """

    def __init__(self, layer: Layer, most: int, seed: int) -> None:
        self._layer, self._most = layer, most
        self._random = np.random.default_rng(seed)

    def read(self, *values: np.ndarray) -> list[np.ndarray]:
        """What the layer reads at the same places of several arrays: [groups, places, inputs]."""
        if self._layer.is_matrix:
            size = self._layer.operands.weight.shape[1 - self._layer.operands.channel_axis]
            rows = [value.reshape(-1, size) for value in values]
            chosen = self._choose(len(rows[0]))
            return [one[chosen][np.newaxis] for one in rows]
        window = Window.of(self._layer.op, self._layer.operands.weight.shape[2:], values[0].shape[2:])
        images, height, width = values[0].shape[0], *window.output
        image, row, column = np.unravel_index(self._choose(images * height * width), (images, height, width))
        return [self._patches(window.padded(value), window, image, row, column) for value in values]

    def _choose(self, count: int) -> np.ndarray:
        if count <= self._most:
            return np.arange(count)
        return np.sort(self._random.choice(count, self._most, replace=False))

    def _patches(
        self, value: np.ndarray, window: Window, image: np.ndarray, row: np.ndarray, column: np.ndarray
    ) -> np.ndarray:
        top, left = row * window.strides[0], column * window.strides[1]
        parts = [
            value[image, :, top + y * window.dilations[0], left + x * window.dilations[1]]
            for y in range(window.kernel[0])
            for x in range(window.kernel[1])
        ]
        # [places, channels, kernel]
        patches = np.stack(parts, -1).reshape(len(row), self._layer.groups, -1)
        return np.ascontiguousarray(patches.swapaxes(0, 1))
