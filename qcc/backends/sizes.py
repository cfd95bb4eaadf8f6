"""Inputs of another size than those that a model was checked on, where it leaves sizes open.

An engine may choose a kernel by the first image that it sees, or work out a number from its size that is
another one for the next: such a file is right on the one image and wrong on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from qcc.backends.samples import Feed, Sample, with_counts

_STRIDE = 32
"""What detectors and segmenters want sizes to be multiples of."""


def of_other_sizes(feeds: Sequence[Feed], sample: Sample) -> Iterator[Sample]:
    """Samples that differ from one in whatever is open, those that say most first, of which the first that
    the model takes is meant.

    Heights become smaller and all other lengths larger, so that both ways are seen, and odd, or, for models
    that take no odd ones, multiples of 32. A batch of one becomes two, another becomes one.
    """
    shapes = {feed.name: feed.shape for feed in feeds if feed.name in sample.inputs}
    seen = {tuple(array.shape for array in sample.inputs.values())}
    for odd, batch in product((True, False, None), (True, False)):
        inputs = {
            name: _resized(array, _wanted(shapes[name], array.shape, odd, batch))
            for name, array in sample.inputs.items()
        }
        inputs = with_counts(inputs, feeds)
        found = tuple(array.shape for array in inputs.values())
        if found not in seen:
            seen.add(found)
            yield Sample(inputs, sample.source)


def shown(inputs: Mapping[str, np.ndarray], feeds: Sequence[Feed]) -> str:
    """The sizes of what has open ones: "image [2, 3, 49, 81]"."""
    open_ones = [feed.name for feed in feeds if min(feed.shape, default=0) < 0]
    return " and ".join(f"{name} {list(inputs[name].shape)}" for name in open_ones)


def _wanted(declared: Sequence[int], shape: Sequence[int], odd: bool | None, batch: bool) -> tuple[int, ...]:
    """`odd`: whether other lengths than the batch are to be odd; None leaves them."""
    found = list(shape)
    for place, (length, is_open) in enumerate(zip(shape, (one < 0 for one in declared), strict=True)):
        if not is_open:
            continue
        if place == 0:
            found[0] = (2 if length == 1 else 1) if batch else length
        elif odd is not None and not (len(shape) == 4 and place == 1):
            found[place] = _other(length, smaller=len(shape) == 4 and place == 2, odd=odd)
    return tuple(found)


def _other(length: int, *, smaller: bool, odd: bool) -> int:
    """About a quarter less, or more."""
    if odd:
        return (length * 3 // 4 if smaller else length * 5 // 4) | 1
    if smaller:
        return max(length * 3 // 4 // _STRIDE, 1) * _STRIDE
    return -(-length * 5 // 4 // _STRIDE) * _STRIDE


def _resized(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The nearest elements along each axis; what is twice in a batch is mirrored the second time."""
    doubled = array.ndim > 2 and (array.shape[0], shape[0]) == (1, 2)
    for axis, length in enumerate(shape):
        if length != array.shape[axis]:
            nearest = np.round(np.linspace(0, array.shape[axis] - 1, length)).astype(int)
            array = np.take(array, nearest, axis)
    if doubled:
        array[1] = array[1, ..., ::-1]
    return array
