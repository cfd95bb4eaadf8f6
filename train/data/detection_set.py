"""Images with boxes, as every detection reader returns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qcc.errors import DataError
from qcc.shown import counted

_ROUNDING = 1.0


@dataclass(frozen=True)
class BoxedImage:
    """One image file and its boxes. `image_id`: its number in the set, or COCO's own, which may be a string.

    `boxes`: float32 [B, 4], left, top, right, bottom in pixels; `labels`: int64 [B], numbers of classes from
    0; `difficult`: bool [B], boxes that an evaluation leaves out. `width` and `height`: the annotation's.
    """

    path: Path
    image_id: int | str
    width: int
    height: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]

    def has_boxes(self) -> bool:
        """Whether there is a box that counts, one that is not difficult."""
        return not self.difficult.all()


@dataclass
class BadData:
    """What to do about bad data: raise an error, or with `skip` leave the image out and count it."""

    skip: bool = False
    _messages: dict[str, None] = field(default_factory=dict)
    _empty_boxes: dict[str, None] = field(default_factory=dict)

    def found(self, message: str) -> None:
        """Raises DataError with the message, or keeps it."""
        if not self.skip:
            raise DataError(message)
        self._messages[message] = None  # once, though several passes meet it

    def empty_box(self, message: str) -> None:
        """Keep what tells of a box that is left out alone, as PaddleDetection does, since it has no area."""
        self._empty_boxes[message] = None

    @property
    def messages(self) -> list[str]:
        """One for each image that was left out."""
        return list(self._messages)

    @property
    def empty_boxes(self) -> list[str]:
        """One for each box without area."""
        return list(self._empty_boxes)

    def left_out(self) -> str:
        """What completes a sentence about there being too little."""
        return f"; {counted(len(self._messages), 'bad image')} left out" if self._messages else ""


@dataclass(frozen=True)
class DetectionSet:
    """`source`: what the set was read from, for messages. There is at least one image."""

    source: str
    class_names: tuple[str, ...]
    images: tuple[BoxedImage, ...]
    bad: BadData

    def __post_init__(self) -> None:
        if not self.images:
            raise DataError(f"{self.source} gives no image{self.bad.left_out()}.")

    def __len__(self) -> int:
        return len(self.images)

    def has_boxes(self) -> bool:
        """Whether an image has a box that counts."""
        return any(image.has_boxes() for image in self.images)


def class_numbers(names: Sequence[str], source: str) -> dict[str, int]:
    """From a class's name to its number. Raises DataError when a name stands twice."""
    numbers = {name: number for number, name in enumerate(names)}
    if len(numbers) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise DataError(f"{source}: class '{twice}' stands twice.")
    return numbers


def absence(path: Path) -> str | None:
    """What completes "PATH ..." where there is no such file, or None."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def fitted(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
    """A box (left, top, right, bottom) cut at the edges of its image, if it reaches over them by a pixel at
    most, as rounding makes it; one that reaches further stays as it is."""
    left, top, right, bottom = box
    cut = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    rounding = all(abs(new - old) <= _ROUNDING for new, old in zip(cut, box, strict=True))
    return cut if rounding else (left, top, right, bottom)


def empty_box(box: Sequence[float]) -> str | None:
    """What tells of a box (left, top, right, bottom) that ends where it begins, as one does of which no more
    than the edge is in the image; None where it has an area, or ends before it begins."""
    left, top, right, bottom = box
    if min(right - left, bottom - top) != 0:
        return None
    return f"{_shown(box)} has no area"


def _shown(box: Sequence[float]) -> str:
    left, top, right, bottom = box
    return f"box {left:g}, {top:g}, {right:g}, {bottom:g} (left, top, right, bottom)"


def box_fault(box: Sequence[float], width: int, height: int) -> str | None:
    """What is wrong with a box (left, top, right, bottom) in an image of this size, or None."""
    left, top, right, bottom = box
    if not all(np.isfinite(box)):
        return f"{_shown(box)} is not finite"
    if right < left or bottom < top:
        return f"{_shown(box)} ends before it begins"
    if left < 0 or top < 0 or right > width or bottom > height:
        return f"{_shown(box)} reaches outside the image of {width} x {height} pixels"
    return None
