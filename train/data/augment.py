"""Random changes to an image and its boxes, as PaddleDetection trains YOLOv3 with.

Each transform draws from the generator it is given and from nothing else. Images are uint8 or float32
[H, W, 3] in RGB order with values from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Random = np.random.Generator


@dataclass(frozen=True)
class Sample:
    """`boxes`: float32 [B, 4], left, top, right, bottom in pixels; `labels`: int64 [B]; `scores`:
    float32 [B], the weight of each box in the loss."""

    image: NDArray[Any]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]


def mixup(first: Sample, second: Sample, random: Random, alpha: float, beta: float) -> Sample:
    """Blend two samples (Zhang et al. 2018, arXiv:1710.09412); the first's share is Beta(alpha, beta)."""
    share = float(random.beta(alpha, beta))
    height, width = (max(first.size[axis], second.size[axis]) for axis in (0, 1))
    blend = np.zeros((height, width, 3), np.float32)
    for sample, part in ((first, share), (second, 1 - share)):
        blend[: sample.size[0], : sample.size[1]] += sample.image * np.float32(part)
    return Sample(
        blend,
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.scores * np.float32(share), second.scores * np.float32(1 - share)]),
    )


# ---------------------------------------------------------------------- colours

_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]], np.float32)
_YIQ_TO_RGB = np.array([[1.0, 0.956, 0.621], [1.0, -0.272, -0.647], [1.0, -1.107, 1.705]], np.float32)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ColourDistortion:
    """Brightness, contrast, saturation and hue in random order, each with `probability`.

    The first three are factors between 1 - `strength` and 1 + `strength`; `hue` in degrees, both ways.
    """

    strength: float = 0.5
    hue: float = 18.0
    probability: float = 0.5

    def __call__(self, sample: Sample, random: Random) -> Sample:
        steps: list[Callable[[NDArray[Any], Random], NDArray[Any]]] = [
            self._brightness,
            self._contrast,
            self._saturation,
            self._hue,
        ]
        image = sample.image.astype(np.float32)
        for number in random.permutation(len(steps)):
            if random.random() < self.probability:
                image = steps[number](image, random)
        return replace(sample, image=image)

    def _factor(self, random: Random) -> np.float32:
        return np.float32(random.uniform(1 - self.strength, 1 + self.strength))

    def _brightness(self, image: NDArray[Any], random: Random) -> NDArray[Any]:
        return image * self._factor(random)

    # The original scales about black here, too, so that contrast is a second draw of brightness.
    _contrast = _brightness

    def _saturation(self, image: NDArray[Any], random: Random) -> NDArray[Any]:
        factor = self._factor(random)
        return image * factor + (image @ _GREY)[:, :, None] * (1 - factor)

    def _hue(self, image: NDArray[Any], random: Random) -> NDArray[Any]:
        angle = np.deg2rad(random.uniform(-self.hue, self.hue))
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]], np.float32)
        return image @ (_YIQ_TO_RGB @ turn @ _RGB_TO_YIQ).T


# ---------------------------------------------------------------------- places


@dataclass(frozen=True)
class RandomExpand:
    """With `probability`, set the image at random into a canvas up to `max_ratio` times as wide and high."""

    max_ratio: float = 4.0
    probability: float = 0.5

    def __call__(self, sample: Sample, random: Random) -> Sample:
        if random.random() >= self.probability:
            return sample
        ratio = random.uniform(1, self.max_ratio)
        height, width = sample.size
        canvas_height, canvas_width = int(height * ratio), int(width * ratio)
        top = int(random.integers(0, canvas_height - height + 1))
        left = int(random.integers(0, canvas_width - width + 1))
        canvas = np.empty((canvas_height, canvas_width, 3), np.float32)
        canvas[:] = np.array(IMAGENET_MEAN, np.float32) * 255
        canvas[top : top + height, left : left + width] = sample.image
        boxes = sample.boxes + np.array([left, top, left, top], np.float32)
        return replace(sample, image=canvas, boxes=boxes)


