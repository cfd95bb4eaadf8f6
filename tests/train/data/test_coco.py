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
        ({"bbox": [10, 10, -1, 40]}, r"annotation 1: box .* ends before it begins"),
        ({"category_id": 5}, r"annotation 1: category 5 is not one of"),
    ],
)
def test_bad_annotation(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = description()
    content["annotations"][0] |= change

    with pytest.raises(DataError, match=message):
        read(write(tmp_path, content))
    assert len(read(tmp_path, skip=True)) == 1


@pytest.mark.parametrize("bbox", [[10, 10, 0, 40], [10, 10, 40, 0], [100, 10, 1, 40]])
def test_a_box_without_area_is_left_out_alone(tmp_path: Path, bbox: list[int]) -> None:
    content = description()
    content["annotations"].append(content["annotations"][0] | {"id": 4, "bbox": bbox})

    data = read(write(tmp_path, content))

    assert [item.labels.tolist() for item in data.images] == [[1], [0]]
    (told,) = data.bad.empty_boxes
    assert "instances.json, annotation 4: box" in told
    assert told.endswith("has no area.")


def test_ids_of_two_types_leave_no_image_empty(tmp_path: Path) -> None:
    content = description()
    for item in content["annotations"]:
        item["image_id"] = str(item["image_id"])

    with pytest.raises(DataError, match=r"annotation 1: its image_id '\d' is of another type than the ids"):
        read(write(tmp_path, content))


def test_an_image_with_several_bad_boxes_is_one_bad_image(tmp_path: Path) -> None:
    content = description()
    first = content["annotations"][0]
    content["annotations"] += [first | {"id": number, "bbox": [1, 2]} for number in (70, 71, 72)]
    skipping = BadData(skip=True)

    read_coco(write(tmp_path, content), "instances.json", skipping, "images")

    assert len(skipping.messages) == 1
    assert "annotation 70: bbox" in skipping.messages[0]


@pytest.mark.parametrize("image", [None, True, [7]])
def test_a_box_that_tells_no_image_is_not_left_out_of_some_image(tmp_path: Path, image: object) -> None:
    content = description()
    content["annotations"][0]["image_id"] = image
    write(tmp_path, content)

    with pytest.raises(DataError, match="annotation 1: image_id: Input should be an integer or text"):
        read(tmp_path, skip=True)


def test_missing_image(tmp_path: Path) -> None:
    write(tmp_path, description())
    (tmp_path / "images/b.png").unlink()

    with pytest.raises(DataError, match=r"image 9: .*b\.png does not exist"):
        read(tmp_path)


def test_a_name_longer_than_a_file_system_takes(tmp_path: Path) -> None:
    content = description()
    write(tmp_path, content)
    content["images"][1]["file_name"] = "x" * 300
    (tmp_path / "instances.json").write_text(json.dumps(content))

    with pytest.raises(DataError, match=r"image 9: .* cannot be read: File name too long"):
        read(tmp_path)
    assert len(read(tmp_path, skip=True)) == 1


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


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("annotations", {"bbox": [1, 2, 3, 4, 5]}, "annotation 1: bbox: List should have at most 4 items"),
        ("annotations", {"bbox": [1, "2", 3, 4]}, r"annotation 1: bbox\.1: Input should be a valid number"),
        (
            "annotations",
            {"bbox": [1, float("nan"), 3, 4]},
            r"annotation 1: bbox\.1: Input should be a finite",
        ),
        ("annotations", {"bbox": None}, "annotation 1: bbox: Input should be a valid list"),
        ("annotations", {"id": None}, "annotation number 1: id: Input should be an integer or text"),
        ("annotations", {"id": 2}, "annotation 2: its id 2 stands twice"),
        ("annotations", {"id": "1"}, "annotation 2: its id 2 is of another type than those before it"),
        ("annotations", {"iscrowd": 7}, "annotation 1: iscrowd: Input should be 0 or 1"),
        ("annotations", {"area": -1}, "annotation 1: area: Input should be greater than or equal to 0"),
        ("annotations", {"area": 1e11}, "annotation 1: area: Input should be less than or equal to 1"),
        ("images", {"file_name": ""}, "image 7: file_name: String should have at least 1 character"),
        ("images", {"file_name": "a\0b.png"}, "image 7: file_name: String should match pattern"),
        ("images", {"file_name": 5}, "image 7: file_name: Input should be a valid string"),
        ("images", {"height": "80"}, "image 7: height: Input should be a valid number"),
        ("images", {"height": 0}, "image 7: height: Input should be greater than or equal to 1"),
        ("images", {"id": 9}, "image 9: its id 9 stands twice"),
    ],
)
def test_an_entry_that_is_not_as_coco_has_it(
    tmp_path: Path, kind: str, change: dict[str, Any], message: str
) -> None:
    content = description()
    write(tmp_path, content)
    content[kind][0] |= change
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"instances\.json, {message}"):
        read(tmp_path)
    skipping = BadData(skip=True)
    data = read_coco(tmp_path, "instances.json", skipping, "images")
    assert len(data) == 1 or change == {"id": None}
    assert len(skipping.messages) >= 1


