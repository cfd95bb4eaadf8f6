"""Preparing images: each step, and the numbers that come out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from qcc.calibrate.data.prepare import Preparation, Prepared
from qcc.calibrate.data.preprocess import Preprocess, read_preprocess, template
from qcc.errors import ConfigError, DataError


def prepare(image: np.ndarray, *steps: dict[str, object], **keys: object) -> Prepared:
    return Preparation(Preprocess.model_validate({"steps": list(steps), **keys}))(image, "a.png")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "step", "wanted"),
    [
        ((100, 200), {"type": "Resize", "size": [32, 48]}, (32, 48)),
        ((100, 200), {"type": "Resize", "size": [60, 90], "keep_ratio": True}, (45, 90)),
        ((200, 100), {"type": "Resize", "size": [60, 300], "keep_ratio": True}, (120, 60)),
        ((100, 200), {"type": "ResizeShort", "length": 50}, (50, 100)),
        ((100, 200), {"type": "ResizeLong", "length": 50}, (25, 50)),
        ((100, 200), {"type": "ResizeLong", "length": 50, "multiple": 32}, (32, 64)),
        ((23, 57), {"type": "ResizeLong", "length": 48}, (19, 48)),
        ((23, 57), {"type": "ResizeLong", "length": 48, "rounding": "down"}, (19, 48)),
        ((40, 57), {"type": "ResizeLong", "length": 48}, (34, 48)),
        ((40, 57), {"type": "ResizeLong", "length": 48, "rounding": "down"}, (33, 48)),
        # 562 * (1280 / 562) is a little more than 1280.
        (
            (562, 333),
            {"type": "ResizeLong", "length": 1280, "rounding": "down", "multiple": 128},
            (1280, 768),
        ),
        (
            (100, 333),
            {"type": "ResizeLong", "length": 1280, "rounding": "down", "multiple": 128},
            (384, 1280),
        ),
        ((100, 200), {"type": "ResizeLimit", "length": 200}, (192, 384)),
        # 272.64, of which PaddleOCR makes 272, eight and a half times 32.
        ((25, 71), {"type": "ResizeLimit", "length": 96}, (96, 256)),
        ((300, 500), {"type": "ResizeLimit", "length": 200}, (288, 512)),
        ((300, 500), {"type": "ResizeLimit", "side": "long", "length": 250}, (160, 256)),
        ((100, 200), {"type": "Fit", "size": [64, 64]}, (64, 64)),
        ((100, 200), {"type": "FitHeight", "size": [48, 320]}, (48, 320)),
        ((100, 900), {"type": "FitHeight", "size": [48, 320]}, (48, 320)),
        ((100, 200), {"type": "FitHeight", "size": [48, 320], "widest": 400}, (48, 320)),
        ((99, 700), {"type": "FitHeight", "size": [48, 320], "widest": 400}, (48, 339)),
        ((100, 900), {"type": "FitHeight", "size": [48, 320], "widest": 400}, (48, 400)),
        ((100, 200), {"type": "CenterCrop", "size": [50, 60]}, (50, 60)),
        ((100, 200), {"type": "Pad", "size": [128, 256]}, (128, 256)),
        ((100, 200), {"type": "PadStride", "stride": 32}, (128, 224)),
        ((96, 64), {"type": "PadStride", "stride": 32}, (96, 64)),
        ((100, 200), {"type": "Resize", "size": [60, 90], "keep_ratio": True, "multiple": 32}, (64, 96)),
        ((100, 200), {"type": "Resize", "size": [60, 64], "multiple": 32}, (64, 64)),
        ((100, 200), {"type": "LimitSide", "side": "short", "most": 50}, (50, 100)),
        ((100, 200), {"type": "LimitSide", "side": "short", "least": 150, "most": 180}, (150, 300)),
        ((100, 200), {"type": "LimitSide", "side": "long", "least": 150, "most": 250}, (100, 200)),
        ((100, 200), {"type": "LimitSide", "side": "long", "most": 150}, (75, 150)),
        ((100, 200), {"type": "ResizeMultiple"}, (96, 192)),
        ((20, 63), {"type": "ResizeMultiple", "multiple": 32}, (32, 32)),
        ((100, 200), {"type": "PadRatio", "ratio": 4}, (100, 400)),
        ((100, 200), {"type": "PadRatio", "ratio": 1.5}, (133, 200)),
        ((100, 200), {"type": "PadRatio", "ratio": 2}, (100, 200)),
    ],
)
def test_sizes(size: tuple[int, int], step: dict[str, object], wanted: tuple[int, int]) -> None:
    assert prepare(picture(*size), step).image.shape == (3, *wanted)


@pytest.mark.parametrize(
    "step", [{"type": "Resize", "size": [20, 40]}, {"type": "ResizeShort", "length": 20}]
)
def test_pillow_averages_where_it_makes_smaller(step: dict[str, object]) -> None:
    image = picture(100, 200)
    by_pillow = {**step, "library": "pillow", "interpolation": "cubic"}
    found = prepare(image, by_pillow, scale=1.0, layout="NHWC").image
    wanted = Image.fromarray(image).resize((40, 20), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found, wanted)
    found = prepare(image, by_pillow, scale=1.0, channels="GRAY").image
    assert found.shape == (1, 20, 40)
    assert found.std() < prepare(image, step, scale=1.0, channels="GRAY").image.std()


def test_pillow_does_not_resize_what_is_padded() -> None:
    steps = ({"type": "Pad", "size": [8, 8]}, {"type": "Resize", "size": [4, 4], "library": "pillow"})
    with pytest.raises(DataError, match=r"a\.png, 8 x 8 pixels by then, .*resize it before it is padded"):
        prepare(picture(4, 5), *steps)


def test_numbers() -> None:
    image = picture(4, 5)
    mean, std = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]
    wanted = (image / 255 - mean) / std
    np.testing.assert_allclose(
        prepare(image, mean=mean, std=std).image, wanted.transpose(2, 0, 1), rtol=1e-5, atol=1e-5
    )
    found = prepare(image, mean=mean, std=std, layout="NHWC", channels="BGR").image
    np.testing.assert_allclose(found, (image[..., ::-1] / 255 - mean) / std, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(prepare(image, scale=1.0, layout="NHWC").image, image)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


def test_one_value_is_that_of_all_channels() -> None:
    image = picture(4, 5)
    one, three = (prepare(image, mean=[0.5] * count, std=[0.25] * count).image for count in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("step", [{"type": "Resize", "size": [8, 6]}, {"type": "Pad", "size": [8, 6]}])
def test_one_channel(step: dict[str, object]) -> None:
    """As bright as Pillow has it; what is grey stays as it is."""
    image = picture(4, 5)
    found = prepare(image, channels="GRAY", scale=1.0, layout="NHWC").image
    np.testing.assert_allclose(found[..., 0], Image.fromarray(image).convert("L"), atol=1)
    grey = np.repeat(image[..., :1], 3, axis=2)
    found = prepare(grey, channels="GRAY", scale=1.0, layout="NHWC").image
    np.testing.assert_array_equal(found, image[..., :1])
    assert prepare(image, step, channels="GRAY", mean=[0.5], std=[0.5]).image.shape == (1, 8, 6)


def test_padding_becomes_zero_or_a_pixel() -> None:
    image = np.full((2, 2, 3), 200, np.uint8)
    numbers: dict[str, object] = {"mean": [0.5] * 3, "std": [0.5] * 3}
    padded = prepare(image, {"type": "Pad", "size": [2, 4]}, **numbers).image
    np.testing.assert_allclose(padded[:, :, 2:], 0, atol=1e-6)
    padded = prepare(image, {"type": "Pad", "size": [2, 4], "value": 255}, **numbers).image
    np.testing.assert_allclose(padded[:, :, 2:], 1)
    np.testing.assert_allclose(padded[:, :, :2], 200 / 255 * 2 - 1, rtol=1e-6)
    padded = prepare(image, {"type": "Pad", "size": [2, 4], "value": [0, 51, 255]}, **numbers).image
    np.testing.assert_allclose(padded[:, 0, 2], [-1, -0.6, 1], rtol=1e-6)


def test_where_an_image_is_set_into_a_size() -> None:
    image = np.full((2, 4, 3), 255, np.uint8)
    corner = prepare(image, {"type": "Fit", "size": [8, 8]}).image[0]
    center = prepare(image, {"type": "Fit", "size": [8, 8], "place": "center"}).image[0]
    np.testing.assert_array_equal(corner.any(1), [1, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(center.any(1), [0, 0, 1, 1, 1, 1, 0, 0])


def test_a_kept_ratio_may_say_which_pixels_are_looked_up() -> None:
    """As PaddleDetection's Resize does; PaddleSeg and PaddleX look them up by the size that comes out."""
    image, step = picture(37, 101), {"type": "Resize", "size": [64, 64], "keep_ratio": True}
    ratio = 64 / 101
    by_ratio = cv2.resize(image, None, fx=ratio, fy=ratio)
    by_size = cv2.resize(image, (64, 23))
    assert by_ratio.shape == by_size.shape
    assert np.abs(by_ratio.astype(int) - by_size).mean() > 1
    as_pixels = {"scale": 1.0, "layout": "NHWC"}
    assert np.array_equal(prepare(image, step, **as_pixels).image, by_ratio)
    assert np.array_equal(prepare(image, {**step, "sampled_by": "size"}, **as_pixels).image, by_size)
    assert prepare(picture(1, 400), step).im_shape == (1, 64)


