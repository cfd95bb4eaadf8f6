"""Cut the DeepForest samples into tiles: real aerial photos with real boxes, in the layout of Pascal VOC.

Usage: python examples/tree_crowns/tile.py FOLDER

Four photos from three places hold 951 trees. Tiles are at most 400 pixels wide and high and do not overlap,
and the test tiles all lie in the right part of the largest photo, of which no training tile shows anything.
What a cut leaves of a crown stays a box when it is a quarter of it or more, and counts as difficult when it
is less than half. The photos call most trees "Tree" and some "Alive" or "Dead": here all are "tree".
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from qcc.train.data.cache import dataset
from qcc.train.data.voc_layout import VocWriter, WrittenBox
from qcc.train.data.voc_xml import read_annotation

CLASS_NAME = "tree"
TILE = 400
LEAST_SHARE, DIFFICULT_SHARE = 0.25, 0.5


@dataclass(frozen=True)
class Region:
    """A part of a photo, from column `left` up to `right` (None: its edge), and the split it belongs to."""

    photo: str
    annotation: str
    split: str
    left: int = 0
    right: int | None = None


_YELLOWSTONE = "2019_YELL_2_528000_4978000_image_crop2"
REGIONS = (
    Region(f"{_YELLOWSTONE}.png", f"{_YELLOWSTONE}.xml", "trainval", right=1600),
    Region(f"{_YELLOWSTONE}.png", f"{_YELLOWSTONE}.xml", "test", left=1600),
    Region(
        "2019_YELL_2_541000_4977000_image_crop.png", "2019_YELL_2_541000_4977000_image_crop.xml", "trainval"
    ),
    Region("OSBS_029.tif", "OSBS_029.xml", "trainval"),
    Region("SOAP_061.png", "SOAP_061.xml", "trainval"),
)


def tiles(width: int, height: int, region: Region) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, right and bottom of each tile of a region: equal parts, none wider or higher than TILE."""
    right = width if region.right is None else region.right
    columns, rows = _edges(region.left, right), _edges(0, height)
    for top, bottom in pairwise(rows):
        for left, end in pairwise(columns):
            yield left, top, end, bottom


def _edges(start: int, end: int) -> list[int]:
    return [int(edge) for edge in np.linspace(start, end, math.ceil((end - start) / TILE) + 1)]


def boxes_inside(
    boxes: NDArray[np.float64], tile: tuple[int, int, int, int]
) -> Iterator[tuple[tuple[int, int, int, int], bool]]:
    """What a tile shows of `boxes` (float64 [B, 4], xmin, ymin, xmax, ymax): boxes and "difficult"."""
    offset = np.array([tile[0], tile[1]] * 2)
    size = (tile[2] - tile[0], tile[3] - tile[1])
    for box in boxes:
        inside = np.clip(box - offset, [1, 1, 1, 1], [*size, *size])
        share = np.prod(np.clip(inside[2:] - inside[:2], 0, None)) / np.prod(box[2:] - box[:2])
        if share >= LEAST_SHARE:
            left, top, right, bottom = (round(float(edge)) for edge in inside)
            yield (left, top, right, bottom), bool(share < DIFFICULT_SHARE)


def write_tiles(folder: Path) -> None:
    """Write the data set."""
    source = dataset("deepforest")
    writer = VocWriter(folder, [CLASS_NAME])
    splits: dict[str, list[str]] = {"trainval": [], "test": []}
    for number, region in enumerate(REGIONS):
        photo = cv2.imread(str(source / region.photo), cv2.IMREAD_COLOR)[:, :, ::-1]
        annotation = read_annotation(source / region.annotation)
        boxes = np.array([item.box for item in annotation.objects])
        for index, tile in enumerate(tiles(photo.shape[1], photo.shape[0], region)):
            left, top, right, bottom = tile
            shown = [WrittenBox(CLASS_NAME, *inside) for inside in boxes_inside(boxes, tile)]
            if shown:
                name = f"place_{number}_{index:02d}"
                writer.add(name, photo[top:bottom, left:right], shown)
                splits[region.split].append(name)
    writer.finish(splits)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    write_tiles(parser.parse_args().folder)


if __name__ == "__main__":
    main()
