"""What stands around PP-OCR's two networks: boxes of a text map, lines cut out, letters of a line, and how
far two readings are apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import yaml

from qcc.backends.lite.runtime import LiteRuntime
from qcc.calibrate.data.beside import load_preprocess
from qcc.calibrate.data.prepare import Preparation

# Where the map cuts text out, how sure a box must be, how far it is widened, and how sure a line must be:
# PaddleOCR's values.
CUT, SURE_BOX, WIDER, SURE_LINE = 0.3, 0.6, 1.5, 0.5

Box = np.ndarray
"""The corners of a line of text, float32 [4, 2] as x, y, clockwise from the upper left one."""


class Line(NamedTuple):
    """What is read in a line, and how sure that is, 0 to 1."""

    text: str
    sure: float


class Detector:
    """Finds the lines of text in a photo."""

    def __init__(self, runtime: LiteRuntime, model: Path) -> None:
        self._runtime = runtime
        self._prepare = Preparation(load_preprocess(model / "inference.yml"))

    def __call__(self, photo: np.ndarray) -> list[Box]:
        """The boxes of a photo, uint8 [H, W, 3] in RGB order, from above to below."""
        feed = self._prepare(photo, "photo").image[None]
        text_map = self._runtime.run({self._runtime.inputs[0]: feed})[0][0, 0]
        scale = np.divide(photo.shape[1::-1], text_map.shape[::-1], dtype=np.float32)
        return sorted((box * scale for box in boxes(text_map)), key=lambda box: tuple(box.mean(0)[::-1]))


class Reader:
    """Reads a line of text."""

    def __init__(self, runtime: LiteRuntime, model: Path) -> None:
        self._runtime = runtime
        self._prepare = Preparation(load_preprocess(model / "inference.yml"))
        described = yaml.safe_load((model / "inference.yml").read_text())
        # Class 0 is "nothing"; the last one, which the list lacks, is a space.
        self._letters = ["", *map(str, described["PostProcess"]["character_dict"]), " "]

    def __call__(self, photo: np.ndarray, box: Box) -> Line:
        feed = self._prepare(cut_out(photo, box), "line").image[None]
        steps = self._runtime.run({self._runtime.inputs[0]: feed})[0][0]
        return decoded(steps, self._letters)


def decoded(steps: np.ndarray, letters: Sequence[str]) -> Line:
    """The text of probabilities, [steps, classes]: a letter that is said several times in a row is one, and
    class 0 is none (Graves et al. 2006, Connectionist Temporal Classification)."""
    best = steps.argmax(1)
    said = (best > 0) & np.append(True, best[1:] != best[:-1])
    sure = float(steps.max(1)[said].mean()) if said.any() else 0.0
    return Line("".join(letters[index] for index in best[said]), sure)


def boxes(text_map: np.ndarray) -> list[Box]:
    """Text boxes of a map of how probable text is, [H, W].

    The detector learns text shrunk by its outline, so that a box is widened by area * WIDER / perimeter (Liao
    et al. 2020, arXiv:1911.08947, section 3.5).
    """
    found = []
    contours, _ = cv2.findContours((text_map > CUT).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        inside = np.zeros(text_map.shape, np.uint8)
        cv2.drawContours(inside, [contour], -1, (1,), -1)
        if min(width, height) >= 3 and text_map[inside > 0].mean() > SURE_BOX:
            wider = width * height * WIDER / (width + height)
            found.append(_clockwise(cv2.boxPoints((centre, (width + wider, height + wider), angle))))
    return found


def _clockwise(corners: np.ndarray) -> Box:
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = (pair[np.argsort(pair[:, 1], kind="stable")] for pair in (by_x[:2], by_x[2:]))
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def cut_out(photo: np.ndarray, box: Box) -> np.ndarray:
    """The line in a box, made level; one that stands upright is turned, as PaddleOCR does."""
    sides = np.linalg.norm(box - np.roll(box, -1, 0), axis=1)
    width, height = max(int(sides[[0, 2]].max()), 1), max(int(sides[[1, 3]].max()), 1)
    level = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    line = cv2.warpPerspective(
        photo,
        cv2.getPerspectiveTransform(box, level),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.rot90(line) if height >= 1.5 * width else line


def overlap(left: Box, right: Box) -> float:
    """Of two boxes: the area that both cover by the area that one of them covers."""
    common, _ = cv2.intersectConvexConvex(left, right)
    return float(common / (cv2.contourArea(left) + cv2.contourArea(right) - common))


def edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """How many letters, or words, must be put in, left out or exchanged (Levenshtein 1966)."""
    row = list(range(len(right) + 1))
    for count, one in enumerate(left, 1):
        above, row = row, [count]
        for place, other in enumerate(right):
            row.append(min(above[place + 1] + 1, row[place] + 1, above[place] + (one != other)))
    return row[-1]
