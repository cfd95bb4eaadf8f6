"""PaddleSeg's operations, also of its Matting: the list `Deploy.transforms` of `deploy.yaml`, or of
`inference.yml` as PaddleX 3 names it."""

from __future__ import annotations

from collections.abc import Mapping

from qcc.calibrate.data.suites.made import (
    Made,
    Operation,
)
from qcc.calibrate.data.suites.options import Options

# From here on, a longest side is none.
_NO_LIMIT = 1e10


def _load(made: Made, options: Options) -> None:
    if not options.flag("to_rgb", True):
        made.content["channels"] = "BGR"


def _resize(made: Made, options: Options) -> None:
    made.step(
        "Resize",
        size=options.turned("target_size", 512),
        keep_ratio=options.flag("keep_ratio", False),
        sampled_by="size",
        multiple=options.whole("size_divisor", 1),
        **options.interpolated("interp"),
    )


def by_long(made: Made, options: Options) -> None:
    made.step("ResizeLong", length=options.whole("long_size"), **options.interpolated("interp"))


def by_short_of(made: Made, options: Options) -> None:
    """The shorter side becomes a length, unless the longer one would exceed `max_size`, which it becomes
    then."""
    most = options.number("max_size", -1)
    length, how = options.whole("short_size"), options.interpolated("interp")
    if 0 < most < _NO_LIMIT:
        made.step("Resize", size=[length, int(most)], keep_ratio=True, sampled_by="size", **how)
    else:
        made.step("ResizeShort", length=length, **how)


def _limit(side: str) -> Operation:
    def limit(made: Made, options: Options) -> None:
        limits = {"least": f"min_{side}", "most": f"max_{side}"}
        said = {limit: options.whole(key) for limit, key in limits.items() if options.says(key)}
        made.step("LimitSide", side=side, **said)

    return limit


def _to_multiple(made: Made, options: Options) -> None:
    made.step("ResizeMultiple", multiple=options.whole("mult_int", 32))


def _pad(made: Made, options: Options) -> None:
    value = options.floats("im_padding_value", 127.5)
    made.pad("Pad", value, whole=True, size=options.turned("target_size"))


def _pad_ratio(made: Made, options: Options) -> None:
    value = options.floats("im_padding_value", 127.5)
    ratio = options.number("aspect_ratio", 1)
    made.pad("PadRatio", value, whole=True, ratio=ratio)


def _normalize(made: Made, options: Options) -> None:
    made.normalize(1 / 255, *(options.floats(key, 0.5) for key in ("mean", "std")))


OPERATIONS: Mapping[str, Operation] = {
    "LoadImages": _load,
    "Resize": _resize,
    "ResizeByLong": by_long,
    "ResizeByShort": by_short_of,
    "LimitLong": _limit("long"),
    "LimitShort": _limit("short"),
    "ResizeToIntMult": _to_multiple,
    "Padding": _pad,
    "PaddingByAspectRatio": _pad_ratio,
    "Normalize": _normalize,
}
