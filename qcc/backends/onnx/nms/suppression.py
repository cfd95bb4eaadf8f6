"""What Paddle's non-maximum suppressions have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, TensorProto, ValueInfoProto, helper

from qcc._paddle import VarType
from qcc.backends.onnx.nms.nodes import Nodes
from qcc.ir.dtypes import numpy_dtype
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
class Suppression(ABC):
    """An op that was taken out: what it reads and writes, by name, and its attributes.

    `candidates`: of each class, how many of the best boxes take part; `kept`: how many rows come out; all,
    where these are negative.
    """

    boxes: str
    scores: str
    rows: str
    index: tuple[str, ...]
    count: tuple[str, ...]
    dtypes: dict[str, VarType]
    classes: int
    score_threshold: float
    candidates: int
    kept: int
    background: int
    normalized: bool

    @classmethod
    @abstractmethod
    def of(cls, op: Op) -> Suppression:
        """What an op is."""

    @staticmethod
    def why_not(op: Op) -> str | None:
        """Why an op of this kind has no form in ONNX; None where it has one."""
        del op
        return None

    @staticmethod
    def common(op: Op, count: str) -> dict[str, Any]:
        """The fields that all kinds have; `count`: the slot with the number of rows."""
        return {
            "boxes": op.input("BBoxes").name,
            "scores": op.input("Scores").name,
            "rows": op.output("Out").name,
            "index": tuple(var.name for var in op.outputs.get("Index", ())),
            "count": tuple(var.name for var in op.outputs.get(count, ())),
            "dtypes": {var.name: var.dtype for var in op.all_outputs()},
            "classes": op.input("Scores").shape[1],
            "score_threshold": float(op.attr("score_threshold")),
            "candidates": int(op.attr("nms_top_k")),
            "kept": int(op.attr("keep_top_k")),
            "background": int(op.attr("background_label", 0)),
            "normalized": bool(op.attr("normalized", True)),
        }

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.rows, *self.index, *self.count)

    def append(self, graph: GraphProto) -> None:
        """Append its ops, for a batch of one image; an image more ends the run."""
        add = Nodes(graph, f"{self.rows}.nms")
        chosen = self._choose(add)
        one = add.integers(1)
        columns = (add("Cast", chosen.classes, to=TensorProto.FLOAT), chosen.scores)
        image = add("Squeeze", self.boxes, add.integers(0))
        boxes = add("Gather", image, chosen.places, axis=0)
        add("Concat", *(add("Unsqueeze", name, one) for name in columns), boxes, axis=1, out=self.rows)
        for name in self.index:
            add("Cast", add("Unsqueeze", chosen.places, one), to=self._kind(name), out=name)
        for name in self.count:
            add("Cast", add("Shape", chosen.places), to=self._kind(name), out=name)

    @abstractmethod
    def _choose(self, add: Nodes) -> Chosen:
        """Append what chooses boxes, in Paddle's order."""

    def output_info(self, name: str) -> ValueInfoProto:
        """What ONNX is told of an output."""
        shapes: dict[str, Sequence[Any]] = {self.rows: ("rows", 6)}
        shapes |= {index: ("rows", 1) for index in self.index} | {count: (1,) for count in self.count}
        value: ValueInfoProto = helper.make_tensor_value_info(name, self._kind(name), shapes[name])
        return value

    def _foreground(self, add: Nodes) -> str:
        """The scores [1, classes, boxes], those of the background at the lowest there is."""
        if self.background < 0:
            return self.scores
        is_background = np.arange(self.classes).reshape(1, -1, 1) == self.background
        return add("Where", add.constant(is_background), add.real(LOWEST), self.scores)

    def _kind(self, name: str) -> int:
        return helper.np_dtype_to_tensor_dtype(numpy_dtype(self.dtypes[name]))
