"""Paddle's multiclass_nms in ONNX's NonMaxSuppression.

paddle2onnx has a translation of its own, which gives wrong classes and scores where the image's size is open,
and whose ops without axes OpenVINO does not compile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qcc.backends.onnx.boxes.nodes import Nodes
from qcc.backends.onnx.boxes.suppression import LOWEST, Chosen, Suppression
from qcc.ir.nodes import Op


@dataclass(frozen=True)
class Multiclass(Suppression):
    """Of boxes of one class that overlap by more than `nms_threshold`, the best stays.

    Rows come by class and then by falling score. Of each class, Paddle takes part with the `candidates` best
    boxes alone, where ONNX limits what comes out. `of_regions`: each class has boxes of its own, [regions,
    classes, 4] with scores [regions, classes], as in the second stage of a detector.
    """

    nms_threshold: float
    of_regions: bool

    @classmethod
    def of(cls, op: Op) -> Multiclass:
        threshold = float(op.attr("nms_threshold", 0.3))
        return cls(**cls.common(op), nms_threshold=threshold, of_regions=bool(op.inputs.get("RoisNum")))

    @staticmethod
    def why_not(op: Op) -> str | None:
        if op.attr("nms_eta", 1.0) != 1.0:
            return "its threshold changes from box to box (nms_eta)"
        if not op.inputs.get("RoisNum"):
            return Suppression.why_not(op)
        boxes, scores = op.input("BBoxes").shape, op.input("Scores").shape
        if len(boxes) != 3 or len(scores) != 2 or boxes[2] != 4 or boxes[1] != scores[1] or scores[1] < 1:
            return "its boxes are not [regions, classes, 4] with scores [regions, classes]"
        if any(var.consumers for var in op.outputs.get("Index", ())):
            return "other ops read which regions its rows are of"
        return None

    def _choose(self, add: Nodes) -> Chosen:
        if self.of_regions:
            # ONNX has boxes for each image, not for each class: a class is an image of one class here.
            return self._by_region(add, self._of_regions(add)._rows(add, class_column=0))
        return self._rows(add, class_column=1)

    def _of_regions(self, add: Nodes) -> Multiclass:
        boxes = add("Transpose", self.boxes, perm=[1, 0, 2])
        scores = add("Unsqueeze", add("Transpose", self.scores, perm=[1, 0]), add.integers(1))
        if 0 <= self.background < self.classes:
            is_background = np.arange(self.classes).reshape(-1, 1, 1) == self.background
            scores = add("Where", add.constant(is_background), add.real(LOWEST), scores)
        reads = {"BBoxes": (boxes,), "Scores": (scores,)}
        return replace(self, reads=reads, background=-1)

    def _by_region(self, add: Nodes, chosen: Chosen) -> Chosen:
        """The same, but the rows of a class in the order of the regions, as Paddle has them here."""
        place = add("Add", add("Mul", chosen.classes, add.size(self.boxes, 0)), chosen.places)
        _, order = add.several("TopK", place, add("Shape", place), axis=0, largest=0, outputs=2)
        names = (chosen.classes, chosen.scores, chosen.places)
        return Chosen(*(add("Gather", name, order, axis=0) for name in names))

    def _rows(self, add: Nodes, class_column: int) -> Chosen:
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
            add("Gather", chosen, add.constant(np.array(at, np.int64)), axis=1) for at in (class_column, 2)
        )
        return Chosen(classes, add("GatherND", self.scores, chosen), places)

    def _boxes_of(self, add: Nodes, chosen: Chosen) -> str:
        if not self.of_regions:
            return super()._boxes_of(add, chosen)
        one = add.integers(1)
        pairs = (add("Unsqueeze", name, one) for name in (chosen.places, chosen.classes))
        return add("GatherND", self.boxes, add("Concat", *pairs, axis=1))

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
