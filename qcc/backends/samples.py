"""Inputs on which a model is compared with itself in another engine: data, or what looks like it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from qcc.ir.dtypes import numpy_dtype
from qcc.model import Model
from qcc.numerics import max_int

# Height and width of images whose size the model leaves open, and other open lengths: small is fast,
# but strides and anchors may want more. All are multiples of 32 as detectors want them.
_SIZES = (64, 320, 224)
_SEED = 0
MADE_UP = "made-up inputs"
_LAST_BITS = 1 / 3e7


@dataclass(frozen=True)
class Sample:
    """Inputs of a model, and where they are from, as words for after "on"."""

    inputs: Mapping[str, np.ndarray]
    source: str


def samples(model: Model, data: Mapping[str, np.ndarray] | None) -> Iterator[Sample]:
    """What to run the model on: the data where there is some, else made-up inputs of several sizes, of which
    the first that the model takes is meant."""
    if data is not None:
        yield Sample({name: data[name] for name in model.feeds if name in data}, "data")
        return
    for size in _SIZES:
        yield Sample(make_inputs(model, size), MADE_UP)


def moved(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same inputs, but for their last bits: larger by one part in 3e7.

    That is less than float32 can tell apart for most numbers; about one in five becomes the next one.
    """
    return {
        name: (array.astype(np.float64) * (1 + _LAST_BITS)).astype(array.dtype)
        if array.dtype.kind == "f"
        else array
        for name, array in inputs.items()
    }


def off_by_a_step(
    inputs: Mapping[str, np.ndarray], steps: Mapping[str, float], one_in: int | None = None
) -> dict[str, np.ndarray]:
    """The same inputs, but for one in so many elements of floats, by default a few, which are off by a step:
    that of `steps`, or, where a model does not round them itself, one of 8 bits.

    On an image of nearly one grey a step of its own would be far less than what the model rounds to.
    """
    changed = dict(inputs)
    for name, array in inputs.items():
        if array.dtype.kind == "f" and array.size:
            step = steps.get(name) or float(np.abs(array).max()) / max_int(8)
            changed[name] = nearer_to_zero(array, step, one_in)
    return changed


def scene_like(sample: Sample, ranges: Mapping[str, float], seed: int) -> Sample:
    """Made-up inputs of the sizes of a sample: pictures for images, and noise for others that a model rounds,
    as large as their `ranges`, or else as the sample; what shows nothing but zeros says nothing of that."""
    inputs = dict(sample.inputs)
    for name, array in sample.inputs.items():
        largest = ranges.get(name) or float(np.abs(array).max(initial=0))
        is_image = array.ndim == 4 and min(array.shape[2:]) > 1
        if array.dtype.kind == "f" and largest and (is_image or name in ranges):
            values = _pictures(array.shape, seed) if is_image else _noise(array.shape, seed)
            if array.min() >= 0:
                values -= values.min()
            inputs[name] = (values * (largest / np.abs(values).max())).astype(array.dtype)
    return Sample(inputs, MADE_UP)


_ONE_IN = (997, 101, 11, 3, 1)
"""Of so many elements one is moved, at least eight where there are so many. Primes, so that they are in all
rows and channels."""


def nearer_to_zero(values: np.ndarray, step: float, one_in: int | None = None) -> np.ndarray:
    """A copy in which one in so many elements, by default a few, are a step nearer to zero, so that none is
    clipped; those within a step of it are larger by one, as what a relu gives can be."""
    moved = np.array(values, order="C")  # so that what is reshaped is no copy
    if one_in is None:
        one_in = next((prime for prime in _ONE_IN if 8 * prime <= values.size), 1)
    few = moved.reshape(-1)[::one_in]
    few -= np.where(np.abs(few) < step, -step, np.copysign(step, few)).astype(few.dtype)
    return moved


@dataclass(frozen=True)
class Feed:
    """What a model is fed with under a name; lengths that are open are -1.

    `holds_boxes`: rows of left, top, right, bottom, whose features an op gathers. `counts`: the feed of boxes
    of which this one says how many each image has; Paddle's kernels read beyond them where they are fewer.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    holds_boxes: bool = False
    counts: str | None = None


def feeds_of(model: Model) -> list[Feed]:
    """A model's feeds, in its order."""
    variables = [model.graph.versions(name)[0] for name in model.feeds]
    gathers = [op for op in model.graph.ops if op.inputs.get("ROIs")]
    boxes = {op.input("ROIs").name for op in gathers}
    counted = {op.input("RoisNum").name: op.input("ROIs").name for op in gathers if op.inputs.get("RoisNum")}
    return [
        Feed(var.name, tuple(var.shape), numpy_dtype(var.dtype), var.name in boxes, counted.get(var.name))
        for var in variables
    ]


