"""Preparing an image as `qcc.calibrate.data.preprocess` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from qcc.calibrate.data.preprocess import (
    CenterCrop,
    Fit,
    FitHeight,
    Library,
    LimitSide,
    Pad,
    PadRatio,
    PadStride,
    Preprocess,
    Resize,
    ResizeLimit,
    ResizeLong,
    ResizeMultiple,
    ResizeShort,
    Value,
)
from qcc.errors import DataError

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
_OF_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "linear": Image.Resampling.BILINEAR,
    "cubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}

_MOST_PIXELS = 1 << 27
"""More than cameras take, and what a file from a stranger could ask for would fill the memory."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Prepared:
    """An image as a model takes it.

    `image`: float32 [C, H, W], or [H, W, C] in the layout NHWC. `im_shape`: height and width behind the last
    resize; `scale_factor`: what that has multiplied them by, before they were rounded where the ratio stays;
    `im_size`: height and width of the file; `size`: those of `image`.
    """

    image: np.ndarray
    im_shape: Size
    scale_factor: tuple[float, float]
    im_size: Size
    size: Size


class Preparation:
    """Makes images into inputs of a model."""

    def __init__(self, preprocess: Preprocess) -> None:
        self._steps = preprocess.steps
        self._channels = preprocess.channels
        self._first = preprocess.layout == "NCHW"
        self._scale = np.float32(preprocess.scale)
        self._mean = np.array(preprocess.mean, np.float32)
        self._std = np.array(preprocess.std, np.float32)
        # The pixel that becomes 0.
        self._nothing = self._mean / self._scale

    def __call__(self, pixels: np.ndarray, name: str) -> Prepared:
        """Prepare an image, uint8 [H, W, 3] in RGB order.  Raises DataError, with its name in front, when
        it does not fit a step."""
        canvas = _Canvas(_channels(pixels, self._channels), name, self._nothing)
        for step in self._steps:
            _STEPS[type(step)](canvas, step)
        image = (canvas.image.astype(np.float32) * self._scale - self._mean) / self._std
        if self._first:
            image = image.transpose(2, 0, 1)
        sizes = canvas.shape, canvas.factor, _size(pixels), _size(canvas.image)
        return Prepared(np.ascontiguousarray(image), *sizes)


def _channels(pixels: np.ndarray, wanted: str) -> np.ndarray:
    """The channels that a model takes, of pixels in RGB order."""
    if wanted == "GRAY":
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., np.newaxis]
    return pixels[..., ::-1] if wanted == "BGR" else pixels


def _size(image: np.ndarray) -> Size:
    height, width = image.shape[:2]
    return height, width


class _Canvas:
    """An image on its way through the steps: [H, W, C], uint8 until something else is painted on it."""

    def __init__(self, image: np.ndarray, name: str, nothing: np.ndarray) -> None:
        self.image, self._name, self._nothing = image, name, nothing
        self.shape = _size(image)
        self.factor = (1.0, 1.0)

    def resize(
        self,
        height: int,
        width: int,
        interpolation: str,
        library: Library = "opencv",
        ratio: float | None = None,
    ) -> None:
        """`ratio`: by which OpenCV is to find pixels, and not by the size that comes out of it."""
        old = self.image.shape[:2]
        size = (max(width, 1), max(height, 1))
        self._check_size(*size)
        image = np.ascontiguousarray(self.image)
        if library == "pillow":
            resized = self._by_pillow(image, size, interpolation)
        elif ratio is not None:
            resized = cv2.resize(image, None, None, ratio, ratio, _INTERPOLATIONS[interpolation])
        else:
            resized = cv2.resize(image, size, interpolation=_INTERPOLATIONS[interpolation])
        self.image = resized.reshape(*_size(resized), -1)  # of one channel, OpenCV drops the dimension
        self.shape = _size(self.image)
        self.factor = (self.shape[0] / old[0], self.shape[1] / old[1])

    def _by_pillow(self, image: np.ndarray, size: Size, interpolation: str) -> np.ndarray:
        if image.dtype != np.uint8:
            raise self.wrong(
                "has pixels that are no whole numbers, as Pillow wants them: resize it before it is padded"
            )
        # Of one channel, Pillow wants no dimension for it.
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        return np.asarray(picture.resize(size, _OF_PILLOW[interpolation]))

    def scale(self, ratio: float, interpolation: str, library: Library = "opencv") -> None:
        """Resize by a ratio, to the nearest whole pixels."""
        height, width = (round(side * ratio) for side in _size(self.image))
        self.resize(height, width, interpolation, library)

    def pad(self, height: int, width: int, value: Value, top: int = 0, left: int = 0) -> None:
        """Set the image into a larger one."""
        inner = self.image.shape[:2]
        if (height, width) == inner:
            return
        if height < inner[0] or width < inner[1]:
            raise self.wrong(f"cannot be padded to {height} x {width}")
        self._check_size(width, height)
        padded = np.empty((height, width, self.image.shape[2]), np.float32)
        padded[...] = self._nothing if value is None else np.asarray(value, np.float32)
        padded[top : top + inner[0], left : left + inner[1]] = self.image
        self.image = padded

    def crop(self, height: int, width: int) -> None:
        inner = self.image.shape[:2]
        if height > inner[0] or width > inner[1]:
            raise self.wrong(f"has no middle of {height} x {width} to be cut out: resize it before")
        top, left = (inner[0] - height) // 2, (inner[1] - width) // 2
        self.image = self.image[top : top + height, left : left + width]

    def _check_size(self, width: int, height: int) -> None:
        if width * height > _MOST_PIXELS:
            raise self.wrong(f"would become one of {height} x {width}, more than {_MOST_PIXELS:,} pixels")

    def wrong(self, what: str) -> DataError:
        height, width = self.image.shape[:2]
        return DataError(f"{self._name}, {height} x {width} pixels by then, {what}.")


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _resize(canvas: _Canvas, step: Resize) -> None:
    height, width = step.size
    ratio = None
    if step.keep_ratio:
        sides = canvas.image.shape[:2]
        ratio = min(min(step.size) / min(sides), max(step.size) / max(sides))
        height, width = (int(np.round(side * ratio)) for side in sides)
    # OpenCV takes no ratio that leaves nothing of a side.
    sampled = ratio if step.sampled_by == "ratio" and step.multiple == 1 and min(height, width) > 0 else None
    height, width = (_up(max(side, 1), step.multiple) for side in (height, width))
    canvas.resize(height, width, step.interpolation, step.library, sampled)
    if ratio is not None and step.multiple == 1:
        canvas.factor = (ratio, ratio)  # as PaddleDetection has it


