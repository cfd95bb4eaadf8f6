"""Models of the operators that detectors end with."""

from __future__ import annotations

from typing import Any

import numpy as np
from lite_case import Case, append_op, floats, generator, paddle


def detection_cases() -> list[Case]:
    boxes = np.sort(generator().uniform(0, 50, (1, 12, 2, 2)), axis=2).astype(np.float32).reshape(1, 12, 4)
    boxes = boxes[..., [0, 1, 2, 3]].copy()
    scores = generator().uniform(0, 1, (1, 3, 12)).astype(np.float32)
    sizes = np.array([[96, 96]], np.int32)
    head = floats(1, 24, 3, 3)
    feature, picture = floats(1, 4, 5, 5), floats(1, 3, 40, 40)
    return [
        Case("yolo_box", (head, sizes), yolo_box),
        Case("multiclass_nms3", (boxes, scores), multiclass_nms3),
        Case("multiclass_nms2", (boxes, scores), multiclass_nms2),
        Case("multiclass_nms", (boxes, scores), multiclass_nms),
        Case("matrix_nms", (boxes, scores), matrix_nms),
        Case("prior_box", (feature, picture), prior_box),
        Case("box_coder", (floats(1, 12, 4),), box_coder),
        Case("roi_align", (floats(1, 4, 16, 16), boxes[0] / 4), roi_align),
        Case("anchor_generator", (feature,), anchor_generator),
    ]


def yolo_box(x: Any, sizes: Any) -> Any:
    return list(paddle.vision.ops.yolo_box(x, sizes, [10, 13, 16, 30, 33, 23], 3, 0.01, 32))


def nms_attrs() -> dict[str, Any]:
    return {
        "background_label": -1,
        "score_threshold": 0.1,
        "nms_top_k": 10,
        "nms_threshold": 0.45,
        "nms_eta": 1.0,
        "keep_top_k": 8,
        "normalized": True,
    }


def multiclass_nms3(boxes: Any, scores: Any) -> Any:
    outputs = {"Out": "float32", "Index": "int32", "NmsRoisNum": "int32"}
    made = append_op("multiclass_nms3", {"BBoxes": boxes, "Scores": scores}, outputs, nms_attrs())
    return [made[0], made[2]]


def multiclass_nms2(boxes: Any, scores: Any) -> Any:
    outputs = {"Out": "float32", "Index": "int32"}
    return append_op("multiclass_nms2", {"BBoxes": boxes, "Scores": scores}, outputs, nms_attrs())[0]


def multiclass_nms(boxes: Any, scores: Any) -> Any:
    return append_op("multiclass_nms", {"BBoxes": boxes, "Scores": scores}, {"Out": "float32"}, nms_attrs())[
        0
    ]


def matrix_nms(boxes: Any, scores: Any) -> Any:
    found = paddle.vision.ops.matrix_nms(
        boxes, scores, 0.1, 0.05, 10, 8, background_label=-1, return_index=False
    )
    return list(found[:2])


def prior_box(feature: Any, picture: Any) -> Any:
    found = paddle.vision.ops.prior_box(
        feature, picture, min_sizes=[8.0], max_sizes=[16.0], aspect_ratios=[2.0], flip=True, clip=True
    )
    return list(found)


def box_coder(target: Any) -> Any:
    prior = paddle.create_parameter(
        [12, 4], "float32", default_initializer=paddle.nn.initializer.Uniform(0.1, 0.9)
    )
    return paddle.vision.ops.box_coder(
        prior, [0.1, 0.1, 0.2, 0.2], target, code_type="decode_center_size", axis=0
    )


def roi_align(feature: Any, rois: Any) -> Any:
    number = paddle.full([1], 12, "int32")
    return paddle.vision.ops.roi_align(feature, rois, number, 4, 1.0, 2, aligned=False)


def anchor_generator(feature: Any) -> Any:
    attrs = {
        "anchor_sizes": [32.0, 64.0],
        "aspect_ratios": [0.5, 1.0],
        "stride": [16.0, 16.0],
        "variances": [0.1, 0.1, 0.2, 0.2],
        "offset": 0.5,
    }
    return append_op(
        "anchor_generator", {"Input": feature}, {"Anchors": "float32", "Variances": "float32"}, attrs
    )