def test_sizes_that_other_feeds_tell() -> None:
    found = prepare(
        picture(100, 200), {"type": "Resize", "size": [50, 400]}, {"type": "PadStride", "stride": 64}
    )
    assert (found.im_shape, found.scale_factor, found.im_size) == ((50, 400), (0.5, 2.0), (100, 200))
    assert (found.image.shape, found.size) == ((3, 64, 448), (64, 448))
    for step in ({"type": "Resize", "size": [10, 80], "keep_ratio": True}, {"type": "Fit", "size": [10, 80]}):
        assert prepare(picture(16, 41), step).scale_factor == (0.625, 0.625)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"type": "CenterCrop", "size": [50, 60]}, "a.png, 20 x 30 pixels by then, has no middle of 50 x 60"),
        ({"type": "Pad", "size": [10, 60]}, "a.png, 20 x 30 pixels by then, cannot be padded to 10 x 60"),
        ({"type": "Resize", "size": [60000, 60000]}, "would become one of 60000 x 60000, more than"),
        ({"type": "PadStride", "stride": 60000}, "would become one of 60000 x 60000, more than"),
        ({"type": "PadRatio", "ratio": 1e300}, "would become one of 20 x .*, more than 134,217,728 pixels"),
    ],
)
def test_images_that_do_not_fit(step: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        prepare(picture(20, 30), step)


def test_the_template_is_a_file_of_the_grammar(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text(template((-1, 3, 32, 100)))
    found = read_preprocess(tmp_path / "p.yml")
    assert found.steps[0].size == (32, 100)  # type: ignore[union-attr]
    assert found.layout == "NCHW"
    (tmp_path / "p.yml").write_text(template((-1, 299, 299, 3)))
    assert read_preprocess(tmp_path / "p.yml").layout == "NHWC"
    for shape in ((-1, 1, 28, 30), (-1, 28, 30, 1)):
        (tmp_path / "p.yml").write_text(template(shape))
        found = read_preprocess(tmp_path / "p.yml")
        assert (found.channels, found.mean, found.std) == ("GRAY", (0.5,), (0.5,))
        assert found.steps[0].size == (28, 30)  # type: ignore[union-attr]
    (tmp_path / "p.yml").write_text(template(None))
    assert read_preprocess(tmp_path / "p.yml").steps[0].size == (224, 224)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stepz: []", "line 1: unknown key 'stepz'; did you mean 'steps'"),
        ("steps:\n  - {type: Resiz, size: [2, 2]}", "line 2: .*unknown type 'Resiz'"),
        ("steps:\n  - {type: Resize}", "key 'size' is missing"),
        ("mean: [0.5, 0.5]", "mean needs one value or 3 with channels RGB, not 2"),
        ("channels: GRAY\nstd: [0.5, 0.5, 0.5]", "std needs one value with channels GRAY, not 3"),
        ("steps: [{type: Resize, size: [3000000000, 2]}]", "size.*less than or equal to 65536"),
        ("mean: []", "mean needs one value or 3 with channels RGB, not 0"),
        ("std: [0.5, 0.5, 0]", r"std\[2\]: it should be greater than or equal to 0\.000000000001, not 0"),
        ("std: [1.0e-320]", r"std\[0\]: it should be greater than or equal to 0\.000000000001, not 1e-320"),
        ("scale: 1.0e-50", "scale: it should be greater than or equal to"),
        ("mean: [1.0e+50]", r"mean\[0\]: it should be less than or equal to 1000000000000, not 1e\+50"),
    ],
)
def test_files_that_say_something_else(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_preprocess(path)
    assert str(path) in str(caught.value)
