"""Photos with words on them for the three networks of PP-OCR, and how their outputs are compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from qcc.train.data.cache import dataset

WORDS = (
    "Quantization",
    "detector",
    "Paddle",
    "2026",
    "network",
    "faster",
    "accuracy",
    "EXIT",
    "42",
    "Street",
)


def with_words(random: np.random.Generator, height: int, width: int, words: int) -> np.ndarray:
    """A piece of a real aerial photo with words written on it: uint8 [height, width, 3]."""
    photo = _photo()
    top, left = (int(random.integers(0, side - 300)) for side in photo.shape[:2])
    picture = cv2.resize(photo[top : top + 300, left : left + 300], (width, height))
    for _ in range(words):
        place = (int(random.integers(2, width // 4)), int(random.integers(height // 2, height - 5)))
        if words > 1:
            place = (int(random.integers(2, width - 120)), int(random.integers(30, height - 10)))
        colour = tuple(int(part) for part in random.integers(0, 256, 3))
        word, font = WORDS[int(random.integers(len(WORDS)))], int(random.integers(0, 4))
        cv2.putText(picture, word, place, font, float(random.uniform(0.6, 1.3)), colour, 2, cv2.LINE_AA)
    return picture


@cache
def _photo() -> np.ndarray:
    return cv2.imread(str(dataset("deepforest") / "SOAP_061.png"))


def page(side: int) -> Callable[[int], np.ndarray]:
    def make(number: int) -> np.ndarray:
        picture = with_words(np.random.default_rng(number), side, side, 6)
        scaled = (picture / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        return scaled.transpose(2, 0, 1)[None].astype(np.float32)

    return make


def line(width: int) -> Callable[[int], np.ndarray]:
    def make(number: int) -> np.ndarray:
        picture = with_words(np.random.default_rng(number), 48, width, 1)
        if number % 2:
            picture = picture[::-1, ::-1]
        return ((picture / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None].astype(np.float32)

    return make


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Intersection over union of the maps at 0.3, as PP-OCR cuts them."""
    left, right = found > 0.3, wanted > 0.3
    return float((left & right).sum() / max((left | right).sum(), 1))


def same_classes(found: np.ndarray, wanted: np.ndarray) -> float:
    return float((found.argmax(-1) == wanted.argmax(-1)).mean())


NETWORKS: dict[str, tuple[Callable[[int], np.ndarray], Callable[[np.ndarray, np.ndarray], float]]] = {
    "det": (page(320), overlap),
    "cls": (line(192), same_classes),
    "rec": (line(320), same_classes),
}
