"""The operations of PaddleX 1 and 2, the list `Transforms` of `model.yml`: there they are Python objects,
written down with all that they hold."""

from __future__ import annotations

from collections.abc import Mapping

from qcc.calibrate.data.suites import segmentation
from qcc.calibrate.data.suites.made import (
    Made,
    Operation,
    Options,
    floats,
    interpolated,
    pair,
)


def _resize(made: Made, options: Options) -> None:
    """Its `keep_ratio` fits an image into the size without padding it; into a square as any other does."""
    size = pair(options["target_size"])
    keep_ratio = bool(options.get("keep_ratio", False))
    if keep_ratio and size[0] != size[1]:
        raise ValueError
    made.step("Resize", size=size, keep_ratio=keep_ratio, **interpolated(options.get("interp")))


def _crop(made: Made, options: Options) -> None:
    made.step("CenterCrop", size=pair(options["crop_size"]))


def _normalize(made: Made, options: Options) -> None:
    lowest, highest = floats(options.get("min_val", 0.0)), floats(options.get("max_val", 255.0))
    if any(lowest) or len(set(highest)) != 1:
        raise ValueError
    scale = 1 / highest[0] if options.get("is_scale", True) else 1.0
    made.normalize(scale, floats(options["mean"]), floats(options["std"]))


def _pad(made: Made, options: Options) -> None:
    """To a size, or to multiples of a stride: `size_divisor` of PaddleX 2, `coarsest_stride` of PaddleX 1."""
    if options.get("pad_mode", 0) != 0:
        raise ValueError
    value = options.get("im_padding_value", 0.0 if "coarsest_stride" in options else 127.5)
    if options.get("target_size"):
        made.pad("Pad", value, size=pair(options["target_size"]))
    else:
        stride = int(options.get("coarsest_stride") or options.get("size_divisor") or 1)
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
