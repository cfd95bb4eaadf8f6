"""Paddle's multiclass_nms in ONNX's NonMaxSuppression.

paddle2onnx has a translation of its own, which gives wrong classes and scores where the image's size is open,
and whose ops without axes OpenVINO does not compile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qcc.backends.onnx.nms.nodes import Nodes
from qcc.backends.onnx.nms.suppression import LOWEST, Chosen, Suppression
from qcc.ir.nodes import Op


@dataclass(frozen=True)
class Multiclass(Suppression):
    """Of boxes of one class that overlap by more than `nms_threshold`, the best stays.

    Rows come by class and then by falling score. Of each class, Paddle takes part with the `candidates` best
    boxes alone, where ONNX limits what comes out.
    """

    nms_threshold: float

    @classmethod
    def of(cls, op: Op) -> Multiclass:
        return cls(**cls.common(op, "NmsRoisNum"), nms_threshold=float(op.attr("nms_threshold", 0.3)))

    @staticmethod
    def why_not(op: Op) -> str | None:
        if op.attr("nms_eta", 1.0) != 1.0:
            return "its threshold changes from box to box (nms_eta)"
        return None

    def _choose(self, add: Nodes) -> Chosen:
        # A width is x2 - x1 + 1 where boxes are in pixels.
        shift = np.array([0, 0, 1, 1], np.float32)
        compared = self.boxes if self.normalized else add("Add", self.boxes, add.constant(shift))
        chosen = add(
            "NonMaxSuppression",
            compared,
            self._candidates(add),
            add.integers(np.iinfo(np.int32).max),
            add.constant(np.array([self.nms_threshold], np.float32)),
            add.constant(np.array([self.score_threshold], np.float32)),
        )
        if self.kept > 0:
            chosen = self._best(add, chosen)
        classes, places = (
            add("Gather", chosen, add.constant(np.array(at, np.int64)), axis=1) for at in (1, 2)
        )
        return Chosen(classes, add("GatherND", self.scores, chosen), places)

    def _candidates(self, add: Nodes) -> str:
        """The scores, those that take no part at the lowest there is."""
        scores = self._foreground(add)
        if self.candidates <= 0:
            return scores
        count = add("Min", add.size(scores, 2), add.integers(self.candidates))
        best, _ = add.several("TopK", scores, count, axis=2, outputs=2)
        worst = add("Gather", best, add("Sub", count, add.integers(1)), axis=2)
        taking_part = add("GreaterOrEqual", scores, worst)
        return add("Where", taking_part, scores, add.real(LOWEST))

    def _best(self, add: Nodes, chosen: str) -> str:
        """The rows of the best scores, in the order in which they are."""
        count = add("Min", add.size(chosen, 0), add.integers(self.kept))
        _, best = add.several("TopK", add("GatherND", self.scores, chosen), count, axis=0, outputs=2)
        order, _ = add.several("TopK", best, count, axis=0, largest=0, outputs=2)
        return add("Gather", chosen, order, axis=0)
