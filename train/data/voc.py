"""Data sets in the layout of Pascal VOC."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qcc.errors import DataError
from qcc.train.data.detection_set import BadData, BoxedImage, DetectionSet, box_fault, class_numbers
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
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


def read_class_names(folder: Path, use_default_label: bool) -> tuple[str, ...]:
    """VOC's 20 class names, or those of `label_list.txt` in the data set's folder, one a line."""
    if use_default_label:
        return VOC_CLASSES
    path = folder / LABEL_LIST
    names = tuple(name for _, name in _lines(path, "it names the classes, unless use_default_label is true"))
    if not names:
        raise DataError(f"{path} names no class.")
    return names


def read_voc(
    folder: Path, annotation: str, class_names: tuple[str, ...], bad: BadData, image_dir: str = ""
) -> DetectionSet:
    """Read the images that the list `annotation` in `folder` names.

    A line holds an image's and an annotation's path, relative to `folder` (the image's to `image_dir` in
    it), as PaddleDetection writes them; or one id, as in VOC's ImageSets, which stands for
    JPEGImages/ID.jpg and Annotations/ID.xml. Bad data is reported to `bad` with file and line; of an empty
    set DataError is raised in any case.
    """
    path = folder / annotation
    numbers = class_numbers(class_names, str(folder / LABEL_LIST))
    images: list[BoxedImage] = []
    for place, line in _lines(path, "it lists the images"):
        try:
            image, xml = _pair(line, place, folder, path, image_dir)
            images.append(_boxed_image(image, read_annotation(xml), len(images), numbers, place))
        except DataError as error:
            bad.found(str(error))
    return DetectionSet(str(path), class_names, tuple(images), bad)


def _lines(path: Path, purpose: str) -> list[tuple[str, str]]:
    """The lines that hold something, each with its place, "FILE, line N"."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; {purpose}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return [(f"{path}, line {number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _pair(line: str, place: str, folder: Path, list_path: Path, image_dir: str) -> tuple[Path, Path]:
    parts = line.split()
    if len(parts) == 2 and parts[1].endswith(".xml"):
        return folder / image_dir / parts[0], folder / parts[1]
    if len(parts) != 1:
        raise DataError(f"{place}: expected 'IMAGE ANNOTATION.xml' or one image id, not {line!r}.")
    # VOC's lists stand in ROOT/ImageSets/Main.
    root = list_path.parents[2] if list_path.parent.parent.name == "ImageSets" else folder
    candidates = [root / "JPEGImages" / f"{line}{suffix}" for suffix in _IMAGE_SUFFIXES]
    image = next((candidate for candidate in candidates if candidate.exists()), candidates[0])
    return image, root / "Annotations" / f"{line}.xml"


def _boxed_image(
    path: Path, annotation: VocAnnotation, number: int, class_of: dict[str, int], place: str
) -> BoxedImage:
    if not path.exists():
        raise DataError(f"{place}: the image {path} does not exist.")
    for item in annotation.objects:
        if item.class_name not in class_of:
            raise DataError(f"{item.place}: class '{item.class_name}' is not one of {', '.join(class_of)}.")
        fault = box_fault(item.box, annotation.width, annotation.height)
        if fault is not None:
            raise DataError(f"{item.place}: {fault}.")
    objects = annotation.objects
    return BoxedImage(
        path,
        number,
        annotation.width,
        annotation.height,
        np.array([item.box for item in objects], np.float32).reshape(-1, 4),
        np.array([class_of[item.class_name] for item in objects], np.int64),
        np.array([item.difficult for item in objects], np.bool_),
    )
