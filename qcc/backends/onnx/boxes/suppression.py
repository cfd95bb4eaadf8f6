"""What Paddle's non-maximum suppressions have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from onnx import TensorProto

from qcc.backends.onnx.boxes.nodes import Nodes
from qcc.backends.onnx.boxes.op import BoxOp
from qcc.ir.nodes import Op

LOWEST = float(np.finfo(np.float32).min)
"""The score of what takes no part."""


@dataclass(frozen=True)
class Chosen:
    """The boxes that stay, as names of values [rows], int64 but for the scores: float32."""

    classes: str
    scores: str
    places: str


@dataclass(frozen=True)
class Suppression(BoxOp):
    """Attributes of a suppression. `candidates`: of each class, how many of the best boxes take part; `kept`:
    how many rows come out; all, where these are negative."""

    counts: ClassVar[str] = "NmsRoisNum"
    """The slot with the number of rows."""

    classes: int
    score_threshold: float
    candidates: int
    kept: int
    background: int
    normalized: bool

    @classmethod
    def common(cls, op: Op) -> dict[str, Any]:
        """The fields that all kinds have."""
        return {
            **cls.names(op),
            "classes": op.input("Scores").shape[1],
            "score_threshold": float(op.attr("score_threshold")),
            "candidates": int(op.attr("nms_top_k")),
            "kept": int(op.attr("keep_top_k")),
            "background": int(op.attr("background_label", 0)),
            "normalized": bool(op.attr("normalized", True)),
        }

    @staticmethod
    def why_not(op: Op) -> str | None:
        boxes, scores = op.input("BBoxes"), op.input("Scores")
        if op.inputs.get("RoisNum") or len(boxes.shape) != 3 or len(scores.shape) != 3 or boxes.shape[2] != 4:
            return "its boxes are not [batch, boxes, 4] with scores [batch, classes, boxes]"
        return "the number of classes is open" if scores.shape[1] < 0 else None

    @property
    def boxes(self) -> str:
        return self.read("BBoxes")

    @property
    def scores(self) -> str:
        return self.read("Scores")

    def _append(self, add: Nodes) -> None:
        """An image more ends the run."""
        chosen = self._choose(add)
        one = add.integers(1)
        columns = (add("Cast", chosen.classes, to=TensorProto.FLOAT), chosen.scores)
        boxes = self._boxes_of(add, chosen)
        (rows,) = self.written("Out")
        add("Concat", *(add("Unsqueeze", name, one) for name in columns), boxes, axis=1, out=rows)
        for name in self.written("Index"):
            add("Cast", add("Unsqueeze", chosen.places, one), to=self.kind(name), out=name)
        for name in self.written(self.counts):
            add("Cast", add("Shape", chosen.places), to=self.kind(name), out=name)

    @abstractmethod
    def _choose(self, add: Nodes) -> Chosen:
        """Append what chooses boxes, in Paddle's order."""

    def _boxes_of(self, add: Nodes, chosen: Chosen) -> str:
        """The boxes [rows, 4] of those that were chosen."""
        return add("Gather", add("Squeeze", self.boxes, add.integers(0)), chosen.places, axis=0)

    def _shape(self, slot: str) -> Sequence[int | str]:
        return {"Out": ("rows", 6), "Index": ("rows", 1), self.counts: (1,)}[slot]

    def _foreground(self, add: Nodes) -> str:
        """The scores [1, classes, boxes], those of the background at the lowest there is."""
        if self.background < 0:
            return self.scores
        is_background = np.arange(self.classes).reshape(1, -1, 1) == self.background
        return add("Where", add.constant(is_background), add.real(LOWEST), self.scores)
