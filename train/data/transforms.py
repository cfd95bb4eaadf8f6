"""What happens to a grey image between the file and the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Normalise:
    """uint8 [H, W] to float32 [1, *size]: set in the middle of black, then (x / 255 - mean) / std.

    `size`: height and width, at least the image's own.
    """

    size: tuple[int, int]
    mean: float
    std: float

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = image.shape
        top, left = (self.size[0] - height) // 2, (self.size[1] - width) // 2
        canvas = np.zeros((1, *self.size), np.float32)
        canvas[0, top : top + height, left : left + width] = image
        canvas *= np.float32(1 / (255 * self.std))
        canvas -= np.float32(self.mean / self.std)
        return canvas


@dataclass(frozen=True)
class RandomCropFlip:
    """Shift by up to `padding` pixels each way (black border), then mirror with `flip_probability`."""

    padding: int
    flip_probability: float

    def __call__(self, image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        top, left = random.integers(0, 2 * self.padding + 1, 2)
        mirrored = random.random() < self.flip_probability
        height, width = image.shape
        padded = np.zeros((height + 2 * self.padding, width + 2 * self.padding), image.dtype)
        padded[self.padding : self.padding + height, self.padding : self.padding + width] = image
        cropped = padded[top : top + height, left : left + width]
        return cropped[:, ::-1] if mirrored else cropped
