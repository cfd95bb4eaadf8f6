"""What the OCR demo does around the networks, and how it counts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LETTERS = ["", "a", "b", " "]


@pytest.fixture(scope="module")
def reading() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module("text_reading")
    sys.path.remove(str(EXAMPLES))
    del sys.modules["text_reading"]


def test_letters_said_in_a_row_are_one(reading: ModuleType) -> None:
    said = [1, 1, 0, 1, 3, 2, 2, 0]
    line = reading.decoded(np.eye(4)[said] * 0.75, LETTERS)
    assert line == ("aa b", 0.75)
    assert reading.decoded(np.eye(4)[[0, 0]], LETTERS) == ("", 0.0)


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("abc", "", 3), (["a", "b"], ["b"], 1)],
)
def test_edit_distance(reading: ModuleType, left: str, right: str, wanted: int) -> None:
    assert reading.edit_distance(left, right) == reading.edit_distance(right, left) == wanted


def test_a_tilted_line_is_found_and_cut_out_level(reading: ModuleType) -> None:
    text_map = np.zeros((200, 300), np.float32)
    corners = cv2.boxPoints(((150, 100), (120, 20), 20)).astype(np.int32)
    cv2.fillPoly(text_map, [corners], 0.9)
    (box,) = reading.boxes(text_map)
    upper_left, upper_right, _, lower_left = box
    assert upper_left[0] < upper_right[0]
    assert upper_left[1] < lower_left[1]
    photo = np.repeat((text_map * 255).astype(np.uint8)[..., None], 3, 2)
    line = reading.cut_out(photo, box)
    assert line.shape[1] > 3 * line.shape[0]
    inner = line[line.shape[0] // 3 : -line.shape[0] // 3, 30:-30]
    assert inner.min() > 200
    assert reading.overlap(box, box) == pytest.approx(1)
    assert reading.overlap(box, box + 150) == 0


def test_what_is_hardly_text_is_no_box(reading: ModuleType) -> None:
    text_map = np.zeros((50, 50), np.float32)
    text_map[10:20, 10:40] = 0.5
    assert reading.boxes(text_map) == []
