"""Reading COCO, and COCO's average precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from qcc.errors import DataError
from qcc.train.data.coco import read_coco
from qcc.train.data.detection_set import BadData
from qcc.train.metrics.coco_ap import CocoAp


def description() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 100, "height": 80},
            {"id": 9, "file_name": "b.png", "width": 60, "height": 60},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 3, "bbox": [0, 0, 50, 50], "area": 2500, "iscrowd": 0},
            {"id": 3, "image_id": 9, "category_id": 3, "bbox": [0, 0, 60, 60], "area": 3600, "iscrowd": 1},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    for item in content.get("images", []):
        image = np.zeros((item["height"], item["width"], 3), np.uint8)
        cv2.imwrite(str(folder / "images" / item["file_name"]), image)
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def read(folder: Path, skip: bool = False) -> Any:
    return read_coco(folder, "instances.json", BadData(skip), "images")


def test_classes_in_order_of_their_ids_without_crowds(tmp_path: Path) -> None:
    data = read(write(tmp_path, description()))

    assert data.class_names == ("car", "dog")
    assert data.category_ids == (3, 18)
    assert [item.image_id for item in data.images] == [7, 9]
    assert [item.labels.tolist() for item in data.images] == [[1], [0]]
    assert data.images[0].boxes.tolist() == [[10, 10, 50, 50]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [10, 10, 95, 40]}, r"annotation 1: box .* reaches outside the image of 100 x 80"),
        ({"bbox": [10, 10, 0, 40]}, r"annotation 1: box .* has no area"),
        ({"category_id": 5}, r"annotation 1: category 5 is not one of"),
    ],
)
def test_bad_annotation(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = description()
    content["annotations"][0] |= change

    with pytest.raises(DataError, match=message):
        read(write(tmp_path, content))
    assert len(read(tmp_path, skip=True)) == 1


def test_missing_image(tmp_path: Path) -> None:
    write(tmp_path, description())
    (tmp_path / "images/b.png").unlink()

    with pytest.raises(DataError, match=r"image 9: .*b\.png does not exist"):
        read(tmp_path)


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text('{"images": [\n]')

    with pytest.raises(DataError, match=r"instances\.json, line 2: this is not JSON"):
        read(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"images": []}'])
def test_no_coco(tmp_path: Path, content: str) -> None:
    (tmp_path / "instances.json").write_text(content)

    with pytest.raises(DataError, match="is not in COCO's format"):
        read(tmp_path)


def test_no_images(tmp_path: Path) -> None:
    content = description() | {"images": [], "annotations": []}

    with pytest.raises(DataError, match="gives no image"):
        read(write(tmp_path, content))


def test_right_boxes_have_an_ap_of_one(tmp_path: Path) -> None:
    data = read(write(tmp_path, description()))
    metric = CocoAp(data)
    for item in data.images:
        found = np.column_stack([item.labels, np.full(len(item.labels), 0.9), item.boxes])
        metric.add(found, item)

    result = metric.result()

    assert result["box_ap"] == pytest.approx(1.0)
    assert result["ap50"] == pytest.approx(1.0)
    assert "ap_small" not in result  # there is no small object


def test_a_loose_box_counts_at_low_overlaps_only(tmp_path: Path) -> None:
    data = read(write(tmp_path, description()))
    metric = CocoAp(data)
    # 40 x 40 in 40 x 56: an IoU of 0.714, right at .5, .55, .6, .65 and .7 of the ten thresholds.
    metric.add(np.array([[1, 0.9, 10, 10, 50, 66]]), data.images[0])
    metric.add(np.array([[0, 0.9, 0, 0, 50, 50]]), data.images[1])

    assert metric.result()["box_ap"] == pytest.approx((0.5 + 1.0) / 2)


def test_nothing_found(tmp_path: Path) -> None:
    assert CocoAp(read(write(tmp_path, description()))).result() == {"box_ap": 0.0}
