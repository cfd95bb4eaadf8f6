"""Inputs that are made up for models, and moved."""

from __future__ import annotations

import numpy as np
import pytest

import qcc
from qcc._paddle import paddle
from qcc.backends.samples import make_inputs, moved, off_by_a_step, samples
from qcc.model import Model

static = paddle.static


def detector() -> Model:
    """The feeds of PaddleDetection's exported models."""
    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        image = static.data("image", [-1, 3, -1, -1])
        im_shape = static.data("im_shape", [-1, 2])
        im_size = static.data("im_size", [-1, 2], "int32")
        scale = static.data("scale_factor", [-1, 2])
        ids = static.data("ids", [-1, -1], "int64")
        total = (
            paddle.mean(image)
            + paddle.mean(im_shape)
            + paddle.mean(scale)
            + paddle.cast(ids, "float32").sum()
            + paddle.cast(im_size, "float32").sum()
        )
    feeds = ["image", "im_shape", "im_size", "scale_factor", "ids"]
    return qcc.from_program(main, static.Scope(), feeds, [total], for_test=True)


def test_made_up_inputs_of_a_detector() -> None:
    inputs = make_inputs(detector(), 64)
    assert inputs["image"].shape == (1, 3, 64, 64)
    assert inputs["image"].dtype == np.float32
    assert inputs["im_shape"].tolist() == [[64.0, 64.0]]
    assert inputs["im_size"].tolist() == [[64, 64]]
    assert inputs["im_size"].dtype == np.int32
    assert inputs["scale_factor"].tolist() == [[1.0, 1.0]]
    assert inputs["ids"].shape == (1, 64)
    assert set(inputs["ids"].ravel()) == {1}


def regions() -> Model:
    """Five boxes that are fed, of two images."""
    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        features = static.data("features", [2, 4, 16, 16])
        boxes, counts = static.data("boxes", [5, 4]), static.data("counts", [2], "int32")
        gathered = paddle.vision.ops.roi_align(features, boxes, counts, 3)
    return qcc.from_program(main, static.Scope(), ["features", "boxes", "counts"], [gathered], for_test=True)


def test_made_up_boxes_are_as_many_as_is_told() -> None:
    inputs = make_inputs(regions(), 64)
    assert inputs["counts"].dtype == np.int32
    assert inputs["counts"].tolist() == [2, 3]
    boxes = inputs["boxes"]
    assert boxes.shape == (5, 4)
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 64


def test_made_up_inputs_are_always_the_same() -> None:
    first, second = (make_inputs(detector(), 64) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("size", [32, 224])
def test_images_look_like_images(size: int) -> None:
    """As in photographs, not in noise: neighbours are alike, channels go together, and there are edges."""
    image = make_inputs(detector(), size)["image"][0]
    assert 0.4 < image.std() < 1.5
    assert np.abs(image).max() < 4
    neighbours = np.corrcoef(image[0, :, 1:].ravel(), image[0, :, :-1].ravel())[0, 1]
    channels = np.corrcoef(image[0].ravel(), image[1].ravel())[0, 1]
    assert neighbours > 0.7
    assert channels > 0.7
    steps = np.abs(np.diff(image[0]))
    assert steps.max() > 10 * np.median(steps)
    # Another part of it looks different: a mean over all of it does not tell the same everywhere.
    parts = [part.mean() for half in np.array_split(image[0], 2) for part in np.array_split(half, 2, 1)]
    assert np.ptp(parts) > 0.2


def test_moved_inputs_differ_in_their_last_bits() -> None:
    array = np.random.default_rng(0).uniform(-2, 2, 10_000).astype(np.float32)
    found = moved({"x": array, "ids": np.arange(3), "none": np.zeros(2, np.float32)})
    share = np.mean(found["x"] != array)
    assert 0.1 < share < 0.4
    assert np.abs(found["x"] - array).max() <= np.spacing(np.float32(2))
    assert found["ids"].tolist() == [0, 1, 2]
    assert found["none"].tolist() == [0, 0]
    assert found["x"].dtype == np.float32


def test_data_is_used_where_there_is_some() -> None:
    model = detector()
    data = {**make_inputs(model, 32), "label": np.zeros(1)}
    (sample,) = samples(model, data)
    assert sample.source == "data"
    assert list(sample.inputs) == list(model.feeds)
    assert [sample.source for sample in samples(model, None)] == ["made-up inputs"] * 3


def test_a_few_elements_are_a_step_off() -> None:
    random = np.random.default_rng(1)
    image, few = (random.standard_normal(shape).astype(np.float32) for shape in ((1, 3, 64, 64), (2, 5)))
    inputs = {"image": image, "few": few, "size": np.array([[64, 64]], np.int32), "none": image[:0]}
    changed = off_by_a_step(inputs, {})
    assert changed["size"] is inputs["size"]
    assert changed["none"].size == 0
    for name, count in (("image", 13), ("few", 10)):
        difference = inputs[name] - changed[name]
        assert np.count_nonzero(difference) == count
        step = np.abs(inputs[name]).max() / 127
        moved_ones = difference[difference != 0]
        assert np.allclose(np.abs(moved_ones), step, rtol=1e-4)
    assert np.abs(changed["image"]).max() <= np.abs(image).max()
