"""The operations of PaddleClas, PaddleOCR and PaddleX 3, the list `PreProcess.transform_ops` of
`inference.yml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qcc.calibrate.data.suites import detection
from qcc.calibrate.data.suites.made import (
    IMAGENET,
    Made,
    Operation,
    Options,
    by_short,
    floats,
    interpolated,
    nothing,
    pair,
    turned,
)

# As wide as PaddleOCR reads a line of text, in pixels; a longer one is squeezed.
_WIDEST_LINE = 3200
_OF_PILLOW = {
    "nearest": "nearest",
    "bilinear": "linear",
    "bicubic": "cubic",
    "box": "area",
    "lanczos": "lanczos",
}
# By the side that DetResizeForTest's `limit_type` measures.
_LIMITED = {"min": "short", "max": "long"}


def _decode(made: Made, options: Options) -> None:
    """PaddleOCR names the order of channels, PaddleClas says whether OpenCV's is turned."""
    turned_to = "RGB" if options.get("to_rgb", True) else "BGR"
    made.content["channels"] = options.get("img_mode", turned_to)


def _normalize(made: Made, options: Options) -> None:
    scale = options.get("scale")
    mean, std = (floats(options.get(key) or IMAGENET[key]) for key in ("mean", "std"))
    made.normalize(1 / 255 if scale is None else _number(scale), mean, std)


def _number(value: Any) -> float:
    """A number, or a fraction as text: "1./255."."""
    if not isinstance(value, str):
        return float(value)
    above, slash, below = value.partition("/")
    return float(above) / float(below) if slash else float(above)


def _classes_resize(made: Made, options: Options) -> None:
    how = _by_library(options.get("backend", "cv2"), options.get("interpolation"))
    if options.get("resize_short"):
        by_short(made, options["resize_short"], **how)
    else:
        made.step("Resize", size=turned(options["size"]), **how)


def _by_library(library: str, interpolation: Any) -> Options:
    """PaddleClas' `backend`, by which photos are resized; where nothing says how, Pillow's way is cubic."""
    if library.lower() == "cv2":
        return interpolated(interpolation)
    if library.lower() != "pil":
        raise ValueError
    how = "bicubic" if interpolation is None else interpolation.lower()
    return {"library": "pillow", "interpolation": _OF_PILLOW[how]}


def _crop(made: Made, options: Options) -> None:
    made.step("CenterCrop", size=turned(options["size"]))


def _page_resize(made: Made, options: Options) -> None:
    """DetResizeForTest, by the first of its options that is given, in the order in which it asks for them."""
    if options.get("image_shape"):
        if options.get("keep_ratio"):
            raise ValueError("the width that this gives is known to no step")
        made.step("Resize", size=pair(options["image_shape"]))
    elif options.get("limit_side_len") or not options.get("resize_long"):
        side = _LIMITED[options.get("limit_type", "min")]
        made.step("ResizeLimit", side=side, length=int(options.get("limit_side_len") or 736))
    else:
        made.step("ResizeLong", length=int(options["resize_long"]), rounding="down", multiple=128)


def _line(made: Made, options: Options) -> None:
    """A line of text, resized and normalized in one."""
    made.step("FitHeight", size=options["image_shape"][1:])
    made.normalize(1 / 255, [0.5], [0.5])
    made.content["layout"] = "NCHW"


def _line_as_wide_as_it_is(made: Made, options: Options) -> None:
    _line(made, options)
    made.content["steps"][-1]["widest"] = _WIDEST_LINE


def _table(made: Made, options: Options) -> None:
    made.step("ResizeLong", length=int(options["max_len"]), rounding="down")


def _table_pad(made: Made, options: Options) -> None:
    made.pad("Pad", 0.0, size=pair(options["size"]))


OPERATIONS: Mapping[str, Operation] = {
    "DecodeImage": _decode,
    "NormalizeImage": _normalize,
    "ToCHWImage": detection.permute,
    "ResizeImage": _classes_resize,
    "CropImage": _crop,
    "DetResizeForTest": _page_resize,
    "RecResizeImg": _line_as_wide_as_it_is,
    "ClsResizeImg": _line,
    "ResizeTableImage": _table,
    "PaddingTableImage": _table_pad,
    "KeepKeys": nothing,
    "DetResize": detection.resize,
    "DetNormalizeImage": detection.normalize,
    "DetPermute": detection.permute,
}
