"""What was seen of the models of single operators on Paddle Lite's own ARM kernels, run under emulation.

384 of them ran in float, on a CPU with and on one without dot product: 367 were right to 1e-5; the others
met a fault of `qcc/targets/lite_arm.yaml`. A case that is new stands in `NOT_RUN` until it has run there.
"""

from __future__ import annotations

from pathlib import Path

from lite_shapes import SHAPES

SEEN: dict[str, str] = dict(
    line.split() for line in Path(__file__).with_name("seen_on_arm.txt").read_text().splitlines()
)
"""Case -> "right", or the fault that it met."""

NOT_RUN = {
    **dict.fromkeys(SHAPES, "added since"),
    "expand_as": "added since",
    "fro": "added since",
    "multiclass_nms": "gives a length per image, which Paddle's executor does not hand out",
    "multiclass_nms2": "gives a length per image, which Paddle's executor does not hand out",
    "pow_of_negative": "added since",
    "pow_odd": "added since",
    "reverse": "added since",
    "slice_step_neg": "added since",
    "softsign": "added since",
    "strided_neg": "added since",
}
"""Case -> why it was not run on ARM."""