def _resize_short(canvas: _Canvas, step: ResizeShort) -> None:
    canvas.scale(step.length / min(canvas.image.shape[:2]), step.interpolation, step.library)


def _resize_long(canvas: _Canvas, step: ResizeLong) -> None:
    ratio = step.length / max(canvas.image.shape[:2])
    whole = round if step.rounding == "nearest" else int
    sides = (max(whole(side * ratio), 1) for side in canvas.image.shape[:2])
    height, width = (_up(side, step.multiple) for side in sides)
    canvas.resize(height, width, step.interpolation)


def _resize_limit(canvas: _Canvas, step: ResizeLimit) -> None:
    short, long = sorted(canvas.image.shape[:2])
    ratio = max(step.length / short, 1.0) if step.side == "short" else min(step.length / long, 1.0)
    # PaddleOCR cuts to whole pixels before it rounds, and so finds ties.
    sides = (int(side * ratio) / step.multiple for side in canvas.image.shape[:2])
    height, width = (max(round(side), 1) * step.multiple for side in sides)
    canvas.resize(height, width, step.interpolation)


def _limit_side(canvas: _Canvas, step: LimitSide) -> None:
    sides = canvas.image.shape[:2]
    length = min(sides) if step.side == "short" else max(sides)
    wanted = max(length, step.least or length)
    wanted = min(wanted, step.most or wanted)
    if wanted != length:
        canvas.scale(wanted / length, step.interpolation)


def _resize_multiple(canvas: _Canvas, step: ResizeMultiple) -> None:
    height, width = (max(side // step.multiple, 1) * step.multiple for side in canvas.image.shape[:2])
    canvas.resize(height, width, step.interpolation)


def _fit(canvas: _Canvas, step: Fit) -> None:
    sides = canvas.image.shape[:2]
    ratio = min(size / length for size, length in zip(step.size, sides, strict=True))
    canvas.resize(round(sides[0] * ratio), round(sides[1] * ratio), step.interpolation)
    canvas.factor = (ratio, ratio)
    spare = [size - length for size, length in zip(step.size, canvas.shape, strict=True)]
    top, left = (room // 2 for room in spare) if step.place == "center" else (0, 0)
    canvas.pad(*step.size, step.value, top, left)


def _fit_height(canvas: _Canvas, step: FitHeight) -> None:
    height, (least, most) = step.size[0], (step.size[1], step.widest or step.size[1])
    exact = height * (canvas.image.shape[1] / canvas.image.shape[0])
    width = min(max(int(exact), least), max(least, most))  # rounded as PaddleOCR does
    canvas.resize(height, min(int(np.ceil(exact)), width), step.interpolation)
    canvas.pad(height, width, step.value)


def _crop(canvas: _Canvas, step: CenterCrop) -> None:
    canvas.crop(*step.size)


def _pad(canvas: _Canvas, step: Pad) -> None:
    canvas.pad(*step.size, step.value)


def _pad_stride(canvas: _Canvas, step: PadStride) -> None:
    height, width = (_up(side, step.stride) for side in canvas.image.shape[:2])
    canvas.pad(height, width, step.value)


def _pad_ratio(canvas: _Canvas, step: PadRatio) -> None:
    height, width = canvas.image.shape[:2]
    if width / height > step.ratio:
        height = int(width / step.ratio)
    else:
        width = int(height * step.ratio)
    canvas.pad(height, width, step.value)


_STEPS: Mapping[type, Callable[[_Canvas, Any], None]] = {
    Resize: _resize,
    ResizeShort: _resize_short,
    ResizeLong: _resize_long,
    ResizeLimit: _resize_limit,
    LimitSide: _limit_side,
    ResizeMultiple: _resize_multiple,
    Fit: _fit,
    FitHeight: _fit_height,
    CenterCrop: _crop,
    Pad: _pad,
    PadStride: _pad_stride,
    PadRatio: _pad_ratio,
}
