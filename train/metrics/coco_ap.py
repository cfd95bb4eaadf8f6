"""Average precision as COCO defines it, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from qcc.train.data.coco import CocoSet
from qcc.train.data.coco_file import Id
from qcc.train.data.detection_set import BoxedImage
from qcc.train.metrics.coco_results import coco_results

# What COCOeval.summarize computes, in its order.
_NAMES = (
    "box_ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)


class CocoAp:
    """Collects the detections of images."""

    def __init__(self, data: CocoSet) -> None:
        self._data = data
        self._image_ids: list[Id] = []
        self._results: list[dict[str, Any]] = []

    def add(self, detections: NDArray[Any], item: BoxedImage) -> None:
        """`detections`: [M, 6], class, score, left, top, right, bottom in pixels of the image `item`."""
        self._image_ids.append(item.image_id)
        self._results += coco_results(detections, item, self._data.category_ids)

    def result(self) -> dict[str, float]:
        """COCO's twelve figures between 0 and 1, without those that no object counts for."""
        if not self._results:
            return {"box_ap": 0.0}
        with contextlib.redirect_stdout(io.StringIO()):
            wanted = _numbered(self._data.coco)
            evaluation = COCOeval(wanted, wanted.loadRes(self._results), "bbox")
            evaluation.params.imgIds = self._image_ids
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        figures = np.asarray(evaluation.stats)
        # -1 stands for "nothing to count".
        return {name: float(value) for name, value in zip(_NAMES, figures, strict=True) if value >= 0}


def _numbered(coco: COCO) -> COCO:
    """The same with annotations numbered from 1: COCOeval keeps of each detection the id of the annotation
    that it found, as a number of which 0 means none."""
    numbered = COCO()
    annotations = [{**item, "id": number} for number, item in enumerate(coco.dataset["annotations"], 1)]
    numbered.dataset = {**coco.dataset, "annotations": annotations}
    numbered.createIndex()
    return numbered
