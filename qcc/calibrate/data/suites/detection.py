"""PaddleDetection's operations, the list `Preprocess` of `infer_cfg.yml`."""

from __future__ import annotations

from collections.abc import Mapping

from qcc.calibrate.data.suites.made import (
    IMAGENET,
    Made,
    Operation,
)
from qcc.calibrate.data.suites.options import Options, WrongOption

# Pillow's own numbers, which are not OpenCV's.
_OF_PILLOW = {0: "nearest", 1: "lanczos", 2: "linear", 3: "cubic", 4: "area"}


def resize(made: Made, options: Options) -> None:
    if options.says("max_size"):
        _resize_short(made, options)
    elif options.flag("use_cv2", True):
        keep_ratio, how = options.flag("keep_ratio", False), options.interpolated("interp", 1)
        made.step("Resize", size=options.pair("target_size"), keep_ratio=keep_ratio, **how)
    else:
        # Of PaddleDetection 0.x, as its SSD has it.
        by_pillow = {"library": "pillow", "interpolation": options.choice("interp", _OF_PILLOW, 1)}
        made.step("Resize", size=options.pair("target_size"), **by_pillow)


def _resize_short(made: Made, options: Options) -> None:
    """Of PaddleDetection 0.x: the shorter side, and what the longer one may be; a network of one size gets a
    square of that."""
    most = options.whole("max_size")
    how = options.interpolated("interp", 1)
    if not options.flag("use_cv2", True):
        raise WrongOption("max_size goes with use_cv2: true alone")
    made.step("Resize", size=[options.whole("target_size"), most], keep_ratio=True, **how)
    if options.get("image_shape") is not None:
        made.pad("Pad", [0.0], size=[most, most])


def normalize(made: Made, options: Options) -> None:
    scale = 1 / 255 if options.flag("is_scale", True) else 1.0
    norm_type = options.get("norm_type", "mean_std")
    if norm_type not in ("mean_std", "none", None):
        raise WrongOption(f"norm_type should be mean_std or none, not {norm_type!r}")
    if norm_type != "mean_std":
        made.normalize(scale, [0.0], [1.0])
    else:
        made.normalize(scale, *(options.floats(key, IMAGENET[key]) for key in ("mean", "std")))


def permute(made: Made, options: Options) -> None:
    if options.flag("channel_first", True):
        made.content["layout"] = "NCHW"
    if options.flag("to_bgr", False):
        made.swap_channels()


def _letter_box(made: Made, options: Options) -> None:
    size = options.pair("target_size")
    made.pad("Fit", [127.5], whole=True, size=size, place="center", interpolation="area")


def _top_down(made: Made, options: Options) -> None:
    """Of a person, or whatever else has key points, which fills the image: resized, as PaddleDetection's C++
    deployment does."""
    made.step("Resize", size=options.turned("trainsize"))


def _warp(made: Made, options: Options) -> None:
    """Of CenterNet: the longer side fills a square, and colours become BGR."""
    size = [options.whole(key, 512) for key in ("input_h", "input_w")]
    if options.flag("keep_res", False) or size[0] != size[1]:
        raise WrongOption("only a square is known here, without keep_res")
    made.swap_channels()
    made.pad("Fit", [0], size=size, place="center")


def _pad(made: Made, options: Options) -> None:
    size = options.pair("size", 640, behind_channels=True)
    made.pad("Pad", options.floats("fill_value", 127.5), size=size)


def _pad_stride(made: Made, options: Options) -> None:
    stride = options.whole("stride", 0)
    if stride > 0:
        made.step("PadStride", stride=stride)


OPERATIONS: Mapping[str, Operation] = {
    "Resize": resize,
    "LetterBoxResize": _letter_box,
    "TopDownEvalAffine": _top_down,
    "WarpAffine": _warp,
    "Pad": _pad,
    "PadStride": _pad_stride,
    "NormalizeImage": normalize,
    "Normalize": normalize,
    "Permute": permute,
}
