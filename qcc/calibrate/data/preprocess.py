"""How an image becomes what a model is fed with: the grammar of `--preprocess FILE.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from qcc.grammar.document import read_document
from qcc.grammar.section import Section, validate

# In pixels.
Length = Annotated[int, Field(ge=1, le=1 << 16)]
Size = tuple[Length, Length]
Interpolation = Literal["nearest", "linear", "cubic", "area", "lanczos"]
Library = Literal["opencv", "pillow"]
# Pixels are computed in float32, where what lies beyond becomes infinite, or nothing.
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
PositiveNumber = Annotated[float, Field(ge=1e-12, le=1e12)]
# Of a padded pixel: of all channels, or of each in their order.
Value = Number | tuple[Number, ...] | None


class Resize(Section):
    """Resize to a size.

    With keep_ratio the shorter side becomes the smaller of the two sizes, unless the longer side would then
    exceed the larger one, which it becomes instead: so PaddleDetection's Resize does.
    """

    type: Literal["Resize"]
    """Which step it is."""
    size: Size
    """Height and width."""
    keep_ratio: bool = False
    """Keep the ratio of height to width."""
    sampled_by: Literal["ratio", "size"] = "ratio"
    """With keep_ratio, how pixels are found that are computed: by the ratio itself, as PaddleDetection does,
    or by the whole number of pixels that comes out, as PaddleSeg and PaddleX do. By the size, too, where
    `multiple` changes it, and by pillow."""
    multiple: Length = 1
    """Both sides are then rounded up to multiples of it."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""
    library: Library = "opencv"
    """By which library: pillow, which some classifiers of PaddleClas want, averages over all pixels where it
    makes an image smaller."""


class ResizeShort(Section):
    """Resize so that the shorter side has a length; the ratio stays."""

    type: Literal["ResizeShort"]
    """Which step it is."""
    length: Length
    """Of the shorter side, in pixels."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""
    library: Library = "opencv"
    """By which library: pillow, which some classifiers of PaddleClas want, averages over all pixels where it
    makes an image smaller."""


class ResizeLong(Section):
    """Resize so that the longer side has a length; the ratio stays, but for the rounding to `multiple`."""

    type: Literal["ResizeLong"]
    """Which step it is."""
    length: Length
    """Of the longer side, in pixels."""
    rounding: Literal["nearest", "down"] = "nearest"
    """How both sides become whole pixels: PaddleSeg takes the nearest number, PaddleOCR rounds down."""
    multiple: Length = 1
    """Both sides are then rounded up to multiples of it."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""


class ResizeLimit(Section):
    """Resize only what is too small, or too large; both sides then are rounded to multiples.

    So PP-OCR's detectors prepare pages (DetResizeForTest with limit_side_len).
    """

    type: Literal["ResizeLimit"]
    """Which step it is."""
    side: Literal["short", "long"] = "short"
    """short: the shorter side gets at least the length; long: the longer side gets at most the length."""
    length: Length = 736
    """In pixels."""
    multiple: Length = 32
    """Both sides become the nearest multiples of it."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""


class LimitSide(Section):
    """Resize where a side is shorter or longer than it may be; the ratio stays. So PaddleSeg does."""

    type: Literal["LimitSide"]
    """Which step it is."""
    side: Literal["short", "long"]
    """Which side is measured, the shorter or the longer one."""
    least: Length | None = None
    """As short as it may be, in pixels."""
    most: Length | None = None
    """As long as it may be, in pixels."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""


class ResizeMultiple(Section):
    """Resize so that both sides are multiples of a number, the largest that are not above what they were."""

    type: Literal["ResizeMultiple"]
    """Which step it is."""
    multiple: Length = 32
    """In pixels."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""


class Fit(Section):
    """Resize so that the image fits into a size, its ratio kept, and pad it to that size (letter box)."""

    type: Literal["Fit"]
    """Which step it is."""
    size: Size
    """Height and width."""
    place: Literal["corner", "center"] = "corner"
    """Where the image stands in the size: in the upper left corner, or in the middle."""
    value: Value = None
    """A pixel of 0 to 255 to pad with, or one for each channel; null: what normalizing makes 0."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""


class FitHeight(Section):
    """Resize to the height of a size, the ratio kept, and pad the width on the right. So PP-OCR's recognizers
    and classifiers prepare lines of text."""

    type: Literal["FitHeight"]
    """Which step it is."""
    size: Size
    """Height and width."""
    widest: Length | None = None
    """What would be wider than the size is as wide as it comes out, up to so many pixels; null: it is
    squeezed into the size, as it is for a model that declares its width."""
    value: Value = None
    """A pixel of 0 to 255 to pad with, or one for each channel; null: what normalizing makes 0."""
    interpolation: Interpolation = "linear"
    """How pixels between pixels are computed."""


