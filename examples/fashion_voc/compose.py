"""Compose a detection set: Fashion-MNIST items on photos, written in the layout of Pascal VOC.

Usage: python examples/fashion_voc/compose.py FOLDER [--train N] [--test N] [--seed N] [--fine]

The layout of a picture is synthetic; the items and the photos are real. Train pictures take items from
the 60,000 of Fashion-MNIST's train half and photos of one list, test pictures items from the 10,000 of its
test half and photos of another. Each item is used once before any is used again. Picture number i of a
split depends on (seed, split, i) alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from qcc.train.data.cache import dataset
from qcc.train.data.fashion_mnist import CLASS_NAMES, LabelledImages, read_fashion_mnist
from qcc.train.data.randomness import epoch_order, sample_generator
from qcc.train.data.voc_layout import VocWriter, WrittenBox

PHOTOS = {
    "train": {
        "mate-backgrounds": (
            "Aqua.jpg",
            "Blinds.jpg",
            "Dune.jpg",
            "Garden.jpg",
            "GreenMeadow.jpg",
            "RainDrops.jpg",
            "TwoWings.jpg",
            "Wood.jpg",
        ),
        "skimage-photos": (
            "astronaut.png",
            "brick.png",
            "chelsea.png",
            "grass.png",
            "ihc.png",
            "motorcycle_left.png",
        ),
    },
    "test": {
        "mate-backgrounds": ("FreshFlower.jpg", "LadyBird.jpg", "Storm.jpg", "YellowFlower.jpg"),
        "skimage-photos": ("coffee.png", "gravel.png", "rocket.jpg"),
    },
}
FINE_CLASSES = tuple(name.lower().replace("/", "-").replace(" ", "-") for name in CLASS_NAMES)
# What a small network tells apart after an hour on one core: all that is worn above the waist is "top".
COARSE_CLASSES = ("top", "trouser", "dress", "shoe", "bag")
COARSE = {
    "t-shirt-top": "top",
    "pullover": "top",
    "coat": "top",
    "shirt": "top",
    "sandal": "shoe",
    "sneaker": "shoe",
    "ankle-boot": "shoe",
}
SPLIT_NUMBER = {"train": 0, "test": 1}
SIDES = (160, 208)  # of a picture, pixels
ITEM_SIDES = (44, 88)  # of an item's 28 x 28 pixels as drawn
MOST_ITEMS = 6
MOST_COVERED = 0.2  # of an item that a later one may cover
DIFFICULT_COVERED = 0.15
ITEM_THRESHOLD = 12  # grey values up to this are an item's ground


@dataclass
class Placed:
    """An item in a picture: its class, its mask (bool, of the picture's shape) and its number of pixels."""

    class_name: str
    mask: NDArray[np.bool_]
    pixels: int

    def covered(self) -> float:
        return 1 - int(self.mask.sum()) / self.pixels

    def written(self) -> WrittenBox:
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        box = (int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1)
        return WrittenBox(self.class_name, box, difficult=self.covered() > DIFFICULT_COVERED)


class Composer:
    """Composes the pictures of one split."""

    def __init__(
        self, items: LabelledImages, photos: list[NDArray[np.uint8]], seed: int, split: str, fine: bool
    ) -> None:
        self._fine = fine
        self._items = items
        self._photos = photos
        self._seed = seed
        self._split = SPLIT_NUMBER[split]
        self._order = epoch_order(seed, self._split, len(items))

    def picture(self, index: int) -> tuple[NDArray[np.uint8], list[WrittenBox]]:
        """Picture number `index`: uint8 [H, W, 3] in RGB order, and its boxes."""
        random = sample_generator(self._seed, self._split, index)
        height, width = (int(side) for side in random.integers(SIDES[0], SIDES[1] + 1, 2))
        picture = _background(self._photos[random.integers(len(self._photos))], height, width, random)
        placed: list[Placed] = []
        for place in range(int(random.integers(1, MOST_ITEMS + 1))):
            number = int(self._order[(index * MOST_ITEMS + place) % len(self._items)])
            self._paste(picture, number, placed, random)
        return picture, [item.written() for item in placed]

    def _paste(
        self, picture: NDArray[np.uint8], number: int, placed: list[Placed], random: np.random.Generator
    ) -> None:
        height, width = picture.shape[:2]
        side = round(float(np.exp(random.uniform(*np.log(ITEM_SIDES)))))
        alpha, grey = _enlarged(self._items.images[number], side)
        for _ in range(20):
            top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
            mask = np.zeros((height, width), np.bool_)
            mask[top : top + side, left : left + side] = alpha > 0.5
            if all(1 - (other.mask & ~mask).sum() / other.pixels <= MOST_COVERED for other in placed):
                break
        else:
            return  # there is no room left for it
        for other in placed:
            other.mask &= ~mask
        patch = picture[top : top + side, left : left + side]
        opaque = alpha[:, :, None]
        patch[:] = np.rint(opaque * grey[:, :, None] + (1 - opaque) * patch)
        name = FINE_CLASSES[int(self._items.labels[number])]
        placed.append(Placed(name if self._fine else COARSE.get(name, name), mask, int(mask.sum())))


def _background(
    photo: NDArray[np.uint8], height: int, width: int, random: np.random.Generator
) -> NDArray[np.uint8]:
    """A random cut of a photo, as wide and high as wanted, now and then mirrored, of random brightness."""
    most = min(photo.shape[0] / height, photo.shape[1] / width)
    zoom = float(np.exp(random.uniform(0, np.log(most)))) if most > 1 else most
    cut_height, cut_width = int(height * zoom), int(width * zoom)
    top = random.integers(0, photo.shape[0] - cut_height + 1)
    left = random.integers(0, photo.shape[1] - cut_width + 1)
    cut = photo[top : top + cut_height, left : left + cut_width]
    result = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
    if random.random() < 0.5:
        result = result[:, ::-1]
    return np.clip(result * random.uniform(0.6, 1.2), 0, 255).astype(np.uint8)


def _enlarged(item: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An item's opacity (0 to 1) and grey values (0 to 255), float32 [side, side].

    The ground is what is connected with the border and dark, so that dark parts of a garment stay opaque.
    """
    padded = cv2.copyMakeBorder(
        (item <= ITEM_THRESHOLD).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1
    )
    ground = padded.copy()
    cv2.floodFill(ground, None, (0, 0), 2)
    opaque = (ground[1:-1, 1:-1] != 2).astype(np.float32)
    # The garment's values spread a little over its edge, or the dark ground would frame it when enlarged.
    spread = cv2.dilate(item, np.ones((3, 3), np.uint8))
    filled = np.where(opaque > 0, item, spread).astype(np.float32)
    size = (side, side)
    alpha = cv2.resize(opaque, size, interpolation=cv2.INTER_LINEAR)
    grey = np.clip(cv2.resize(filled, size, interpolation=cv2.INTER_CUBIC), 0, 255)
    return np.clip((alpha - 0.25) * 2, 0, 1), grey


def read_photos(split: str) -> list[NDArray[np.uint8]]:
    """The photos of a split, uint8 [H, W, 3] in RGB order, at most 1024 pixels on the longer side."""
    photos = []
    for source, names in PHOTOS[split].items():
        for name in names:
            photo = cv2.imread(str(dataset(source) / name), cv2.IMREAD_COLOR)
            scale = min(1.0, 1024 / max(photo.shape))
            photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            photos.append(np.ascontiguousarray(photo[:, :, ::-1]))
    return photos


def compose(folder: Path, counts: dict[str, int], seed: int, fine: bool) -> None:
    """Write the data set with `counts` pictures in the splits "train" and "test"; `fine`: ten classes."""
    writer = VocWriter(folder, FINE_CLASSES if fine else COARSE_CLASSES)
    splits: dict[str, list[str]] = {}
    for split, count in counts.items():
        items = read_fashion_mnist(dataset("fashion-mnist"), split)
        composer = Composer(items, read_photos(split), seed, split, fine)
        names = []
        for index in range(count):
            name = f"{split}_{index:05d}"
            writer.add(name, *composer.picture(index))
            names.append(name)
        # The original's lists are called trainval and test.
        splits["trainval" if split == "train" else split] = names
    writer.finish(splits)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fine", action="store_true", help="Fashion-MNIST's ten classes instead of five")
    arguments = parser.parse_args()
    counts = {"train": arguments.train, "test": arguments.test}
    compose(arguments.folder, counts, arguments.seed, arguments.fine)


if __name__ == "__main__":
    main()
