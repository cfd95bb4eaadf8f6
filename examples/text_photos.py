"""Photos with lines of text on them, to calibrate OCR on: the photos are real, their text is written here.

The package registries hold few photos of text; those few are left for what is measured. Fonts, sizes, colours
and lengths of the lines differ as those of signs, pages and screens do.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from qcc.calibrate.data.image_file import read_image
from qcc.train.data.cache import dataset

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
PHOTOS_EACH = 4
SIZE = (480, 640)
LINES = 6
SPECIALS = (
    "2026",
    "No. 42",
    "Tel. 030/7158",
    "3,950.60",
    "Exit 7B",
    "EUR 12",
    "100 %",
    "A4",
    "(c) 1997",
    "No!",
    "Why?",
)


def words() -> list[str]:
    """The words that are written: those of this project's licence, some of them in capitals, and numbers."""
    text = (Path(__file__).resolve().parent.parent / "LICENSE").read_text()
    found = re.findall(r"\S+", text)
    return [*found, *(word.upper() for word in found[::7]), *SPECIALS * 40]


def write(photos: Path, lines: Path) -> None:
    """Write the photos into one folder, and each line of text, cut out, into another; always the same."""
    for folder in (photos, lines):
        folder.mkdir(parents=True, exist_ok=True)
    known, fonts = words(), sorted(dataset("dejavu-fonts").glob("*.ttf"))
    for number in range(PHOTOS_EACH * len(PHOTOS)):
        random = np.random.default_rng(number)
        height, width = SIZE
        photo = cv2.resize(
            read_image(dataset("scikit-image") / PHOTOS[number % len(PHOTOS)]), (width, height)
        )
        canvas = Image.fromarray(photo)
        boxes = []
        for slot in range(LINES):
            top, font_size = slot * height // LINES, int(random.integers(14, 54))
            font = ImageFont.truetype(str(fonts[int(random.integers(len(fonts)))]), font_size)
            start = int(random.integers(len(known) - 8))
            text = _fitting(font, known[start : start + int(random.integers(1, 9))], width - 30)
            left = int(random.integers(8, max(width - int(font.getlength(text)) - 8, 9)))
            place = (left, top + int(random.integers(2, height // LINES - font_size - 8)))
            box = ImageDraw.Draw(canvas).textbbox(place, text, font)
            ImageDraw.Draw(canvas).text(place, text, _colour(random, photo, box), font)
            margin = max(2, font_size // int(random.integers(5, 11)))
            boxes.append(
                [
                    max(box[0] - margin, 0),
                    max(box[1] - margin, 0),
                    min(box[2] + margin, width),
                    min(box[3] + margin, height),
                ]
            )
        drawn = cv2.GaussianBlur(np.asarray(canvas), (0, 0), float(random.uniform(0.3, 1.1)))[..., ::-1]
        # By photo, so that some that are evenly spread have each of them.
        name = f"{number % len(PHOTOS)}-{number // len(PHOTOS)}.png"
        cv2.imwrite(str(photos / name), drawn)
        for slot, (left, top, right, bottom) in enumerate(map(_whole, boxes)):
            cv2.imwrite(str(lines / f"{number:02}-{slot}.png"), drawn[top:bottom, left:right])


def _whole(box: list[float]) -> list[int]:
    return [round(side) for side in box]


def _fitting(font: ImageFont.FreeTypeFont, chosen: list[str], room: int) -> str:
    """As many of the words as there is room for."""
    while len(chosen) > 1 and font.getlength(" ".join(chosen)) > room:
        chosen = chosen[:-1]
    text = " ".join(chosen)
    while font.getlength(text) > room:
        text = text[:-1]
    return text


def _colour(random: np.random.Generator, photo: np.ndarray, box: tuple[float, ...]) -> tuple[int, ...]:
    """Dark on what is light, light on what is dark."""
    left, top, right, bottom = (max(round(side), 0) for side in box)
    low, high = (0, 90) if photo[top:bottom, left:right].mean() > 110 else (165, 256)
    return tuple(int(part) for part in random.integers(low, high, 3))
