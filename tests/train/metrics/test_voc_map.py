"""Mean average precision: cases worked out by hand, and Paddle's own operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle.base.layer_helper import LayerHelper

from qcc._paddle import OpProtoHolder, core, paddle
from qcc.train.data.detection_set import BoxedImage
from qcc.train.metrics.voc_map import VocMap, iou


def boxed(boxes: list[list[float]], labels: list[int], difficult: list[bool] | None = None) -> BoxedImage:
    return BoxedImage(
        Path("image.jpg"),
        0,
        100,
        100,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(difficult or [False] * len(boxes), np.bool_),
    )


FIRST = [10.0, 10.0, 29.0, 29.0]
SECOND = [50.0, 50.0, 69.0, 69.0]
NOWHERE = [0.0, 80.0, 9.0, 89.0]


def rows(*found: tuple[int, float, list[float]]) -> np.ndarray:
    return np.array([[label, score, *box] for label, score, box in found]).reshape(-1, 6)


def test_iou_counts_edges_as_pixels() -> None:
    # 20 x 20 pixels each, 10 x 20 in common.
    overlap = iou(np.array([0, 0, 19, 19]), np.array([[10, 0, 29, 19], [20, 0, 39, 19]]))

    assert overlap.tolist() == pytest.approx([200 / 600, 0])


@pytest.mark.parametrize(
    ("map_type", "expected"),
    [
        # Hit, miss, hit of three objects: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
        ("11point", (4 * 1 + 3 * 2 / 3) / 11),
        ("integral", 1 / 3 * 1 + 1 / 3 * 2 / 3),
    ],
)
def test_hand_computed(map_type: Any, expected: float) -> None:
    metric = VocMap(("cat",), map_type)
    metric.add(rows((0, 0.9, FIRST), (0, 0.8, NOWHERE)), boxed([FIRST, SECOND], [0, 0]))
    metric.add(rows((0, 0.7, SECOND)), boxed([SECOND], [0]))

    assert metric.result()["box_ap"] == pytest.approx(expected)


def test_a_box_is_hit_once() -> None:
    metric = VocMap(("cat",), "integral")
    metric.add(rows((0, 0.5, FIRST), (0, 0.9, FIRST)), boxed([FIRST, SECOND], [0, 0]))

    # The likelier one hits, the other is a miss: precision 1 at recall 1/2, then no gain.
    assert metric.result()["box_ap"] == pytest.approx(0.5)


def test_difficult_boxes_count_neither_way() -> None:
    metric = VocMap(("cat",), "integral")
    metric.add(
        rows((0, 0.9, FIRST), (0, 0.8, FIRST), (0, 0.7, SECOND)),
        boxed([FIRST, SECOND], [0, 0], [True, False]),
    )

    assert metric.result()["box_ap"] == pytest.approx(1.0)


def test_classes_without_objects_do_not_count() -> None:
    metric = VocMap(("cat", "dog", "cow"), "11point")
    metric.add(rows((0, 0.9, FIRST), (1, 0.9, FIRST)), boxed([FIRST, SECOND], [0, 2]))

    assert metric.result()["box_ap"] == pytest.approx(0.5)


def test_classes_of_one_name_are_two() -> None:
    metric = VocMap(("cat", "cat"), "11point")
    metric.add(rows((1, 0.9, SECOND)), boxed([FIRST, SECOND], [0, 1]))

    assert metric.result()["box_ap"] == pytest.approx(0.5)


def test_no_detections() -> None:
    metric = VocMap(("cat",), "11point")
    metric.add(rows(), boxed([FIRST], [0]))

    assert metric.result() == {"box_ap": 0.0}


@pytest.mark.skipif(
    not OpProtoHolder.instance().has_op_proto("detection_map"), reason="Paddle 3 has no op detection_map"
)
@pytest.mark.parametrize("map_type", ["11point", "integral"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_paddles_detection_map(map_type: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    metric = VocMap(("a", "b", "c"), map_type)
    found, wanted = [], []
    for _ in range(10):
        boxes, labels, difficult = _random_objects(random)
        detections = _random_detections(random, boxes, labels)
        found.append(detections)
        wanted.append(np.column_stack([labels, difficult, boxes]))
        # In a picture this large it makes no difference whether edges are pixels.
        large = np.concatenate([detections[:, :2], detections[:, 2:] * 1e7], axis=1)
        metric.add(large, boxed((boxes * 1e7).tolist(), labels.tolist(), difficult.tolist()))

    assert metric.result()["box_ap"] == pytest.approx(_paddles_map(found, wanted, map_type), abs=1e-5)


def _random_objects(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = random.integers(1, 6)
    centres, sides = random.uniform(0.1, 0.9, (count, 2)), random.uniform(0.05, 0.2, (count, 2))
    boxes = np.concatenate([centres - sides, centres + sides], axis=1).clip(0, 1)
    return boxes, random.integers(0, 3, count), random.random(count) < 0.2


def _random_detections(random: np.random.Generator, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    count = random.integers(1, 10)
    source = random.integers(0, len(boxes), count)
    moved = (boxes[source] + random.normal(0, 0.02, (count, 4))).clip(0, 1)
    named = np.where(random.random(count) < 0.8, labels[source], random.integers(0, 3, count))
    return np.column_stack([named, random.random(count), moved])


def _paddles_map(found: list[np.ndarray], wanted: list[np.ndarray], map_type: str) -> float:
    program = paddle.static.Program()
    with paddle.static.program_guard(program), paddle.utils.unique_name.guard():
        detections = paddle.static.data("detections", [None, 6], "float32", lod_level=1)
        objects = paddle.static.data("objects", [None, 6], "float32", lod_level=1)
        helper = LayerHelper("detection_map")
        outputs = {
            name: helper.create_variable_for_type_inference(dtype)
            for name, dtype in {
                "MAP": "float32",
                "AccumPosCount": "int32",
                "AccumTruePos": "float32",
                "AccumFalsePos": "float32",
            }.items()
        }
        helper.append_op(
            type="detection_map",
            inputs={"Label": objects, "DetectRes": detections},
            outputs=outputs,
            attrs={
                "class_num": 3,
                "background_label": -1,
                "overlap_threshold": 0.5,
                "evaluate_difficult": False,
                "ap_type": map_type,
            },
        )
    feeds = {
        name: paddle.base.create_lod_tensor(
            np.concatenate(parts).astype(np.float32), [[len(part) for part in parts]], core.CPUPlace()
        )
        for name, parts in (("detections", found), ("objects", wanted))
    }
    executor = paddle.static.Executor(core.CPUPlace())
    (result,) = executor.run(program, feed=feeds, fetch_list=[outputs["MAP"]], return_numpy=False)
    return float(np.array(result).reshape(-1)[0])
