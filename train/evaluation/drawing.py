"""Drawing detections on pictures."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_LEAST_SIDE = 480  # smaller pictures are enlarged, or their text would cover them
_LARGEST_SIDE = 4096  # but narrow strips not beyond this
_OUTSIDE = 8.0
_FONT, _FONT_SCALE, _PADDING = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 3


@dataclass(frozen=True)
class Detection:
    """`box`: left, top, right, bottom in pixels of the image file."""

    class_id: int
    class_name: str
    score: float
    box: tuple[float, float, float, float]


def draw(image: NDArray[np.uint8], found: Sequence[Detection]) -> NDArray[np.uint8]:
    """A copy of `image`, uint8 [H, W, 3] in RGB order, with a frame, class and score per detection.

    The likeliest is drawn last, over the others. Pictures with a side under 480 pixels come out two or more
    times as large, unless the other one would come out at more than 4096.
    """
    height, width = image.shape[:2]
    times = max(1, min(-(-_LEAST_SIDE // min(height, width)), _LARGEST_SIDE // max(height, width)))
    canvas = cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_LINEAR)
    for detection in sorted(found, key=lambda one: one.score):
        colour = class_colour(detection.class_id)
        left, top, right, bottom = (round(edge * times) for edge in _near(detection.box, width, height))
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, 2)
        _label(canvas, f"{_drawable(detection)} {detection.score:.2f}", left, top, colour)
    return canvas.astype(np.uint8, copy=False)


def _near(box: tuple[float, float, float, float], width: int, height: int) -> Iterator[float]:
    """The edges, those far outside brought to just outside, where OpenCV can count to them."""
    for edge, side in zip(box, (width, height, width, height), strict=True):
        yield min(max(edge, -_OUTSIDE), side + _OUTSIDE)


def _drawable(detection: Detection) -> str:
    """The class's name, or its number where OpenCV's font, which has ASCII, would draw question marks."""
    return detection.class_name if detection.class_name.isascii() else f"class {detection.class_id}"


def class_colour(class_id: int) -> tuple[int, int, int]:
    """A colour of its own for each class: hues a golden angle apart."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * 0.618 % 1, 0.85, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def _label(canvas: NDArray[Any], text: str, left: int, top: int, colour: tuple[int, int, int]) -> None:
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    width, height = width + 2 * _PADDING, height + 2 * _PADDING
    # Inside the picture, above the box where there is room.
    left = max(0, min(left, canvas.shape[1] - width))
    top = top - height if top >= height else top
    cv2.rectangle(canvas, (left, top), (left + width, top + height), colour, -1)
    bright = sum(share * part for share, part in zip((0.299, 0.587, 0.114), colour, strict=True)) > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    place = (left + _PADDING, top + height - _PADDING)
    cv2.putText(canvas, text, place, _FONT, _FONT_SCALE, ink, 1, cv2.LINE_AA)
