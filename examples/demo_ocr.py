"""A text detector of Paddle 3 on a phone, without its training code: `make demo-ocr` runs this.

PP-OCRv5's mobile detector, as PaddleOCR ships it, is quantized from photos by one command, written for Paddle
Lite on ARM and x86, and run in Paddle Lite on a photo of a printed page that calibration has not seen. The
text boxes of the float and of the int8 file are drawn side by side.

The calibration photos are real; the words on them are written there by this program, since the package
registries hold few photos of text.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from qcc.backends.lite.runtime import LiteRuntime
from qcc.files import write_json
from qcc.train.data.cache import dataset
from qcc.train.evaluation.report import run_record
from qcc.train.parallel.launch import qcc_command

OUTPUT = Path("output/demo-ocr")
PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "text.png",
)
PAGE = "page.png"
PHOTOS_EACH = 4
WORDS = (
    "Quantization",
    "2026",
    "EXIT",
    "Street",
    "network",
    "faster",
    "No. 42",
    "coffee",
    "open daily",
    "detector",
)
# As PaddleOCR prepares pictures for its detectors.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESS = f"""\
steps:
  - {{type: Resize, size: [480, 640]}}
channels: BGR
scale: {1 / 255}
mean: {list(MEAN)}
std: {list(STD)}
layout: NCHW
"""
# Where the map cuts text out, how sure a box must be, and how far it is widened: PaddleOCR's values.
CUT, SURE, WIDER = 0.3, 0.6, 1.5
PAGE_SIZE = (384, 768)

Box = tuple[tuple[float, float], tuple[float, float], float]


def write_photos(folder: Path) -> None:
    """Photos with words on them, always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(PHOTOS_EACH * len(PHOTOS)):
        random = np.random.default_rng(number)
        picture = cv2.resize(
            cv2.imread(str(dataset("scikit-image") / PHOTOS[number % len(PHOTOS)])), (640, 480)
        )
        for _ in range(8):
            place = (int(random.integers(2, 480)), int(random.integers(30, 470)))
            colour = tuple(int(part) for part in random.integers(0, 256, 3))
            word, font = WORDS[int(random.integers(len(WORDS)))], int(random.integers(0, 4))
            cv2.putText(picture, word, place, font, float(random.uniform(0.6, 1.6)), colour, 2, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"{number:02}.png"), picture)


def page() -> tuple[np.ndarray, np.ndarray]:
    """The photo of the page, uint8 [H, W, 3] in BGR order, and what the detector is fed with."""
    height, width = PAGE_SIZE
    picture = cv2.resize(
        cv2.imread(str(dataset("scikit-image") / PAGE)), (width, height), interpolation=cv2.INTER_CUBIC
    )
    scaled = (picture / 255 - MEAN) / STD
    return picture, scaled.transpose(2, 0, 1)[None].astype(np.float32)


def boxes(text_map: np.ndarray) -> list[Box]:
    """Text boxes of a map of how probable text is, [H, W]: centre, size and angle.

    The detector learns text shrunk by its outline, so that a box is widened by area * WIDER / perimeter (Liao
    et al. 2020, arXiv:1911.08947, section 3.5).
    """
    found = []
    contours, _ = cv2.findContours((text_map > CUT).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        inside = np.zeros(text_map.shape, np.uint8)
        cv2.drawContours(inside, [contour], -1, (1,), -1)
        if min(width, height) >= 3 and text_map[inside > 0].mean() > SURE:
            wider = 2 * width * height * WIDER / (2 * (width + height))
            found.append((tuple(centre), (width + wider, height + wider), angle))
    return found


def matched(left: list[Box], right: list[Box]) -> int:
    """How many boxes of one list cover one of the other by more than half."""
    return sum(any(_overlap(one, other) > 0.5 for other in right) for one in left)


def _overlap(left: Box, right: Box) -> float:
    kind, corners = cv2.rotatedRectangleIntersection(left, right)
    if kind == cv2.INTERSECT_NONE or corners is None:
        return 0.0
    common = cv2.contourArea(cv2.convexHull(corners))
    return common / (np.prod(left[1]) + np.prod(right[1]) - common)


def side_by_side(picture: np.ndarray, found: dict[str, list[Box]]) -> np.ndarray:
    """The picture once for each name, with its boxes."""
    drawn = []
    for name, all_boxes in found.items():
        copy = picture.copy()
        for box in all_boxes:
            cv2.polylines(copy, [cv2.boxPoints(box).astype(np.int32)], True, (0, 94, 213), 2, cv2.LINE_AA)
        band = np.full((40, copy.shape[1], 3), 255, np.uint8)
        cv2.putText(band, name, (8, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2, cv2.LINE_AA)
        drawn.append(np.vstack([band, copy]))
    return np.hstack([drawn[0], np.full((drawn[0].shape[0], 8, 3), 255, np.uint8), *drawn[1:]])


def main() -> None:
    """Quantize, export, run, draw."""
    console, commands = Console(), []

    def qcc(*arguments: str | Path) -> None:
        words = [str(argument) for argument in arguments]
        commands.append(shlex.join(["qcc", *words]))
        console.print(f"\n$ {commands[-1]}", style="bold", highlight=False, soft_wrap=True)
        if code := subprocess.run(qcc_command(words), check=False).returncode:
            sys.exit(code)

    model = OUTPUT / "PP-OCRv5_mobile_det"
    shutil.copytree(dataset("pp-ocr-v5") / model.name, model, dirs_exist_ok=True)
    write_photos(OUTPUT / "photos")
    (OUTPUT / "preprocess.yml").write_text(PREPROCESS)
    data = ("--data", OUTPUT / "photos", "--preprocess", OUTPUT / "preprocess.yml")
    qcc("quantize", model, *data, "-o", OUTPUT / "quantized", "--target", "lite-arm")
    files = {"float": OUTPUT / "float.nb", "int8": OUTPUT / "int8.nb"}
    qcc("export", model, "--target", "lite", "--arch", "x86", "-o", files["float"])
    qcc("export", OUTPUT / "quantized/float", "--target", "lite", "--arch", "x86", "-o", files["int8"])

    picture, feed = page()
    found: dict[str, list[Box]] = {}
    sizes = {name: path.stat().st_size for name, path in files.items()}
    for name, path in files.items():
        with LiteRuntime(path) as runtime:
            found[name] = boxes(runtime.run({runtime.inputs[0]: feed})[0][0, 0])
    drawing = side_by_side(picture, {f"{name}, {sizes[name] / 1e6:.2f} MB": found[name] for name in files})
    cv2.imwrite(str(OUTPUT / "boxes.png"), drawing)
    both = matched(found["int8"], found["float"])
    counts = {name: len(all_boxes) for name, all_boxes in found.items()}
    console.print(f"\n{counts['float']} boxes in float, {counts['int8']} in int8, {both} of them the same.")
    arm = (OUTPUT / "quantized/lite-arm/model.nb").stat().st_size
    facts = {"commands": commands, "boxes": counts}
    facts |= {"matched": both, "bytes": {**sizes, "arm": arm}}
    write_json(OUTPUT / "record.json", run_record({}, facts))
    console.print(f"Everything is in {OUTPUT}: photos, quantized, the .nb files, boxes.png, record.json.")


if __name__ == "__main__":
    main()
