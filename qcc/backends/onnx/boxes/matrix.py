"""Paddle's matrix_nms in ONNX's ops: all boxes of a class are compared at once.

X. Wang et al., SOLOv2: Dynamic and Fast Instance Segmentation, 2020, section 3.3; Paddle's
phi/kernels/cpu/matrix_nms_kernel.cc.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from onnx import TensorProto

from qcc.backends.onnx.boxes.nodes import Nodes
from qcc.backends.onnx.boxes.suppression import Chosen, Suppression
from qcc.ir.nodes import Op


@dataclass(frozen=True)
class Matrix(Suppression):
    """A box's score falls by the better boxes of its class that it overlaps with, less by those that are
    overlapped themselves; boxes stay whose score is above `post_threshold` then.

    Rows come by falling score. `sigma`: that of a fall by a Gaussian; None where it is linear.
    """

    counts: ClassVar[str] = "RoisNum"

    post_threshold: float
    sigma: float | None

    @classmethod
    def of(cls, op: Op) -> Matrix:
        sigma = float(op.attr("gaussian_sigma", 2.0)) if op.attr("use_gaussian", False) else None
        return cls(**cls.common(op), post_threshold=float(op.attr("post_threshold", 0.0)), sigma=sigma)

    def _choose(self, add: Nodes) -> Chosen:
        classes, places, scores = self._candidates(add)
        image = add("Squeeze", self.boxes, add.integers(0))
        overlaps = self._overlaps(add, add("Gather", image, places, axis=0))
        # [groups, boxes, boxes]: what falls by what, which stands before it.
        first, step = (add.constant(np.array(value, np.int64)) for value in (0, 1))
        count = add("Squeeze", add.size(places, 1), add.integers(0))
        numbers = add("Range", first, count, step)
        middle, last = add.integers(1), add.integers(2)
        better = add("Greater", add("Unsqueeze", numbers, middle), numbers)
        same = add("Equal", add("Unsqueeze", classes, last), add("Unsqueeze", classes, middle))
        falls = add("And", better, same)
        fallen = add("Mul", scores, self._fall(add, overlaps, falls))
        stays = add("Greater", fallen, add.real(self.post_threshold))
        stays = add("And", stays, add("Greater", scores, add.real(self.score_threshold)))
        return self._best(add, Chosen(classes, fallen, places), stays)

    def _candidates(self, add: Nodes) -> tuple[str, str, str]:
        """Classes, places and scores [groups, boxes], by falling score: a group is a class where the boxes of
        a class that take part are limited, and else all boxes together, of which most are below the
        threshold."""
        limited = self.candidates >= 0
        number = add.size(self.scores, 2)
        shape = add.integers(self.classes if limited else 1, -1)
        scores = add("Reshape", self._foreground(add), shape)
        above = add("Greater", scores, add.real(self.score_threshold))
        counts = add("ReduceSum", add("Cast", above, to=TensorProto.INT64), add.integers(1), keepdims=0)
        most = add("ReduceMax", counts, axes=[0], keepdims=1)
        if limited:
            most = add("Min", most, add.integers(self.candidates))
        # One at least, since a maximum of nothing is none.
        scores, found = add.several("TopK", scores, add("Max", most, add.integers(1)), axis=1, outputs=2)
        if limited:
            row = add.constant(np.arange(self.classes, dtype=np.int64)[:, np.newaxis])
            return add("Expand", row, add("Shape", found)), found, scores
        return add("Div", found, number), add("Mod", found, number), scores

    def _overlaps(self, add: Nodes, boxes: str) -> str:
        """Intersection over union of boxes [groups, boxes, 4]: [groups, boxes, boxes]."""
        corners = add.several("Split", boxes, axis=2, outputs=4)
        across = [add("Transpose", name, perm=[0, 2, 1]) for name in corners]
        sizes, shared = [], []
        for low, high in ((0, 2), (1, 3)):
            sizes.append(self._length(add, add("Sub", corners[high], corners[low])))
            first = add("Max", corners[low], across[low])
            last = add("Min", corners[high], across[high])
            shared.append(self._length(add, add("Sub", last, first)))
        area, common = add("Mul", *sizes), add("Mul", *shared)
        both = add("Add", area, add("Transpose", area, perm=[0, 2, 1]))
        union = add("Sub", both, common)
        # Boxes without an area overlap with none.
        some = add("Where", add("Greater", union, add.real(0)), union, add.real(1))
        return add("Div", common, some)

    def _length(self, add: Nodes, length: str) -> str:
        """Zero where an end is before the beginning; else one more where boxes are in pixels."""
        zero = add.real(0)
        inside = add("GreaterOrEqual", length, zero)
        if not self.normalized:
            length = add("Add", length, add.real(1))
        return add("Where", inside, length, zero)

    def _fall(self, add: Nodes, overlaps: str, falls: str) -> str:
        """The factor [groups, boxes] of a score: the smallest that one of the better boxes asks for."""
        one = add.real(1)
        overlaps = add("Where", falls, overlaps, add.real(0))
        worst = add("Transpose", add("ReduceMax", overlaps, axes=[2], keepdims=1), perm=[0, 2, 1])
        if self.sigma is None:
            rest = add("Sub", one, worst)
            # By one that is overlapped wholly nothing falls.
            some = add("Greater", rest, add.real(0))
            falls = add("And", falls, some)
            factors = add("Div", add("Sub", one, overlaps), add("Where", some, rest, one))
        else:
            squares = add("Sub", add("Mul", worst, worst), add("Mul", overlaps, overlaps))
            factors = add("Exp", add("Mul", squares, add.real(self.sigma)))
        return add("ReduceMin", add("Where", falls, factors, one), axes=[2], keepdims=0)

    def _best(self, add: Nodes, found: Chosen, stays: str) -> Chosen:
        """Of those that stay the best, by falling score."""
        flat = add.integers(-1)
        stays = add("Squeeze", add("NonZero", add("Reshape", stays, flat)), add.integers(0))

        def those(name: str, order: str) -> str:
            return add("Gather", name, order, axis=0)

        scores = those(add("Reshape", found.scores, flat), stays)
        count = add("Shape", scores)
        if self.kept >= 0:
            count = add("Min", count, add.integers(self.kept))
        scores, order = add.several("TopK", scores, count, axis=0, outputs=2)
        classes, places = (
            those(those(add("Reshape", name, flat), stays), order) for name in (found.classes, found.places)
        )
        return Chosen(classes, scores, places)
