"""Data sets in the format of COCO (Lin et al. 2014, arXiv:1405.0312)."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from qcc.errors import DataError
from qcc.train.data.detection_set import BadData, BoxedImage, DetectionSet, box_fault


class CocoSet(DetectionSet):
    """A detection set with COCO's own index of it, `coco`, and COCO's number of each class."""

    coco: Any
    category_ids: tuple[int, ...]

    def __init__(self, source: str, coco: Any, images: tuple[BoxedImage, ...], bad: BadData) -> None:
        category_ids = tuple(sorted(coco.getCatIds()))
        names = tuple(category["name"] for category in coco.loadCats(category_ids))
        super().__init__(source, names, images, bad)
        object.__setattr__(self, "coco", coco)
        object.__setattr__(self, "category_ids", category_ids)


def read_coco(folder: Path, annotation: str, bad: BadData, image_dir: str = "") -> CocoSet:
    """Read the images that the .json file `annotation` in `folder` describes; files lie in `image_dir` in it.

    Classes are numbered in the order of COCO's category ids. Boxes of crowds are left out. Bad data is
    reported to `bad`, naming the file and COCO's id; of an empty set DataError is raised in any case.
    """
    path = folder / annotation
    coco = open_coco(path)
    number_of = {category: number for number, category in enumerate(sorted(coco.getCatIds()))}
    images = []
    for image_id in sorted(coco.getImgIds()):
        try:
            images.append(_boxed_image(path, coco, image_id, folder / image_dir, number_of))
        except DataError as error:
            bad.found(str(error))
    return CocoSet(str(path), coco, tuple(images), bad)


def open_coco(path: Path) -> Any:
    """Read a .json file with pycocotools. Raises DataError that names the file (and line of no JSON)."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how far it is
            coco = COCO(str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; it describes the images.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: this is not JSON: {error.msg}.") from error
    except (AssertionError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not in COCO's format: {type(error).__name__} {error}.") from error
    for key in ("images", "annotations", "categories"):
        if key not in coco.dataset:
            raise DataError(f"{path} is not in COCO's format: it has no '{key}'.")
    return coco


def _boxed_image(
    source: Path, coco: Any, image_id: int, image_dir: Path, number_of: dict[int, int]
) -> BoxedImage:
    facts = coco.loadImgs(image_id)[0]
    path = image_dir / facts["file_name"]
    if not path.exists():
        raise DataError(f"{source}, image {image_id}: {path} does not exist.")
    boxes, labels = [], []
    for item in coco.loadAnns(coco.getAnnIds(imgIds=image_id, iscrowd=False)):
        place = f"{source}, annotation {item['id']}"
        if item["category_id"] not in number_of:
            raise DataError(f"{place}: category {item['category_id']} is not one of the file's categories.")
        left, top, width, height = item["bbox"]
        box = (left, top, left + width, top + height)
        fault = box_fault(box, facts["width"], facts["height"])
        if fault is not None:
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