class CenterCrop(Section):
    """Cut the middle out. An image that is smaller is an error."""

    type: Literal["CenterCrop"]
    """Which step it is."""
    size: Size
    """Height and width."""


class Pad(Section):
    """Pad on the right and at the bottom to a size. An image that is larger is an error."""

    type: Literal["Pad"]
    """Which step it is."""
    size: Size
    """Height and width."""
    value: Value = None
    """A pixel of 0 to 255 to pad with, or one for each channel; null: what normalizing makes 0."""


class PadStride(Section):
    """Pad on the right and at the bottom to multiples of a stride."""

    type: Literal["PadStride"]
    """Which step it is."""
    stride: Length
    """Height and width become multiples of it."""
    value: Value = None
    """A pixel of 0 to 255 to pad with, or one for each channel; null: what normalizing makes 0."""


class PadRatio(Section):
    """Pad on the right, or at the bottom, until the width is so many times the height."""

    type: Literal["PadRatio"]
    """Which step it is."""
    ratio: PositiveFloat
    """Width to height."""
    value: Value = None
    """A pixel of 0 to 255 to pad with, or one for each channel; null: what normalizing makes 0."""


Step = Annotated[
    Resize
    | ResizeShort
    | ResizeLong
    | ResizeLimit
    | LimitSide
    | ResizeMultiple
    | Fit
    | FitHeight
    | CenterCrop
    | Pad
    | PadStride
    | PadRatio,
    Field(discriminator="type"),
]


class Preprocess(Section):
    """How an image file becomes the input of a model: a file for `qcc quantize --preprocess`.

    An image is decoded to pixels of 0 to 255, goes through the steps, and becomes (pixel * scale - mean) /
    std. Feeds besides the image are known by their names: im_shape is height and width behind the last
    resize, scale_factor what that resize has multiplied them by, im_size height and width of the file
    (float or integer, as the model declares them), im_info height and width of what comes out, with the
    scale. An im_shape of three numbers, as of PaddleDetection 0.x, is height and width of the file, and 1.
    """

    steps: tuple[Step, ...] = ()
    """What changes the size, one behind the other; each has a help of its own."""
    channels: Literal["RGB", "BGR", "GRAY"] = "RGB"
    """The channels, and their order. PP-OCR's models want BGR, most others RGB; GRAY is one channel, how
    bright a pixel is (0.299 R + 0.587 G + 0.114 B)."""
    scale: PositiveNumber = 1 / 255
    """What pixels are multiplied by."""
    mean: tuple[Number, ...] = (0.0,)
    """What is then subtracted, for each channel in their order; a single value is that of all."""
    std: tuple[PositiveNumber, ...] = (1.0,)
    """What is then divided by, likewise."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    """The order of the input's dimensions: channels before or behind height and width."""

    @model_validator(mode="after")
    def _values_of_each_channel(self) -> Preprocess:
        count = 1 if self.channels == "GRAY" else 3
        padded = ((step.type, getattr(step, "value", None)) for step in self.steps)
        listed = [(f"value of {kind}", value) for kind, value in padded if isinstance(value, tuple)]
        for name, values in (("mean", self.mean), ("std", self.std), *listed):
            if len(values) not in (1, count):
                wanted = "one value" if count == 1 else f"one value or {count}"
                raise ValueError(f"{name} needs {wanted} with channels {self.channels}, not {len(values)}")
        return self


def read_preprocess(path: Path) -> Preprocess:
    """Read a file of this grammar.  Raises ConfigError with file, line and key."""
    document = read_document(path)
    return validate(Preprocess, document.data, document, ())


_CHANNELS = (1, 3)


def template(image_shape: tuple[int, ...] | None) -> str:
    """A file to start from, for a model whose image feed is declared with this shape."""
    shape = image_shape or (-1, 3, -1, -1)
    last = len(shape) == 4 and shape[3] in _CHANNELS and shape[1] not in _CHANNELS
    gray = shape[3 if last else 1] == 1
    height, width = (length if length > 0 else 224 for length in (shape[1:3] if last else shape[2:4]))
    return f"""\
# How an image is prepared for the model; `qcc config help Preprocess` explains each key.
steps:
  - {{type: Resize, size: [{height}, {width}]}}
channels: {"GRAY" if gray else "RGB"}
scale: {1 / 255}
mean: {"[0.5]" if gray else "[0.485, 0.456, 0.406]"}
std: {"[0.5]" if gray else "[0.229, 0.224, 0.225]"}
layout: {"NHWC" if last else "NCHW"}
"""