def with_counts(arrays: dict[str, np.ndarray], feeds: Sequence[Feed]) -> dict[str, np.ndarray]:
    """The same, but that nearly equal parts of the boxes are counted for each image."""
    for feed in feeds:
        if feed.counts in arrays:
            total, images = len(arrays[feed.counts]), len(arrays[feed.name])
            parts = np.diff(np.arange(images + 1) * total // images)
            arrays[feed.name] = parts.astype(feed.dtype)
    return arrays


def make_inputs(model: Model, size: int) -> dict[str, np.ndarray]:
    """See `make_arrays`."""
    return make_arrays(feeds_of(model), size)


def make_arrays(feeds: Sequence[Feed], size: int) -> dict[str, np.ndarray]:
    """One array per feed, with a batch of 1 and `size` for other open sizes: pictures for images, waves for
    other numbers, boxes in the image, ones for identifiers and counts. Always the same."""
    shapes = {feed.name: _shape(feed, size) for feed in feeds}
    image = next((shape[2:] for shape in shapes.values() if len(shape) == 4), (size, size))
    return with_counts({feed.name: _values(feed, shapes[feed.name], image) for feed in feeds}, feeds)


def _shape(feed: Feed, size: int) -> tuple[int, ...]:
    shape = list(feed.shape)
    if shape and shape[0] < 0:
        shape[0] = 1
    if len(shape) == 4 and shape[1] < 0:
        shape[1] = 3
    return tuple(size if length < 0 else length for length in shape)


def _values(feed: Feed, shape: tuple[int, ...], image: tuple[int, ...]) -> np.ndarray:
    dtype = feed.dtype
    name = feed.name.lower()
    if len(shape) == 2 and shape[1] in (2, 3) and any(part in name for part in ("im_", "size", "shape")):
        # Height and width of the image, then a scale: what detectors ask for.
        return np.array([[*image, 1][: shape[1]]] * shape[0], dtype)
    if feed.holds_boxes and shape[1:] == (4,):
        corners = np.random.default_rng(_SEED).uniform(0, min(image), (2, shape[0], 2))
        return np.concatenate([corners.min(0), corners.max(0)], axis=1).astype(dtype)
    if dtype.kind != "f" or "scale" in name:
        return np.ones(shape, dtype)
    if len(shape) == 4 and min(shape[2:]) > 1:
        return _pictures(shape, _SEED).astype(dtype)
    return _noise(shape, _SEED).astype(dtype)


def _noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def _pictures(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Pictures as a camera takes them, normalized as networks want them: values of about -2 to 2.

    Noise would not do: its mean is the same everywhere, so that deep layers see a constant. These have a
    light that changes slowly, shapes with edges of all directions, and a texture on some of them, with
    channels that go together.
    """
    batch, channels, height, width = shape
    random = np.random.default_rng(seed)
    planes = np.empty(shape)
    for number in range(batch):
        grey = _scene(height, width, random)
        for channel in range(channels):
            tint = _slow(height, width, random) / 2
            planes[number, channel] = grey * random.uniform(0.7, 1.1) + tint
    return planes


def _scene(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    scene = _slow(height, width, random)
    for number in range(8):
        centre = tuple(int(value) for value in random.uniform(0, 1, 2) * (width, height))
        axes = tuple(int(value) + 1 for value in random.uniform(0.05, 0.3, 2) * (width, height))
        mask = np.zeros((height, width), np.uint8)
        cv2.ellipse(mask, centre, axes, random.uniform(0, 180), 0, 360, (1,), -1)
        if number % 2:
            cv2.rectangle(mask, centre, (centre[0] + axes[0], centre[1] + axes[1]), (1,), -1)
        texture = random.standard_normal((height, width)) * random.uniform(0, 0.3)
        scene = np.where(mask > 0, random.uniform(-1.8, 1.8) + texture, scene)
    return scene


def _slow(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Values of about -1 to 1 that change slowly."""
    return cv2.resize(random.uniform(-1, 1, (3, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
