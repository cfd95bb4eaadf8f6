"""A `Preprocess` as it is put together from operations of a suite, and what their options have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qcc.calibrate.data.suites.options import Options, WrongOption

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""What images are normalized by where a file gives no numbers, of pixels from 0 to 1."""


class Made:
    """The content of a `Preprocess` section. Pixels stay 0 to 255 until something normalizes."""

    def __init__(self, layout: str) -> None:
        self.content: dict[str, Any] = {"steps": [], "layout": layout, "scale": 1.0}
        self._normalized = False

    def step(self, kind: str, **options: Any) -> None:
        self.content["steps"].append({"type": kind, **options})

    def normalize(self, scale: float, mean: Sequence[float], std: Sequence[float]) -> None:
        """From here on, an image holds (pixel * scale - mean) / std."""
        self.content |= {"scale": scale, "mean": list(mean), "std": list(std)}
        self._normalized = True

    def swap_channels(self) -> None:
        """Turn RGB to BGR: what is known of each channel so far was said in the old order."""
        self.content["channels"] = "BGR" if self.content.get("channels", "RGB") == "RGB" else "RGB"
        said = [
            (self.content, "mean"),
            (self.content, "std"),
            *((step, "value") for step in self.content["steps"]),
        ]
        for where, key in said:
            if isinstance(where.get(key), list):
                where[key] = where[key][::-1]

    def pad(self, kind: str, values: Sequence[float], *, whole: bool = False, **options: Any) -> None:
        """A step that pads with a value for each channel, or one for all: of the image as it is by then.
        `whole`: by OpenCV, whose pixels are whole numbers until something normalizes."""
        padded = np.asarray(values, np.float64)
        if whole and not self._normalized:
            padded = np.rint(padded)
        self.step(kind, value=self._pixel(padded), **options)

    def _pixel(self, values: np.ndarray) -> float | list[float] | None:
        """What becomes these values, as the grammar wants it: one pixel, that of each channel, or None for
        what becomes 0."""
        if self._normalized and not values.any():
            return None
        if self._normalized:
            scale, mean, std = (np.asarray(self.content[key]) for key in ("scale", "mean", "std"))
            if len({1, len(values), len(mean), len(std)}) > 2:
                counts = f"{len(values)} values, where mean has {len(mean)} and std has {len(std)}"
                raise WrongOption(f"it pads with {counts}")
            values = (values * std + mean) / scale
        return float(values[0]) if len(set(values.tolist())) == 1 else values.tolist()


# What an operation adds to what is made already.
Operation = Callable[[Made, Options], None]
Operations = Mapping[str, Operation]


def nothing(_made: Made, _options: Options) -> None:
    """Of an operation that decodes, or is about labels or the order of results."""