@dataclass(frozen=True)
class RandomCrop:
    """Cut out a part that overlaps some box by a random least share (SSD, arXiv:1512.02325, section 2.2).

    `thresholds`: least IoU of the cut with some box, tried in random order; leaving the image as it is
    counts as one more choice. `scaling`: range of width and height as shares of the image's;
    `aspect_ratio`: range of their ratio. A box stays when its centre lies in the cut.
    """

    thresholds: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
    scaling: tuple[float, float] = (0.3, 1.0)
    aspect_ratio: tuple[float, float] = (0.5, 2.0)
    attempts: int = 50

    def __call__(self, sample: Sample, random: Random) -> Sample:
        if len(sample.boxes) == 0:
            return sample
        choices = [None, *self.thresholds]
        for number in random.permutation(len(choices)):
            threshold = choices[number]
            if threshold is None:
                return sample
            for _ in range(self.attempts):
                cut = self._cut(sample.size, random)
                if _overlaps(sample.boxes, cut).max() < threshold:
                    continue
                keep = _centres_inside(sample.boxes, cut)
                if keep.any():
                    return _cropped(sample, cut, keep)
        return sample

    def _cut(self, size: tuple[int, int], random: Random) -> NDArray[np.float32]:
        """A random cut: left, top, right, bottom in whole pixels."""
        height, width = size
        scale = random.uniform(*self.scaling)
        low = max(self.aspect_ratio[0], scale**2)
        high = min(self.aspect_ratio[1], scale**-2)
        ratio = random.uniform(low, high)
        cut_height = max(1, int(height * scale / np.sqrt(ratio)))
        cut_width = max(1, int(width * scale * np.sqrt(ratio)))
        cut_height, cut_width = min(cut_height, height), min(cut_width, width)
        top = int(random.integers(0, height - cut_height + 1))
        left = int(random.integers(0, width - cut_width + 1))
        return np.array([left, top, left + cut_width, top + cut_height], np.float32)


def _overlaps(boxes: NDArray[np.float32], cut: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = np.clip(np.minimum(boxes[:, 2:], cut[2:]) - np.maximum(boxes[:, :2], cut[:2]), 0, None)
    common = sides.prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return common / (areas + (cut[2:] - cut[:2]).prod() - common)


def _centres_inside(boxes: NDArray[np.float32], cut: NDArray[np.float32]) -> NDArray[np.bool_]:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((centres >= cut[:2]) & (centres < cut[2:])).all(axis=1)


def _cropped(sample: Sample, cut: NDArray[np.float32], keep: NDArray[np.bool_]) -> Sample:
    left, top, right, bottom = (int(edge) for edge in cut)
    corner = np.array([left, top, left, top], np.float32)
    limit = np.array([right - left, bottom - top] * 2, np.float32)
    return Sample(
        sample.image[top:bottom, left:right],
        np.clip(sample.boxes[keep] - corner, 0, limit),
        sample.labels[keep],
        sample.scores[keep],
    )


_ROWS = 64


@dataclass(frozen=True)
class RandomFlip:
    """Mirror left and right with `probability`, in the memory of the sample's image: a photo on a canvas of
    four times its sides takes gigabytes, and a resize would copy what is only looked at backwards."""

    probability: float = 0.5

    def __call__(self, sample: Sample, random: Random) -> Sample:
        if random.random() >= self.probability:
            return sample
        boxes = sample.boxes.copy()
        boxes[:, [0, 2]] = sample.size[1] - sample.boxes[:, [2, 0]]
        for start in range(0, len(sample.image), _ROWS):
            rows = sample.image[start : start + _ROWS]
            rows[:] = rows[:, ::-1]  # by way of a copy of so many
        return replace(sample, boxes=boxes)


# ---------------------------------------------------------------------- the network's input

INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_MEAN_PIXEL = np.array(IMAGENET_MEAN, np.float32) * 255
_STD_PIXEL = np.array(IMAGENET_STD, np.float32) * 255


def network_input(image: NDArray[Any], size: tuple[int, int], interpolation: int) -> NDArray[np.float32]:
    """Resize to `size` (height, width) and normalise with ImageNet's mean and standard deviation.

    Returns float32 [3, height, width].
    """
    # A part of a larger image is read where it stands.
    resized = cv2.resize(np.asarray(image, np.float32), (size[1], size[0]), interpolation=interpolation)
    return np.ascontiguousarray(((resized - _MEAN_PIXEL) / _STD_PIXEL).transpose(2, 0, 1))


def padded_boxes(
    sample: Sample, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """The first `count` boxes as fractions of the image: centre x and y, width, height; zeros fill up.

    Returns boxes float32 [count, 4], labels int32 [count], scores float32 [count].
    """
    height, width = sample.size
    kept = min(count, len(sample.boxes))
    corners = sample.boxes[:kept] / np.array([width, height, width, height], np.float32)
    boxes = np.zeros((count, 4), np.float32)
    boxes[:kept, :2] = (corners[:, :2] + corners[:, 2:]) / 2
    boxes[:kept, 2:] = corners[:, 2:] - corners[:, :2]
    labels, scores = np.zeros(count, np.int32), np.zeros(count, np.float32)
    labels[:kept], scores[:kept] = sample.labels[:kept], sample.scores[:kept]
    return boxes, labels, scores


Transform = Callable[[Sample, Random], Sample]


def apply_all(transforms: Sequence[Transform], sample: Sample, random: Random) -> Sample:
    """Apply the transforms in order, all drawing from one generator."""
    for transform in transforms:
        sample = transform(sample, random)
    return sample
