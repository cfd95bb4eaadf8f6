"""Data sets in the format of COCO (Lin et al. 2014, arXiv:1405.0312)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from qcc.errors import DataError
from qcc.train.data.coco_file import Id, annotations_of, read_coco_file
from qcc.train.data.detection_set import (
    BadData,
    BoxedImage,
    DetectionSet,
    absence,
    box_fault,
    empty_box,
    fitted,
)


class CocoSet(DetectionSet):
    """A detection set with COCO's own index of it, `coco`, and COCO's number of each class."""

    coco: Any
    category_ids: tuple[Id, ...]

    def __init__(self, source: str, coco: Any, images: tuple[BoxedImage, ...], bad: BadData) -> None:
        category_ids = tuple(sorted(coco.getCatIds()))
        names = tuple(category["name"] for category in coco.loadCats(category_ids))
        super().__init__(source, names, images, bad)
        object.__setattr__(self, "coco", coco)
        object.__setattr__(self, "category_ids", category_ids)


def read_coco(folder: Path, annotation: str, bad: BadData, image_dir: str = "") -> CocoSet:
    """Read the images that the .json file `annotation` in `folder` describes; files lie in `image_dir` in it.

    Classes are numbered in the order of COCO's category ids. Boxes of crowds and those without area are left
    out, and those that reach over the edge by rounding alone are cut, as PaddleDetection does. Boxes without
    area are told to `bad`, as is bad data, naming the file and COCO's id; of an empty set DataError is raised
    in any case.
    """
    path = folder / annotation
    coco = read_coco_file(path, bad)
    _check_belonging(path, coco)
    number_of = {category: number for number, category in enumerate(sorted(coco.getCatIds()))}
    images = []
    for image_id in sorted(coco.getImgIds()):
        try:
            images.append(_boxed_image(path, coco, image_id, folder / image_dir, number_of, bad))
        except DataError as error:
            bad.found(str(error))
    return CocoSet(str(path), coco, tuple(images), bad)


def _check_belonging(path: Path, coco: Any) -> None:
    """Annotations of images that the file does not describe are left over where a part of a set was cut out;
    but where ids are of two types, all would be, and every image seem to be empty."""
    types = {type(image_id) for image_id in coco.imgs}
    for item in coco.dataset["annotations"]:
        if types and type(item["image_id"]) not in types:
            raise DataError(
                f"{path}, annotation {item['id']}: its image_id {item['image_id']!r} is of another type than"
                " the ids of the images."
            )


def _boxed_image(
    source: Path, coco: Any, image_id: Id, image_dir: Path, number_of: dict[Id, int], bad: BadData
) -> BoxedImage:
    facts = coco.imgs[image_id]
    path = image_dir / facts["file_name"]
    if absent := absence(path):
        raise DataError(f"{source}, image {image_id}: {path} {absent}.")
    boxes, labels = [], []
    for item in annotations_of(coco, image_id):
        place = f"{source}, annotation {item['id']}"
        if item["category_id"] not in number_of:
            raise DataError(f"{place}: category {item['category_id']} is not one of the file's categories.")
        left, top, width, height = item["bbox"]
        box = fitted((left, top, left + width, top + height), facts["width"], facts["height"])
        if empty := empty_box(box):
            bad.empty_box(f"{place}: {empty}.")
            continue
        if fault := box_fault(box, facts["width"], facts["height"]):
            raise DataError(f"{place}: {fault}.")
        boxes.append(box)
        labels.append(number_of[item["category_id"]])
    return BoxedImage(
        path,
        image_id,
        facts["width"],
        facts["height"],
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.zeros(len(boxes), np.bool_),
    )
