"""Mean average precision as Pascal VOC defines it (Everingham et al. 2010, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qcc.train.data.detection_set import BoxedImage

MapType = Literal["11point", "integral"]
_LEAST_OVERLAP = 0.5
_ELEVEN_RECALLS = np.arange(11) / 10


@dataclass
class _Class:
    """What has been found of one class: `hits` holds (score, whether it is a true positive) pairs."""

    objects: int = 0
    hits: list[tuple[float, bool]] = field(default_factory=list)


class VocMap:
    """Counts detections over images.

    A detection hits when it overlaps a box of its class by an IoU of 0.5 or more, the box it overlaps most,
    and no detection of a higher score has hit that; what lies on a difficult box counts neither way.
    `map_type`: "11point" averages the highest precision at recalls of 0, 0.1, ..., 1 and above (VOC2007),
    "integral" sums precision times gain in recall (PaddleDetection's definition, which unlike VOC2010 does
    not first make precision fall with recall).
    """

    def __init__(self, class_names: tuple[str, ...], map_type: MapType) -> None:
        self._map_type = map_type
        self._classes = [_Class() for _ in class_names]

    def add(self, detections: NDArray[Any], item: BoxedImage) -> None:
        """Count what was found in the image `item`.

        `detections`: [M, 6], class, score, left, top, right, bottom in pixels of the image.
        """
        for number, counted in enumerate(self._classes):
            of_class = item.labels == number
            counted.objects += int((~item.difficult[of_class]).sum())
            found = detections[detections[:, 0] == number]
            if len(found):
                counted.hits += _hits(found, item.boxes[of_class], item.difficult[of_class])

    def result(self) -> dict[str, float]:
        """`box_ap`: the mean over all classes that have an object, between 0 and 1; 0 when there is none."""
        # Not by name, which several of COCO's categories may have in common.
        values = [_average_precision(found, self._map_type) for found in self._classes if found.objects]
        return {"box_ap": float(np.mean(values)) if values else 0.0}


def _hits(found: NDArray[Any], boxes: NDArray[Any], difficult: NDArray[np.bool_]) -> list[tuple[float, bool]]:
    """(score, hit) of the detections of one class in one image, without those on difficult boxes."""
    taken = np.zeros(len(boxes), np.bool_)
    hits = []
    for detection in found[np.argsort(-found[:, 1], kind="stable")]:
        overlaps = iou(detection[2:], boxes)
        best = int(overlaps.argmax()) if len(boxes) else -1
        if best < 0 or overlaps[best] < _LEAST_OVERLAP:
            hits.append((float(detection[1]), False))
        elif not difficult[best]:
            hits.append((float(detection[1]), not taken[best]))
            taken[best] = True
    return hits


def iou(box: NDArray[Any], boxes: NDArray[Any]) -> NDArray[Any]:
    """Intersection over union of one box [4] with each of `boxes` [B, 4].

    Edges are pixels that belong to the box, as VOC has them: a box from 3 to 5 is 3 pixels wide.
    """
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]) + 1
    common = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    return common / ((box[2:] - box[:2] + 1).prod() + areas - common)


def _average_precision(counted: _Class, map_type: MapType) -> float:
    if not counted.hits:
        return 0.0
    scores, hits = (np.array(column) for column in zip(*counted.hits, strict=True))
    true = np.cumsum(hits[np.argsort(-scores, kind="stable")])
    precision = true / np.arange(1, len(true) + 1)
    recall = true / counted.objects
    if map_type == "integral":
        return float((precision * np.diff(recall, prepend=0)).sum())
    # A recall of, say, 0.3 that was reached as 3 / 10 must not miss 0.3 by rounding.
    reached = recall[None, :] >= _ELEVEN_RECALLS[:, None] - 1e-9
    return float(np.where(reached, precision[None, :], 0).max(axis=1).mean())
