"""Augmentation: boxes move with the pixels, and nothing is drawn from elsewhere."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from qcc.train.data import augment
from qcc.train.data.augment import Sample

BACKGROUND, OBJECT = 40, 250


def sample(height: int = 60, width: int = 80, box: tuple[int, int, int, int] = (20, 10, 50, 40)) -> Sample:
    """A bright rectangle on dark ground, and its box."""
    left, top, right, bottom = box
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    image[top:bottom, left:right] = OBJECT
    return Sample(image, np.array([box], np.float32), np.array([3], np.int64), np.ones(1, np.float32))


def bright_box(image: np.ndarray) -> list[float]:
    bright = image[:, :, 0] > (BACKGROUND + OBJECT) / 2
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize(
    "transform",
    [augment.RandomFlip(1.0), augment.RandomExpand(2.0, 1.0), augment.RandomCrop()],
    ids=["flip", "expand", "crop"],
)
@pytest.mark.parametrize("seed", range(8))
def test_box_stays_on_the_object(transform: augment.Transform, seed: int) -> None:
    changed = transform(sample(), np.random.default_rng(seed))

    # The canvas of RandomExpand is brighter than the ground, but darker than the object.
    assert changed.boxes[0].tolist() == pytest.approx(bright_box(changed.image), abs=1)
    assert changed.labels.tolist() == [3]
    assert (changed.boxes >= 0).all()
    assert (changed.boxes <= [*changed.size[::-1], *changed.size[::-1]]).all()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("interpolation", augment.INTERPOLATIONS)
def test_a_canvas_is_flipped_and_resized_where_it_stands(interpolation: int, cut: bool) -> None:
    """Bit for bit as by way of copies, of which each may take gigabytes."""
    random = np.random.default_rng(3)
    noise = replace(sample(), image=random.uniform(0, 255, (60, 80, 3)).astype(np.float32))
    canvas = augment.RandomExpand(4.0, 1.0)(noise, random).image
    part = canvas[5:-9, 3:-8] if cut else canvas
    wanted = augment.network_input(np.ascontiguousarray(part[:, ::-1]), (96, 64), interpolation)

    tracemalloc.start()
    flipped = augment.RandomFlip(1.0)(replace(noise, image=part), random).image
    found = augment.network_input(flipped, (96, 64), interpolation)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found.tobytes() == wanted.tobytes()
    assert peak < canvas.nbytes / 2


def test_crop_without_boxes_leaves_the_image() -> None:
    empty = Sample(
        np.zeros((9, 9, 3), np.uint8),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
    )

    assert augment.RandomCrop()(empty, np.random.default_rng(0)) is empty


def test_crop_keeps_a_box() -> None:
    crop = augment.RandomCrop()

    assert all(len(crop(sample(), np.random.default_rng(seed)).boxes) == 1 for seed in range(40))


def test_mixup_blends_pixels_and_weights() -> None:
    first, second = sample(60, 80), sample(90, 50, (5, 50, 25, 80))

    mixed = augment.mixup(first, second, np.random.default_rng(1), 1.5, 1.5)

    share = float(mixed.scores[0])
    assert mixed.size == (90, 80)
    assert mixed.scores.tolist() == pytest.approx([share, 1 - share])
    assert mixed.boxes.tolist() == [[20, 10, 50, 40], [5, 50, 25, 80]]
    assert mixed.image[20, 30, 0] == pytest.approx(share * OBJECT + (1 - share) * BACKGROUND)
    assert mixed.image[85, 70, 0] == 0  # neither image reaches there


def test_distortion_leaves_places_alone() -> None:
    changed = augment.ColourDistortion(probability=1.0)(sample(), np.random.default_rng(2))

    assert changed.boxes.tolist() == sample().boxes.tolist()
    ground, thing = changed.image[0, 0], changed.image[20, 30]
    assert not np.allclose(ground, BACKGROUND)
    # Every step is linear, so that grey stays in proportion.
    assert np.allclose(thing / OBJECT, ground / BACKGROUND, rtol=1e-3)


def test_hue_turns_colours_and_leaves_grey() -> None:
    image = np.array([[[200.0, 50.0, 50.0], [90.0, 90.0, 90.0]]], np.float32)
    only_hue = augment.ColourDistortion(strength=0.0, probability=1.0)
    start = Sample(image, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))

    turned = only_hue(start, np.random.default_rng(3)).image[0]

    assert np.allclose(turned[1], 90, atol=1)
    assert abs(turned[0] - image[0, 0]).max() > 2


def test_network_input_is_normalised() -> None:
    image = np.full((30, 20, 3), 255, np.uint8)

    pixels = augment.network_input(image, (64, 32), cv2.INTER_LINEAR)

    assert pixels.shape == (3, 64, 32)
    assert pixels.dtype == np.float32
    white = (1 - np.array(augment.IMAGENET_MEAN)) / np.array(augment.IMAGENET_STD)
    assert np.allclose(pixels[:, 5, 5], white, rtol=1e-4)


def test_padded_boxes_are_fractions_with_centres() -> None:
    boxes, labels, scores = augment.padded_boxes(sample(60, 80), 3)

    assert np.allclose(boxes[0], [35 / 80, 25 / 60, 30 / 80, 30 / 60])
    assert not boxes[1:].any()
    assert labels.tolist() == [3, 0, 0]
    assert scores.tolist() == [1, 0, 0]
    assert labels.dtype == np.int32


def test_boxes_beyond_the_number_are_left_out() -> None:
    many = sample()
    many = Sample(
        many.image, np.repeat(many.boxes, 5, axis=0), np.arange(5, dtype=np.int64), np.ones(5, np.float32)
    )

    assert augment.padded_boxes(many, 3)[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "make",
    [augment.ColourDistortion, augment.RandomExpand, augment.RandomCrop, augment.RandomFlip],
)
def test_same_generator_same_result(make: Callable[[], augment.Transform]) -> None:
    once, again = (make()(sample(), np.random.default_rng(7)) for _ in range(2))

    assert np.array_equal(once.image, again.image)
    assert np.array_equal(once.boxes, again.boxes)
