"""Paddle's distribute_fpn_proposals in ONNX's ops: which feature map each region is looked at in.

T.-Y. Lin et al., Feature Pyramid Networks for Object Detection, 2017, equation 1; Paddle's
phi/kernels/cpu/distribute_fpn_proposals_kernel.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from qcc.backends.onnx.boxes.nodes import Nodes
from qcc.backends.onnx.boxes.op import BoxOp, pixel_offset
from qcc.ir.nodes import Op

_LEAST = 1e-8


@dataclass(frozen=True)
class Levels(BoxOp):
    """A region of the side `scale` belongs to `level`, one twice as wide and high to the next. `offset`: a
    box of pixels is so much wider than its corners are apart."""

    by_image: ClassVar[bool] = False

    lowest: int
    highest: int
    level: int
    scale: float
    offset: float

    @classmethod
    def of(cls, op: Op) -> Levels:
        return cls(
            **cls.names(op),
            lowest=int(op.attr("min_level")),
            highest=int(op.attr("max_level")),
            level=int(op.attr("refer_level")),
            scale=float(op.attr("refer_scale")),
            offset=pixel_offset(op),
        )

    def _append(self, add: Nodes) -> None:
        regions = self.read("FpnRois")
        levels = self._levels(add, regions)
        counts, chosen = self.written("MultiLevelRoIsNum"), []
        for number, name in enumerate(self.written("MultiFpnRois")):
            is_here = add("Equal", levels, add.integers(self.lowest + number))
            places = add("Squeeze", add("NonZero", is_here), add.integers(0))
            add("Gather", regions, places, axis=0, out=name)
            chosen.append(places)
            if counts:
                add("Cast", add("Shape", places), to=self.kind(counts[number]), out=counts[number])
        # Sorting what was taken where tells where each region has gone.
        order = add("Concat", *chosen, axis=0)
        _, back = add.several("TopK", order, add("Shape", order), axis=0, largest=0, outputs=2)
        for name in self.written("RestoreIndex"):
            add("Cast", add("Unsqueeze", back, add.integers(1)), to=self.kind(name), out=name)

    def _levels(self, add: Nodes, regions: str) -> str:
        """The level of each region, int64 [regions]: the lowest, and one more for each side it reaches."""
        corners = add.several("Split", regions, axis=1, outputs=4)
        sizes = [add("Sub", corners[axis + 2], corners[axis]) for axis in (0, 1)]
        valid = add("And", *(add("GreaterOrEqual", size, add.real(0)) for size in sizes))
        if self.offset:
            sizes = [add("Add", size, add.real(self.offset)) for size in sizes]
        area = add("Where", valid, add("Mul", *sizes), add.real(0))
        ratio = add("Add", add("Div", add("Sqrt", area), add.real(self.scale)), add.real(_LEAST))
        levels = add.integers(self.lowest)
        for level in range(self.lowest + 1, self.highest + 1):
            reached = add("GreaterOrEqual", ratio, add.real(self._begin(level)))
            levels = add("Add", levels, add("Cast", reached, to=TensorProto.INT64))
        flat = add("Reshape", levels, add.integers(-1))
        # Where there is one level alone, nothing has made a level for each.
        return add("Expand", flat, add.size(regions, 0)) if self.lowest == self.highest else flat

    def _begin(self, level: int) -> float:
        """The smallest ratio that reaches a level: float32's next to a power of two is rounded up to it."""
        begin = np.float32(2.0 ** (level - self.level))
        while np.log2(below := np.nextafter(begin, np.float32(0))) + np.float32(self.level) >= level:
            begin = below
        return float(begin)

    def _shape(self, slot: str) -> Sequence[int | str]:
        return {"MultiFpnRois": ("regions", 4), "MultiLevelRoIsNum": (1,), "RestoreIndex": ("all", 1)}[slot]
