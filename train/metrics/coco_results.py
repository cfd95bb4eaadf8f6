"""Detections in COCO's format for results (cocodataset.org/#format-results)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from qcc.train.data.coco_file import Id
from qcc.train.data.detection_set import BoxedImage


def coco_results(
    detections: NDArray[Any], item: BoxedImage, category_ids: Sequence[Id]
) -> list[dict[str, Any]]:
    """One entry per detection; `bbox` is left, top, width, height in pixels of the image `item`.

    `detections`: [M, 6], class, score, left, top, right, bottom; `category_ids`: ids of classes by number.
    """
    return [
        {
            "image_id": item.image_id,
            "category_id": category_ids[int(number)],
            "bbox": [left, top, right - left, bottom - top],
            "score": score,
        }
        for number, score, left, top, right, bottom in detections.tolist()
    ]
