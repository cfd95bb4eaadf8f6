"""Writing images with boxes in the layout of Pascal VOC.

```
ROOT/JPEGImages/NAME.jpg  ROOT/Annotations/NAME.xml  ROOT/ImageSets/Main/SPLIT.txt
ROOT/SPLIT.txt            lines "JPEGImages/NAME.jpg Annotations/NAME.xml", as PaddleDetection reads them
ROOT/label_list.txt       class names, one a line
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
from numpy.typing import NDArray

from qcc.errors import OutputError
from qcc.files import write_text


@dataclass(frozen=True)
class WrittenBox:
    """A box in pixels, edges included and counted from 1, as VOC does: left, top, right, bottom."""

    class_name: str
    box: tuple[int, int, int, int]
    difficult: bool = False


class VocWriter:
    """Writes one data set; `finish` comes last, so that the lists name only what is there."""

    def __init__(self, root: Path, class_names: Sequence[str], jpeg_quality: int = 92) -> None:
        self._root = root
        self._class_names = class_names
        self._jpeg_quality = jpeg_quality
        for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def add(self, name: str, image: NDArray[Any], boxes: Sequence[WrittenBox]) -> None:
        """Write one image, uint8 [H, W, 3] in RGB order, and its boxes."""
        encoded, data = cv2.imencode(
            ".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, self._jpeg_quality]
        )
        if not encoded:
            raise OutputError(f"{name}: the image of shape {list(image.shape)} cannot be written as JPEG.")
        (self._root / _image_path(name)).write_bytes(data.tobytes())
        (self._root / _xml_path(name)).write_bytes(_annotation(name, image, boxes))

    def finish(self, splits: Mapping[str, Sequence[str]]) -> None:
        """Write the list of each split's names and the list of classes."""
        for split, names in splits.items():
            pairs = [f"{_image_path(name)} {_xml_path(name)}" for name in names]
            self._write_lines(Path("ImageSets", "Main", f"{split}.txt"), names)
            self._write_lines(Path(f"{split}.txt"), pairs)
        self._write_lines(Path("label_list.txt"), self._class_names)

    def _write_lines(self, path: Path, lines: Sequence[str]) -> None:
        write_text(self._root / path, "".join(f"{line}\n" for line in lines))


def _image_path(name: str) -> str:
    return f"JPEGImages/{name}.jpg"


def _xml_path(name: str) -> str:
    return f"Annotations/{name}.xml"


def _annotation(name: str, image: NDArray[Any], boxes: Sequence[WrittenBox]) -> bytes:
    height, width, depth = image.shape
    root = ElementTree.Element("annotation")
    _add(root, "filename", f"{name}.jpg")
    size = ElementTree.SubElement(root, "size")
    for key, number in (("width", width), ("height", height), ("depth", depth)):
        _add(size, key, number)
    for box in boxes:
        item = ElementTree.SubElement(root, "object")
        _add(item, "name", box.class_name)
        _add(item, "difficult", int(box.difficult))
        bounds = ElementTree.SubElement(item, "bndbox")
        for key, number in zip(("xmin", "ymin", "xmax", "ymax"), box.box, strict=True):
            _add(bounds, key, number)
    ElementTree.indent(root)
    return ElementTree.tostring(root)


def _add(parent: ElementTree.Element, tag: str, content: object) -> None:
    ElementTree.SubElement(parent, tag).text = str(content)
