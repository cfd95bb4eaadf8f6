"""Data sets in the layout of Pascal VOC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qcc.errors import DataError
from qcc.text_lines import read_lines
from qcc.train.data.detection_set import (
    BadData,
    BoxedImage,
    DetectionSet,
    absence,
    box_fault,
    class_numbers,
    empty_box,
    fitted,
)
from qcc.train.data.voc_xml import VocAnnotation, read_annotation

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
LABEL_LIST = "label_list.txt"
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG", ".BMP")
_XML_SUFFIXES = (".xml", ".XML")
_FLAG = re.compile(r"\s+-?[01]$")


def read_class_names(folder: Path, use_default_label: bool) -> tuple[str, ...]:
    """VOC's 20 class names, or those of `label_list.txt` in the data set's folder, one a line."""
    if use_default_label:
        return VOC_CLASSES
    path = folder / LABEL_LIST
    names = tuple(
        name for _, name in read_lines(path, "it names the classes, unless use_default_label is true")
    )
    if not names:
        raise DataError(f"{path} names no class.")
    return names


def read_voc(
    folder: Path, annotation: str, class_names: tuple[str, ...], bad: BadData, image_dir: str = ""
) -> DetectionSet:
    """Read the images that the list `annotation` in `folder` names.

    A line holds an image's and an annotation's path, relative to `folder` (the image's to `image_dir` in
    it), as PaddleDetection writes them; or one id, as in VOC's ImageSets, which stands for
    JPEGImages/ID.jpg and Annotations/ID.xml, with or without the flag -1, 0 or 1 of a list per class. A list
    is also looked for in ImageSets/Main. An image's number is its place in the list, from 0. A box without
    area is left out and told to `bad`, as is bad data, such as an image that is listed twice, with file and
    line; of an empty set DataError is raised in any case.
    """
    path = _list_path(folder, annotation)
    numbers = class_numbers(class_names, str(folder / LABEL_LIST))
    images: list[BoxedImage] = []
    place_of: dict[Path, str] = {}
    for number, (place, line) in enumerate(read_lines(path, "it lists the images")):
        try:
            image, xml = _pair(line, place, folder, path, image_dir)
            if (first := place_of.setdefault(image, place)) != place:
                raise DataError(f"{place}: {image} is listed already, in {first}; each image counts once.")
            if absent := absence(xml):
                raise DataError(f"{place}: the annotation {xml} {absent}.")
            images.append(_boxed_image(image, read_annotation(xml), number, numbers, place, bad))
        except DataError as error:
            bad.found(str(error))
    return DetectionSet(str(path), class_names, tuple(images), bad)


def _list_path(folder: Path, annotation: str) -> Path:
    """The list itself, or, in a folder as VOC has them, that of its name in ImageSets/Main."""
    path = folder / annotation
    usual = folder / "ImageSets" / "Main" / annotation
    return usual if absence(path) and not absence(usual) else path


def _pair(line: str, place: str, folder: Path, list_path: Path, image_dir: str) -> tuple[Path, Path]:
    named = [
        (folder / image_dir / image, folder / xml)
        for image, xml in _splits(line.replace("\\", "/"))
        if xml.lower().endswith(".xml")
    ]
    if named:
        # Where names hold blanks, what both name files is meant; else the longest name of an image.
        return next(
            ((image, xml) for image, xml in named if not absence(image) and not absence(xml)), named[0]
        )
    identifier = _FLAG.sub("", line)
    if len(identifier.split()) != 1:
        raise DataError(f"{place}: expected 'IMAGE ANNOTATION.xml' or one image id, not {line!r}.")
    # VOC's lists stand in ROOT/ImageSets/Main.
    root = list_path.parents[2] if list_path.parent.parent.name == "ImageSets" else folder
    return (
        _existing(root / "JPEGImages" / identifier, _IMAGE_SUFFIXES),
        _existing(root / "Annotations" / identifier, _XML_SUFFIXES),
    )


def _splits(line: str) -> Iterator[tuple[str, str]]:
    """A line in two, at a tab, or at each blank, from the right."""
    if line.count("\t") == 1:
        image, _, xml = line.partition("\t")
        yield image.strip(), xml.strip()
        return
    for blank in reversed([match.start() for match in re.finditer(r"\s", line)]):
        yield line[:blank].rstrip(), line[blank:].lstrip()


def _existing(stem: Path, suffixes: tuple[str, ...]) -> Path:
    candidates = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    return next((candidate for candidate in candidates if not absence(candidate)), candidates[0])


def _boxed_image(
    path: Path, annotation: VocAnnotation, number: int, class_of: dict[str, int], place: str, bad: BadData
) -> BoxedImage:
    if absent := absence(path):
        raise DataError(f"{place}: the image {path} {absent}.")
    boxes, labels, difficult = [], [], []
    for item in annotation.objects:
        if item.class_name not in class_of:
            raise DataError(
                f"{item.place}: class '{item.class_name}' is not one of {', '.join(class_of)}, which"
                f" {LABEL_LIST} of the data set names, or VOC with use_default_label: true."
            )
        box = fitted(item.box, annotation.width, annotation.height)
        if empty := empty_box(box):
            bad.empty_box(f"{item.place}: {empty}.")
            continue
        if fault := box_fault(box, annotation.width, annotation.height):
            raise DataError(f"{item.place}: {fault}.")
        boxes.append(box)
        labels.append(class_of[item.class_name])
        difficult.append(item.difficult)
    return BoxedImage(
        path,
        number,
        annotation.width,
        annotation.height,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(difficult, np.bool_),
    )
