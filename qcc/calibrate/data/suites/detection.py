"""PaddleDetection's operations, the list `Preprocess` of `infer_cfg.yml`."""

from __future__ import annotations

from collections.abc import Mapping

from qcc.calibrate.data.suites.made import (
    IMAGENET,
    Made,
    Operation,
    Options,
    floats,
    interpolated,
    pair,
    turned,
)


def resize(made: Made, options: Options) -> None:
    size, longest = options["target_size"], options.get("max_size")
    how = interpolated(options.get("interp", 1))
    if longest:
        # Of PaddleDetection 0.x: the shorter side, and what the longer one may be.
        made.step("Resize", size=[int(size), int(longest)], keep_ratio=True, **how)
    else:
        made.step("Resize", size=pair(size), keep_ratio=bool(options.get("keep_ratio", False)), **how)


def normalize(made: Made, options: Options) -> None:
    scale = 1 / 255 if options.get("is_scale", True) else 1.0
    if options.get("norm_type", "mean_std") == "none":
        made.normalize(scale, [0.0], [1.0])
    else:
        made.normalize(scale, *(floats(options.get(key) or IMAGENET[key]) for key in ("mean", "std")))


def permute(made: Made, options: Options) -> None:
    if options.get("channel_first", True):
        made.content["layout"] = "NCHW"
    if options.get("to_bgr", False):
        made.swap_channels()


def _letter_box(made: Made, options: Options) -> None:
    size = pair(options["target_size"])
    made.pad("Fit", 127.5, whole=True, size=size, place="center", interpolation="area")


def _top_down(made: Made, options: Options) -> None:
    """Of a person, or whatever else has key points, which fills the image: resized, as PaddleDetection's C++
    deployment does."""
    made.step("Resize", size=turned(options["trainsize"]))


def _warp(made: Made, options: Options) -> None:
    """Of CenterNet: the longer side fills a square, and colours become BGR."""
    size = [int(options.get(key, 512)) for key in ("input_h", "input_w")]
    if options.get("keep_res", False) or size[0] != size[1]:
        raise ValueError("only a square is known here")
    made.swap_channels()
    made.pad("Fit", 0, size=size, place="center")


def _pad(made: Made, options: Options) -> None:
    size = options.get("size") or 640
    size = pair(size[-2:] if isinstance(size, list) else size)
    made.pad("Pad", options.get("fill_value", 127.5), size=size)


def _pad_stride(made: Made, options: Options) -> None:
    stride = int(options.get("stride", 0))
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
