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
    nothing,
)
from qcc.calibrate.data.suites.options import Options, WrongOption

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
    turned_to = "RGB" if options.flag("to_rgb", True) else "BGR"
    made.content["channels"] = options.get("img_mode", turned_to)


def _normalize(made: Made, options: Options) -> None:
    mean, std = (options.floats(key, IMAGENET[key]) for key in ("mean", "std"))
    made.normalize(options.fraction("scale", 1 / 255), mean, std)


def _classes_resize(made: Made, options: Options) -> None:
    how = _by_library(options)
    if options.says("resize_short"):
        made.step("ResizeShort", length=options.whole("resize_short"), **how)
    else:
        made.step("Resize", size=options.turned("size"), **how)


def _by_library(options: Options) -> dict[str, Any]:
    """PaddleClas' `backend`, by which photos are resized; where nothing says how, Pillow's way is cubic."""
    if options.choice("backend", {"cv2": False, "pil": True}, "cv2"):
        how = options.choice("interpolation", _OF_PILLOW, "bicubic")
        return {"library": "pillow", "interpolation": how}
    return options.interpolated("interpolation")


def _crop(made: Made, options: Options) -> None:
    made.step("CenterCrop", size=options.turned("size"))


def _page_resize(made: Made, options: Options) -> None:
    """DetResizeForTest, by the first of its options that is given, in the order in which it asks for them."""
    if options.says("image_shape"):
        if options.flag("keep_ratio", False):
            raise WrongOption("the width that image_shape gives with keep_ratio is known to no step")
        made.step("Resize", size=options.pair("image_shape"))
    elif options.says("limit_side_len") or not options.says("resize_long"):
        side = options.choice("limit_type", _LIMITED, "min")
        made.step("ResizeLimit", side=side, length=options.whole("limit_side_len", 736))
    else:
        made.step("ResizeLong", length=options.whole("resize_long"), rounding="down", multiple=128)


def _line(made: Made, options: Options) -> None:
    """A line of text, resized and normalized in one."""
    made.step("FitHeight", size=options.pair("image_shape", behind_channels=True))
    made.normalize(1 / 255, [0.5], [0.5])
    made.content["layout"] = "NCHW"


def _line_as_wide_as_it_is(made: Made, options: Options) -> None:
    _line(made, options)
    made.content["steps"][-1]["widest"] = _WIDEST_LINE


def _table(made: Made, options: Options) -> None:
    made.step("ResizeLong", length=options.whole("max_len"), rounding="down")


def _table_pad(made: Made, options: Options) -> None:
    made.pad("Pad", [0.0], size=options.pair("size"))


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
