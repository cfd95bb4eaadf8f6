"""The operations of PaddleX 1 and 2, the list `Transforms` of `model.yml`: there they are Python objects,
written down with all that they hold."""

from __future__ import annotations

from collections.abc import Mapping

from qcc.calibrate.data.suites import segmentation
from qcc.calibrate.data.suites.made import (
    Made,
    Operation,
)
from qcc.calibrate.data.suites.options import Options, WrongOption


def _resize(made: Made, options: Options) -> None:
    """Its `keep_ratio` fits an image into the size without padding it; into a square as any other does."""
    size, keep_ratio = options.pair("target_size"), options.flag("keep_ratio", False)
    if keep_ratio and size[0] != size[1]:
        raise WrongOption("keep_ratio is known here for squares alone")
    how = options.interpolated("interp")
    made.step("Resize", size=size, keep_ratio=keep_ratio, sampled_by="size", **how)


def _crop(made: Made, options: Options) -> None:
    made.step("CenterCrop", size=options.pair("crop_size"))


def _normalize(made: Made, options: Options) -> None:
    lowest, highest = options.floats("min_val", 0.0), options.floats("max_val", 255.0)
    if any(lowest) or len(set(highest)) != 1 or highest[0] <= 0:
        raise WrongOption("only a min_val of 0, and one max_val above it for all channels, are known here")
    scale = 1 / highest[0] if options.flag("is_scale", True) else 1.0
    made.normalize(scale, options.floats("mean"), options.floats("std"))


def _pad(made: Made, options: Options) -> None:
    """To a size, or to multiples of a stride: `size_divisor` of PaddleX 2, `coarsest_stride` of PaddleX 1."""
    if options.get("pad_mode", 0) != 0:
        raise WrongOption("only a pad_mode of 0 is known here")
    value = options.floats("im_padding_value", 0.0 if "coarsest_stride" in options else 127.5)
    if options.says("target_size"):
        made.pad("Pad", value, size=options.pair("target_size"))
    else:
        stride = options.whole("coarsest_stride", options.whole("size_divisor", 1))
        made.pad("PadStride", value, stride=stride)


OPERATIONS: Mapping[str, Operation] = {
    "Resize": _resize,
    "ResizeByShort": segmentation.by_short_of,
    "ResizeByLong": segmentation.by_long,
    "CenterCrop": _crop,
    "Normalize": _normalize,
    "Padding": _pad,
    "BatchPadding": _pad,
}