@pytest.mark.parametrize(("key", "entry"), [("categories", {"id": 3}), ("categories", 5), ("images", 5)])
def test_an_entry_that_is_none(tmp_path: Path, key: str, entry: object) -> None:
    content = description()
    write(tmp_path, content)
    content[key][1] = entry
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"instances\.json, (category|image)"):
        read(tmp_path)


def test_what_may_be_missing(tmp_path: Path) -> None:
    content = description()
    for item in content["annotations"][:2]:
        del item["area"], item["iscrowd"]
    data = read(write(tmp_path, content))
    assert [item.boxes.shape[0] for item in data.images] == [1, 1]
    assert data.coco.anns[2]["area"] == 2500
    content["annotations"][0] |= {"area": None, "iscrowd": None}
    data = read(write(tmp_path, content))
    assert (data.coco.anns[1]["area"], data.coco.anns[1]["iscrowd"]) == (1600, 0)


def test_ids_may_be_words(tmp_path: Path) -> None:
    content = description()
    for item in content["images"]:
        item["id"] = f"photo {item['id']}"
    for item in content["annotations"]:
        item["image_id"] = f"photo {item['image_id']}"
    data = read(write(tmp_path, content))
    metric = CocoAp(data)
    for item in data.images:
        metric.add(np.column_stack([item.labels, np.full(len(item.labels), 0.9), item.boxes]), item)
    assert metric.result()["box_ap"] == pytest.approx(1.0)


@pytest.mark.parametrize("first", [0, "a", 10**400])
def test_whatever_their_ids_annotations_are_found(tmp_path: Path, first: int | str) -> None:
    content = description()
    for number, item in enumerate(content["annotations"]):
        item["id"] = f"{first}{number}" if isinstance(first, str) else first + number
    data = read(write(tmp_path, content))
    metric = CocoAp(data)
    for item in data.images:
        metric.add(np.column_stack([item.labels, np.full(len(item.labels), 0.9), item.boxes]), item)
    assert metric.result()["box_ap"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("bbox", "box"), [([-0.5, 0, 20, 80.6], [0, 0, 19.5, 80]), ([60, 10, 41, 40], [60, 10, 100, 50])]
)
def test_boxes_over_the_edge_by_rounding_are_cut(tmp_path: Path, bbox: list[float], box: list[float]) -> None:
    content = description()
    content["annotations"][0]["bbox"] = bbox
    data = read(write(tmp_path, content))
    assert data.images[0].boxes.tolist() == [pytest.approx(box)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("größe".encode("latin-1"), "is no text in UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b"[]", "its top is no object"),
        (b"[" + b"1" * 5000 + b"]", r"json cannot be read: Exceeds the limit"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "instances.json").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, description()) / "instances.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(tmp_path)) == 2
