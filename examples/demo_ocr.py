"""OCR of Paddle 3 on a phone, without its training code: `make demo-ocr` runs this.

PP-OCRv5's mobile detector and recognizer, as PaddleOCR ships them, are quantized from photos by one command
each, written for Paddle Lite on ARM and x86, and run in Paddle Lite on photos of signs, shop fronts and
printed pages that calibration has not seen. What float and int8 read is drawn side by side and counted.

The calibration photos are real; the words on them are written there by `text_photos.py`, since the package
registries hold few photos of text.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import text_photos
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from text_reading import SURE_LINE, Box, Detector, Line, Reader, edit_distance, overlap

from qcc.backends.lite.runtime import LiteRuntime
from qcc.calibrate.data.image_file import read_image
from qcc.files import write_json
from qcc.train.data.cache import dataset
from qcc.train.evaluation.report import run_record
from qcc.train.parallel.launch import qcc_command

OUTPUT = Path("output/demo-ocr")
DETECTOR, RECOGNIZER = "PP-OCRv5_mobile_det", "PP-OCRv5_mobile_rec"
FORMS = ("float", "int8")
# Photos that are measured on, and those of them that are drawn.
SIGNS = ("scenetext0{}", (1, 2, 3, 4, 5, 6)), ("scenetext_segmented_word0{}", (1, 2, 3, 4, 5))
DRAWN = ("scenetext02", "scenetext_segmented_word03")
SAMPLES = {DETECTOR: 8, RECOGNIZER: 48}
# Layers stay float where calibration photos show that most is lost there: of the detector those that read the
# photo, which effort accurate looks at, whose steps that take longer are left out; and of the recognizer as
# many as agreement takes.
LEFT_OUT = ("absorption", "bias-correction", "adaround")
ACCURATE = ("--effort", "accurate", *(word for step in LEFT_OUT for word in ("--without", step)))
OPTIONS = {DETECTOR: ACCURATE, RECOGNIZER: ("--min-agreement", "0.99")}
PANEL = (300, 400)
PAGE_SIZE = (384, 768)


class Found(NamedTuple):
    """The boxes that each form has found in a photo."""

    name: str
    photo: np.ndarray
    boxes: dict[str, list[Box]]


def unseen_photos() -> dict[str, np.ndarray]:
    """The photos that are measured on, by name: uint8 [H, W, 3] in RGB order."""
    folder = dataset("opencv-photos")
    names = [pattern.format(number) for pattern, numbers in SIGNS for number in numbers]
    photos = {name: read_image(folder / "text" / f"{name}.jpg") for name in names}
    height, width = PAGE_SIZE
    page = read_image(dataset("scikit-image") / "page.png")
    photos["page"] = cv2.resize(page, (width, height), interpolation=cv2.INTER_CUBIC)
    photos["imageTextN"] = read_image(folder / "data" / "imageTextN.png")
    return photos


def prepare() -> dict[str, Path]:
    """The models, and for each the folder of what it is calibrated on."""
    for name in (DETECTOR, RECOGNIZER):
        shutil.copytree(dataset("pp-ocr-v5") / name, OUTPUT / name, dirs_exist_ok=True)
    data = {DETECTOR: OUTPUT / "photos", RECOGNIZER: OUTPUT / "lines"}
    for folder in data.values():
        shutil.rmtree(folder, ignore_errors=True)
    text_photos.write(data[DETECTOR], data[RECOGNIZER])
    for path in sorted((dataset("opencv-photos") / "text").glob("scenetext_word*.jpg")):
        shutil.copy(path, data[RECOGNIZER])
    return data


def compare(readings: list[tuple[Line, Line]]) -> dict[str, Any]:
    """How far the texts of int8 are from those of float, over lines that float reads surely."""
    texts = [(left.text, right.text) for left, right in readings if left.sure >= SURE_LINE]
    words = [(left.split(), right.split()) for left, right in texts]
    wrong_words = sum(min(edit_distance(*pair), len(pair[0])) for pair in words)
    return {
        "lines": len(texts),
        "lines_equal": sum(left == right for left, right in texts),
        "words": sum(len(left) for left, _ in words),
        "words_equal": sum(len(left) for left, _ in words) - wrong_words,
        "characters": sum(len(left) for left, _ in texts),
        "characters_edited": sum(edit_distance(*pair) for pair in texts),
        "readings_that_differ": [pair for pair in texts if pair[0] != pair[1]],
    }


def drawing(found: Found, readers: dict[str, Reader]) -> np.ndarray:
    """A photo with the boxes of float; then for each form its boxes and what it reads there, in another
    colour where no box of float has that text."""
    height, width = PANEL
    scale = min(height / found.photo.shape[0], width / found.photo.shape[1])
    size = (round(found.photo.shape[1] * scale), round(found.photo.shape[0] * scale))
    photo = Image.fromarray(cv2.resize(found.photo, size, interpolation=cv2.INTER_AREA))
    panels = [photo, *(Image.new("RGB", size, "white") for _ in FORMS)]
    said: dict[str, list[tuple[Box, str]]] = {}
    for form, panel in zip(FORMS, panels[1:], strict=True):
        lines = ((box, readers[form](found.photo, box)) for box in found.boxes[form])
        said[form] = [(box, line.text) for box, line in lines if line.sure >= SURE_LINE]
        for box, text in said[form]:
            same = any(text == other and overlap(box, place) > 0.5 for place, other in said["float"])
            _write(panel, box * scale, text, "black" if same else (213, 94, 0))
            if form == "float":
                _outline(photo, box * scale)
    return np.hstack([np.asarray(panel) for panel in panels])


def _outline(panel: Image.Image, box: Box) -> None:
    ImageDraw.Draw(panel).polygon([tuple(corner) for corner in box], outline=(0, 158, 115), width=2)


def _write(panel: Image.Image, box: Box, text: str, colour: str | tuple[int, int, int]) -> None:
    """A box with its text, as large as fits."""
    _outline(panel, box)
    left, top = box.min(0)
    width, height = np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[3] - box[0])
    face = str(dataset("dejavu-fonts") / "DejaVuSans.ttf")
    font_size = max(int(height * 0.75), 8)
    while font_size > 8 and ImageFont.truetype(face, font_size).getlength(text) > width - 4:
        font_size -= 1
    font = ImageFont.truetype(face, font_size)
    ImageDraw.Draw(panel).text((left + 3, (top + box.max(0)[1]) / 2), text, colour, font, anchor="lm")


def titled(rows: list[np.ndarray], titles: list[str]) -> np.ndarray:
    """The rows below each other, with a title above each of their columns."""
    width = max(row.shape[1] for row in rows)
    band = Image.new("RGB", (width, 32), "white")
    font = ImageFont.truetype(str(dataset("dejavu-fonts") / "DejaVuSans.ttf"), 17)
    for number, title in enumerate(titles):
        ImageDraw.Draw(band).text((number * width / len(titles) + 6, 16), title, "black", font, anchor="lm")
    padded = [np.pad(row, ((0, 6), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.vstack([np.asarray(band), *padded])


def main() -> None:
    """Quantize, export, run, draw, count."""
    console, commands = Console(), []

    def qcc(*arguments: str | Path) -> None:
        words = [str(argument) for argument in arguments]
        commands.append(shlex.join(["qcc", *words]))
        console.print(f"\n$ {commands[-1]}", style="bold", highlight=False, soft_wrap=True)
        if code := subprocess.run(qcc_command(words), check=False).returncode:
            sys.exit(code)

    files = {name: {form: OUTPUT / name / f"{form}.nb" for form in FORMS} for name in SAMPLES}
    for name, data in prepare().items():
        model, quantized = OUTPUT / name, OUTPUT / name / "quantized"
        several = ["--data", data, "--samples", str(SAMPLES[name]), *OPTIONS[name]]
        # What is run is checked by the exports behind it.
        qcc("quantize", model, *several, "-o", quantized, "--target", "lite-arm", "--no-check")
        for form, source in (("float", model), ("int8", quantized / "float")):
            qcc("export", source, "--target", "lite", "--arch", "x86", "-o", files[name][form])

    with ExitStack() as stack:

        def runtime(name: str, form: str) -> LiteRuntime:
            return stack.enter_context(LiteRuntime(files[name][form]))

        detectors = {form: Detector(runtime(DETECTOR, form), OUTPUT / DETECTOR) for form in FORMS}
        readers = {form: Reader(runtime(RECOGNIZER, form), OUTPUT / RECOGNIZER) for form in FORMS}
        everything = [
            Found(name, photo, {form: detect(photo) for form, detect in detectors.items()})
            for name, photo in unseen_photos().items()
        ]
        # Both forms read the same lines, those that the float detector finds.
        lines = [(found.photo, box) for found in everything for box in found.boxes["float"]]
        readings = [(readers["float"](*line), readers["int8"](*line)) for line in lines]
        rows = [drawing(found, readers) for found in everything if found.name in DRAWN]

    sizes = {
        name: {form: path.stat().st_size for form, path in files[name].items()}
        | {"arm": (OUTPUT / name / "quantized/lite-arm/model.nb").stat().st_size}
        for name in SAMPLES
    }
    megabytes = {form: sum(sizes[name][form] for name in SAMPLES) / 1e6 for form in FORMS}
    titles = ["photo", *(f"read in {form}, {megabytes[form]:.1f} MB" for form in FORMS)]
    cv2.imwrite(str(OUTPUT / "ocr.png"), titled(rows, titles)[..., ::-1])
    matched = sum(
        any(overlap(box, other) > 0.5 for other in found.boxes["float"])
        for found in everything
        for box in found.boxes["int8"]
    )
    facts = {
        "commands": commands,
        "photos": len(everything),
        "boxes": {form: sum(len(found.boxes[form]) for found in everything) for form in FORMS},
        "matched": matched,
        **compare(readings),
        "bytes": sizes,
    }
    write_json(OUTPUT / "record.json", run_record({}, facts))
    boxes = facts["boxes"]
    console.print(
        f"\n{len(everything)} photos, {boxes['float']} boxes in float, {boxes['int8']} in int8, {matched} of"
        " them the same."
    )
    console.print(
        f"Of what float reads, int8 reads {facts['words_equal']} of {facts['words']} words the same;"
        f" {facts['characters_edited']} of {facts['characters']} characters differ."
    )
    console.print(f"Everything is in {OUTPUT}: both models, their data, the .nb files, ocr.png, record.json.")


if __name__ == "__main__":
    main()
