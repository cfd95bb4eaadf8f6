"""Pictures with boxes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_detector import write_detector_config

from qcc.errors import ConfigError, DataError, OutputError
from qcc.train.config import DetectorConfig, load_config
from qcc.train.evaluation.drawing import Detection, class_colour, draw
from qcc.train.evaluation.infer import Detector, find_images, infer

GREY = np.full((100, 200, 3), 90, np.uint8)


def test_boxes_are_drawn_in_their_class_colour_on_an_enlarged_copy() -> None:
    found = [Detection(2, "cat", 0.9, (20.0, 40.0, 120.0, 90.0))]

    picture = draw(GREY, found)

    assert picture.shape == (500, 1000, 3)  # five times as large, so that the short side reaches 480
    assert tuple(picture[90 * 5, 70 * 5]) == class_colour(2)
    assert tuple(picture[65 * 5, 20 * 5]) == class_colour(2)
    assert (picture[65 * 5, 70 * 5] == 90).all()  # inside the box
    assert (GREY == 90).all()


def test_large_pictures_keep_their_size() -> None:
    large = np.zeros((600, 700, 3), np.uint8)

    assert draw(large, []).shape == large.shape


def test_narrow_strips_are_not_enlarged_without_end() -> None:
    assert draw(np.zeros((2, 3000, 3), np.uint8), []).shape == (2, 3000, 3)
    assert draw(np.zeros((1500, 100, 3), np.uint8), []).shape == (3000, 200, 3)


def test_a_name_that_the_font_lacks_is_drawn_as_its_number() -> None:
    box = (20.0, 40.0, 120.0, 90.0)

    picture = draw(GREY, [Detection(3, "\u732b", 0.5, box)])

    assert (picture == draw(GREY, [Detection(3, "class 3", 0.5, box)])).all()


def test_edges_far_outside() -> None:
    far = draw(GREY, [Detection(0, "a", 0.5, (20.0, 40.0, 1e12, float("inf")))])

    assert (far == draw(GREY, [Detection(0, "a", 0.5, (20.0, 40.0, 300.0, 300.0))])).all()


def test_labels_stay_inside() -> None:
    found = [Detection(0, "a rather long name", 0.5, (190.0, 0.0, 199.0, 9.0))]

    picture = draw(GREY, found)

    assert (picture[2, :700] == 90).all()
    assert not (picture[2, 800:] == 90).all()


def test_likelier_boxes_lie_on_top() -> None:
    box = (20.0, 40.0, 120.0, 90.0)
    low, high = Detection(0, "a", 0.3, box), Detection(1, "b", 0.8, box)

    assert tuple(draw(GREY, [high, low])[450, 350]) == class_colour(1)


def test_colours_differ() -> None:
    assert len({class_colour(number) for number in range(80)}) == 80


def test_find_images(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.txt"):
        (tmp_path / name).touch()

    assert [path.name for path in find_images(tmp_path, None)] == ["a.JPG", "b.png"]
    assert find_images(None, Path("x.jpg")) == [Path("x.jpg")]


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        find_images(tmp_path, None)
    with pytest.raises(DataError, match="is no folder"):
        find_images(tmp_path / "none", None)
    with pytest.raises(ConfigError, match="give --infer_img"):
        find_images(None, None)
    with pytest.raises(ConfigError, match="give either --infer_img or --infer_dir, not both"):
        find_images(tmp_path, tmp_path / "a.png")


class Blind(Detector):
    """One that finds nothing."""

    def __init__(self) -> None:
        pass

    def find(self, image: NDArray[np.uint8], least_score: float) -> list[Detection]:
        return []


def test_each_image_has_a_picture_of_its_own(tmp_path: Path) -> None:
    images = [tmp_path / name for name in ("a.jpg", "a.png", "a.png.jpg", "b.jpg", "c.d.jpg")]
    for path in images:
        cv2.imwrite(str(path), GREY)

    pictures = [picture.name for picture, _ in infer(Blind(), images, tmp_path / "out", 0.5)]

    assert pictures == ["a.jpg.png", "a.png.png", "a.png.jpg.png", "b.png", "c.d.png"]
    assert len(list((tmp_path / "out").glob("*.json"))) == 5
    assert len(list(infer(Blind(), images, tmp_path / "out", 0.5))) == 5


def test_no_image_is_overwritten(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), GREY)
    (tmp_path / "link.png").symlink_to("a.png")

    for name in ("a.png", "link.png"):
        with pytest.raises(OutputError, match="would be overwritten by its drawing"):
            list(infer(Blind(), [tmp_path / name], tmp_path, 0.5))


def test_boxes_that_are_no_numbers(tmp_path: Path) -> None:
    config = load_config(write_detector_config(tmp_path))
    assert isinstance(config, DetectorConfig)
    found = np.array([[0, 0.9, 1, 2, np.nan, 4]], np.float32)
    detector = Detector(lambda feeds: [found], lambda feeds: 0.0, config, ["a", "b"])

    with pytest.raises(DataError, match="boxes or scores in a picture that are not finite numbers"):
        detector.find(GREY, 0.5)


def test_opencv_writes_what_was_drawn() -> None:
    encoded, data = cv2.imencode(".png", draw(GREY, [])[:, :, ::-1])

    assert encoded
    assert (cv2.imdecode(data, cv2.IMREAD_COLOR) == 90).all()
