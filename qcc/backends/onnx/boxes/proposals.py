"""Paddle's generate_proposals_v2 in ONNX's ops: which regions the second stage of a detector looks at.

S. Ren et al., Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks, 2015; Paddle's
phi/kernels/cpu/generate_proposals_kernel.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from qcc.backends.onnx.boxes.nodes import Nodes
from qcc.backends.onnx.boxes.op import BoxOp, pixel_offset
from qcc.ir.nodes import Op

_LARGEST = math.log(1000 / 16)
"""The logarithm of how much larger a box may be than its anchor (`kBBoxClipDefault`)."""


@dataclass(frozen=True)
class Proposals(BoxOp):
    """The best `candidates` anchors are moved by what was computed for them and clipped to the image; small
    ones go, and of those that overlap by more than `threshold` the best stays, in all at most `kept`.

    Where nothing stays, one region of zeros comes out. `offset`: a box of pixels is so much wider than its
    corners are apart.
    """

    candidates: int
    kept: int
    threshold: float
    smallest: float
    offset: float

    @classmethod
    def of(cls, op: Op) -> Proposals:
        return cls(
            **cls.names(op),
            candidates=int(op.attr("pre_nms_topN")),
            kept=int(op.attr("post_nms_topN")),
            threshold=float(op.attr("nms_thresh")),
            smallest=max(float(op.attr("min_size")), 1.0),
            offset=pixel_offset(op),
        )

    @staticmethod
    def why_not(op: Op) -> str | None:
        if op.attr("eta", 1.0) != 1.0:
            return "its threshold changes from box to box (eta)"
        return None if op.attr("nms_thresh") > 0 else "nothing is suppressed (nms_thresh)"

    def _append(self, add: Nodes) -> None:
        scores, boxes = self._moved(add)
        boxes = self._clipped(add, boxes)
        large = self._large(add, boxes)
        scores, boxes = (add("Gather", name, large, axis=0) for name in (scores, boxes))
        chosen = self._suppressed(add, scores, boxes)
        none = add("Cast", add("Equal", add("Shape", chosen), add.integers(0)), to=TensorProto.INT64)
        for slot, name, width in (("RpnRois", boxes, 4), ("RpnRoiProbs", scores, 1)):
            zeros = add.constant(np.zeros((1, width), np.float32))
            nothing = add("Slice", zeros, add.integers(0), none, add.integers(0))
            found = add("Reshape", add("Gather", name, chosen, axis=0), add.integers(-1, width))
            add("Concat", found, nothing, axis=0, out=self.written(slot)[0])
        for name in self.written("RpnRoisNum"):
            add("Cast", add("Add", add("Shape", chosen), none), to=self.kind(name), out=name)

    def _moved(self, add: Nodes) -> tuple[str, str]:
        """Scores [candidates] by falling score, and the anchors there, moved: [candidates, 4]."""
        by_place = [add("Transpose", self.read(slot), perm=[0, 2, 3, 1]) for slot in ("Scores", "BboxDeltas")]
        scores = add("Reshape", by_place[0], add.integers(-1))
        count = add("Shape", scores)
        if self.candidates > 0:
            count = add("Min", count, add.integers(self.candidates))
        scores, best = add.several("TopK", scores, count, axis=0, outputs=2)
        corners, moves, factors = (
            self._columns(add, name, best)
            for name in (self.read("Anchors"), by_place[1], self.read("Variances"))
        )
        low, high = [], []
        for axis in (0, 1):
            size = add("Sub", corners[axis + 2], corners[axis])
            if self.offset:
                size = add("Add", size, add.real(self.offset))
            half = add("Mul", size, add.real(0.5))
            shift = add("Mul", add("Mul", factors[axis], moves[axis]), size)
            center = add("Add", shift, add("Add", corners[axis], half))
            grown = add("Mul", factors[axis + 2], moves[axis + 2])
            grown = add("Exp", add("Min", grown, add.real(_LARGEST)))
            half = add("Mul", add("Mul", grown, size), add.real(0.5))
            low.append(add("Sub", center, half))
            end = add("Add", center, half)
            high.append(add("Sub", end, add.real(self.offset)) if self.offset else end)
        return scores, add("Concat", *low, *high, axis=1)

    def _columns(self, add: Nodes, name: str, rows: str) -> list[str]:
        """Four columns of these rows of [anchors, 4], in whatever shape that is stored."""
        return add.several(
            "Split",
            add("Gather", add("Reshape", name, add.integers(-1, 4)), rows, axis=0),
            axis=1,
            outputs=4,
        )

    def _clipped(self, add: Nodes, boxes: str) -> str:
        """The parts of boxes that are inside the image."""
        # Height and width, [1, 2], as the ends of x and y, twice.
        ends = add("Gather", self.read("ImShape"), add.integers(1, 0, 1, 0), axis=1)
        if self.offset:
            ends = add("Sub", ends, add.real(self.offset))
        return add("Max", add("Min", boxes, ends), add.real(0))

    def _large(self, add: Nodes, boxes: str) -> str:
        """The numbers of the boxes that are large enough; of pixels, those with their center in the image."""
        corners = add.several("Split", boxes, axis=1, outputs=4)
        stays = ""
        for axis in (0, 1):
            size = add("Sub", corners[axis + 2], corners[axis])
            if self.offset:
                size = add("Add", size, add.real(self.offset))
            inside = add("GreaterOrEqual", size, add.real(self.smallest))
            if self.offset:
                center = add("Add", corners[axis], add("Mul", size, add.real(0.5)))
                end = add("Gather", self.read("ImShape"), add.integers(1 - axis), axis=1)
                inside = add("And", inside, add("LessOrEqual", center, end))
            stays = add("And", stays, inside) if stays else inside
        places = add("NonZero", add("Reshape", stays, add.integers(-1)))
        return add("Squeeze", places, add.integers(0))

    def _suppressed(self, add: Nodes, scores: str, boxes: str) -> str:
        """The numbers of the boxes that stay, by falling score."""
        corners = add.constant(np.array([0, 0, self.offset, self.offset], np.float32))
        compared = add("Add", boxes, corners) if self.offset else boxes
        chosen = add(
            "NonMaxSuppression",
            add("Unsqueeze", compared, add.integers(0)),
            add("Reshape", scores, add.integers(1, 1, -1)),
            add.integers(self.kept if self.kept > 0 else np.iinfo(np.int32).max),
            add.constant(np.array([self.threshold], np.float32)),
        )
        return add("Gather", chosen, add.constant(np.array(2, np.int64)), axis=1)

    def _shape(self, slot: str) -> Sequence[int | str]:
        return {"RpnRois": ("regions", 4), "RpnRoiProbs": ("regions", 1), "RpnRoisNum": (1,)}[slot]
