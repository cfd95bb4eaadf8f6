"""Batches made of image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qcc._paddle import paddle
from qcc.calibrate.data.batches import spread
from qcc.calibrate.data.image_file import IMAGE_SUFFIXES
from qcc.calibrate.data.images import find_images, image_batches, others_beside
from qcc.calibrate.data.preprocess import Preprocess
from qcc.calibrate.data.sources import image_source
from qcc.errors import DataError
from qcc.model import Model

static = paddle.static
RESIZE = Preprocess.model_validate({"steps": [{"type": "Resize", "size": [8, 8]}]})


def save(path: Path, height: int = 8, width: int = 8, value: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(path)
    return path


def fed_by(**feeds: tuple[list[int], str]) -> Model:
    import qcc

    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        data = [static.data(name, shape, dtype) for name, (shape, dtype) in feeds.items()]
        out = paddle.mean(data[0])
    return qcc.from_program(main, static.Scope(), list(feeds), [out.name], for_test=True)


def test_folders_are_searched_and_lists_are_read(tmp_path: Path) -> None:
    files = [save(tmp_path / name) for name in ("b/2.jpg", "a/1.PNG", "3.bmp", "4.webp")]
    (tmp_path / "notes.md").write_text("no image")
    for name in ("a/IMG_1.HEIC", "IMG_2.heic", ".DS_Store", "LICENSE"):
        (tmp_path / name).write_text("no image that is read")
    assert find_images(tmp_path) == sorted(files)
    assert others_beside(tmp_path) == {".heic": 2, ".md": 1, "without an ending": 1}
    assert others_beside(files[0]) == {}
    listed = tmp_path / "list.txt"
    listed.write_text("b/2.jpg 5\n\na/1.PNG\tlabel with words\n")
    assert find_images(listed) == [tmp_path / "b/2.jpg", tmp_path / "a/1.PNG"]
    assert find_images(files[2]) == [files[2]]
    blank = save(tmp_path / "b/2 3.jpg")
    boxes = " 1,2,3,4,0" * 1000
    listed.write_text(f"b/2.jpg{boxes}\nb/2 3.jpg 7\nb/2.jpg 5\nb/2 3.jpg{boxes}\n")
    assert find_images(listed) == [tmp_path / "b/2.jpg", blank]
    listed.write_text(f"c.jpg{boxes}\n")
    with pytest.raises(DataError, match=r"line 1: 'c.jpg 1,2,3,4,0 .* is no file in"):
        find_images(listed)
    spaced = save(tmp_path / "a b/c d.png")
    listed.write_text("a b/c d.png 5\na b/c d.png\n")
    assert find_images(listed) == [spaced]


def test_where_there_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no image \(.bmp, .jfif, .jpeg"):
        find_images(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("\n")
    with pytest.raises(DataError, match=r"list.txt lists no image"):
        find_images(listed)
    listed.write_text("\nmissing.jpg 3\n")
    with pytest.raises(DataError, match=r"list.txt, line 2: 'missing.jpg 3' is no file in "):
        find_images(listed)


@pytest.mark.parametrize(("count", "wanted"), [(3, [0, 3, 6]), (10, list(range(10))), (99, list(range(10)))])
def test_samples_are_spread(count: int, wanted: list[int]) -> None:
    assert spread(range(10), count) == wanted


def test_feeds_that_tell_sizes(tmp_path: Path) -> None:
    model = fed_by(
        image=([-1, 3, 8, 8], "float32"),
        im_shape=([-1, 2], "float32"),
        scale_factor=([-1, 2], "float32"),
        im_size=([-1, 2], "int32"),
    )
    batches = image_batches(model, [save(tmp_path / "a.png", 16, 4)], RESIZE)
    (batch,) = batches
    assert {name: (value.dtype.name, value.tolist()) for name, value in batch.items() if name != "image"} == {
        "im_shape": ("float32", [[8, 8]]),
        "scale_factor": ("float32", [[0.5, 2]]),
        "im_size": ("int32", [[16, 4]]),
    }
    assert batch["image"].shape == (1, 3, 8, 8)


def test_feeds_that_tell_sizes_as_paddledetection_0_did(tmp_path: Path) -> None:
    model = fed_by(
        image=([-1, 3, -1, -1], "float32"), im_info=([-1, 3], "float32"), im_shape=([-1, 3], "float32")
    )
    steps = [{"type": "Resize", "size": [10, 80], "keep_ratio": True}, {"type": "PadStride", "stride": 32}]
    preprocess = Preprocess.model_validate({"steps": steps})
    (batch,) = image_batches(model, [save(tmp_path / "a.png", 16, 41)], preprocess)
    assert batch["image"].shape == (1, 3, 32, 32)
    assert batch["im_info"].tolist() == [[32, 32, 0.625]]  # of what is padded; 41 became 26, not 25.625
    assert batch["im_shape"].tolist() == [[16, 41, 1]]


def test_a_batch_of_declared_size(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{number}.png", value=number) for number in range(5)]
    model = fed_by(image=([2, 3, 8, 8], "float32"))
    batches = list(image_batches(model, files, RESIZE))
    assert [batch["image"][:, 0, 0, 0].round(4).tolist() for batch in batches] == [
        [0, np.float32(1 / 255).round(4)],
        np.float32([2 / 255, 3 / 255]).round(4).tolist(),
    ]
    with pytest.raises(DataError, match="batches of 2 images, and there are 1"):
        image_batches(model, files[:1], RESIZE)


def test_images_that_are_used_are_those_of_whole_batches(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", value=number)
    model = fed_by(image=([2, 3, 8, 8], "float32"))
    for samples, batches in ((1, 1), (2, 1), (3, 1), (256, 2)):
        source = image_source(model, tmp_path, samples, RESIZE, None)
        assert (source.total, source.record["found"], source.record["used"]) == (batches, 5, 2 * batches)
        assert source.used(batches) == 2 * batches
    assert image_source(fed_by(image=([-1, 3, 8, 8], "float32")), tmp_path, 3, RESIZE, None).used(3) == 3


def test_lines_of_text_are_as_wide_as_the_model_lets_them_be(tmp_path: Path) -> None:
    wide = Preprocess.model_validate({"steps": [{"type": "FitHeight", "size": [8, 16], "widest": 99}]})
    files = [save(tmp_path / "a.png", 8, 32), save(tmp_path / "b.png", 8, 24)]
    for width, wanted in ((-1, [32, 24]), (16, [16, 16])):
        batches = image_batches(fed_by(image=([-1, 3, 8, width], "float32")), files, wide)
        assert [batch["image"].shape[3] for batch in batches] == wanted
    with pytest.raises(DataError, match=r"a.png comes out as 3 x 8 x 32, .*b.png as 3 x 8 x 24"):
        list(image_batches(fed_by(image=([2, 3, 8, -1], "float32")), files, wide))


def test_sizes_that_the_model_does_not_take(tmp_path: Path) -> None:
    model = fed_by(image=([-1, 3, 32, 32], "float32"))
    batches = image_batches(model, [save(tmp_path / "a.png", 40, 30)], Preprocess())
    with pytest.raises(
        DataError,
        match=r"a.png comes out as 3 x 40 x 30, and the model's feed 'image' takes 3 x 32 x 32",
    ):
        list(batches)


def test_feeds_that_no_image_gives(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png")
    with pytest.raises(DataError, match="is fed by 'anchors', which is not made from an image"):
        image_batches(fed_by(image=([-1, 3, 8, 8], "float32"), anchors=([-1, 9], "float32")), [file], RESIZE)
    with pytest.raises(DataError, match=r"of which 0 take images \(four dimensions\)"):
        image_batches(fed_by(words=([-1, 16], "float32")), [file], RESIZE)


def test_a_feed_of_one_channel_and_every_kind_of_file(tmp_path: Path) -> None:
    files = [save(tmp_path / f"a{suffix}") for suffix in sorted(IMAGE_SUFFIXES - {".pgm"})]
    files.append(tmp_path / "a.pgm")
    Image.fromarray(np.full((8, 8), 100, np.uint8)).save(files[-1])
    assert find_images(tmp_path) == sorted(files)
    grey = RESIZE.model_copy(update={"channels": "GRAY", "scale": 1.0})
    for batch in image_batches(fed_by(image=([-1, 1, 8, 8], "float32")), files, grey):
        np.testing.assert_allclose(batch["image"], np.full((1, 1, 8, 8), 100), atol=2)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    batches = image_batches(fed_by(image=([-1, 3, 8, 8], "float32")), [tmp_path / "bad.png"], RESIZE)
    with pytest.raises(DataError, match=r"bad.png is no image file that can be read"):
        list(batches)
