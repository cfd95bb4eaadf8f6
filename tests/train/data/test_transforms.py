from __future__ import annotations

import numpy as np

from qcc.train.data.transforms import Normalise, RandomCropFlip


def test_normalise_centres_on_black() -> None:
    image = np.full((2, 2), 255, np.uint8)
    out = Normalise((4, 4), mean=0.5, std=0.25)(image)
    assert out.shape == (1, 4, 4)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0, 1:3, 1:3], 2.0, rtol=1e-6)
    np.testing.assert_allclose(out[0, 0], -2.0, rtol=1e-6)


def test_crop_shifts_by_up_to_the_padding() -> None:
    image = np.zeros((5, 5), np.uint8)
    image[2, 2] = 1
    crop = RandomCropFlip(padding=1, flip_probability=0.0)
    places = {
        tuple(int(i) for i in np.argwhere(crop(image, np.random.default_rng(seed)))[0]) for seed in range(200)
    }
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}


def test_flip_mirrors_left_and_right() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    mirrored = RandomCropFlip(padding=0, flip_probability=1.0)(image, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored, [[2, 1, 0], [5, 4, 3]])
    same = RandomCropFlip(padding=0, flip_probability=0.0)(image, np.random.default_rng(0))
    np.testing.assert_array_equal(same, image)
