"""PaddleSeg's operations, also of its Matting: the list `Deploy.transforms` of `deploy.yaml`, or of
`inference.yml` as PaddleX 3 names it."""

from __future__ import annotations

from collections.abc import Mapping

from qcc.calibrate.data.suites.made import (
    Made,
    Operation,
    Options,
    by_short,
    floats,
    interpolated,
    turned,
)


def _load(made: Made, options: Options) -> None:
    if not options.get("to_rgb", True):
        made.content["channels"] = "BGR"


def _resize(made: Made, options: Options) -> None:
    made.step(
        "Resize",
        size=turned(options.get("target_size", 512)),
        keep_ratio=bool(options.get("keep_ratio", False)),
        multiple=int(options.get("size_divisor") or 1),
        **interpolated(options.get("interp")),
    )


def by_long(made: Made, options: Options) -> None:
    made.step("ResizeLong", length=int(options["long_size"]), **interpolated(options.get("interp")))


def by_short_of(made: Made, options: Options) -> None:
    by_short(made, options["short_size"], options.get("max_size"), **interpolated(options.get("interp")))


def _limit(side: str) -> Operation:
    def limit(made: Made, options: Options) -> None:
        limits = {"least": options.get(f"min_{side}"), "most": options.get(f"max_{side}")}
        made.step("LimitSide", side=side, **{key: int(value) for key, value in limits.items() if value})

    return limit


def _to_multiple(made: Made, options: Options) -> None:
    made.step("ResizeMultiple", multiple=int(options.get("mult_int", 32)))


def _pad(made: Made, options: Options) -> None:
    value = options.get("im_padding_value", 127.5)
    made.pad("Pad", value, whole=True, size=turned(options["target_size"]))


def _pad_ratio(made: Made, options: Options) -> None:
    value = options.get("im_padding_value", 127.5)
    made.pad("PadRatio", value, whole=True, ratio=float(options.get("aspect_ratio", 1)))


def _normalize(made: Made, options: Options) -> None:
    made.normalize(1 / 255, *(floats(options.get(key) or 0.5) for key in ("mean", "std")))


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
