"""What models are measured on, as a batch of the wanted size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qcc
from qcc._paddle import paddle
from qcc.measure.inputs import find_inputs
from qcc.measure.subjects import find_subjects

static = paddle.static
BOXES = np.float32([[number, number, number + 4, number + 6] for number in range(5)])


def regions(folder: Path, images: int = -1) -> Path:
    """Fed with images, boxes, and how many boxes each image has, of as many images as are declared."""
    main = static.Program()
    with paddle.utils.unique_name.guard(), static.program_guard(main, static.Program()):
        features = static.data("features", [images, 4, 16, 16])
        boxes, counts = static.data("boxes", [-1, 4]), static.data("counts", [images], "int32")
        gathered = paddle.vision.ops.roi_align(features, boxes, counts, 3)
    feeds = ["features", "boxes", "counts"]
    model = qcc.from_program(main, static.Scope(), feeds, [gathered], for_test=True)
    qcc.save(model, folder / "regions", check=False)
    return folder / "regions"


def found(path: Path, counts: list[int], batch: int) -> dict[str, list[object]]:
    features = np.arange(len(counts), dtype=np.float32)[:, None, None, None] * np.ones(
        (4, 16, 16), np.float32
    )
    data = {"features": features, "boxes": BOXES, "counts": np.int32(counts)}
    inputs = find_inputs(find_subjects([path], path.parent / "scratch"), [data], batch).inputs
    return {
        "features": inputs["features"][:, 0, 0, 0].tolist(),
        "boxes": inputs["boxes"][:, 0].tolist(),
        "counts": inputs["counts"].tolist(),
    }


@pytest.mark.parametrize(
    ("counts", "batch", "features", "boxes", "counted"),
    [
        ([5], 1, [0], [0, 1, 2, 3, 4], [5]),
        ([2, 3], 1, [0], [0, 1], [2]),
        ([2, 3], 2, [0, 1], [0, 1, 2, 3, 4], [2, 3]),
        ([2, 0, 3], 3, [0, 1, 2], [0, 1, 2, 3, 4], [2, 0, 3]),
        ([1, 4], 3, [0, 0, 1], [0, 0, 1, 2, 3, 4], [1, 1, 4]),
        ([5], 2, [0, 0], [0, 1, 2, 3, 4] * 2, [5, 5]),
    ],
)
def test_boxes_are_those_of_the_images_that_are_taken(
    counts: list[int],
    batch: int,
    features: list[int],
    boxes: list[int],
    counted: list[int],
    tmp_path: Path,
) -> None:
    """Kernels that gather features read beyond the boxes where these are fewer than is counted."""
    wanted = {"features": features, "boxes": boxes, "counts": counted}
    assert found(regions(tmp_path), counts, batch) == wanted


def test_boxes_of_a_number_of_images_that_is_fixed_are_all_taken(tmp_path: Path) -> None:
    wanted = {"features": [0, 1], "boxes": [0, 1, 2, 3, 4], "counts": [2, 3]}
    assert found(regions(tmp_path, 2), [2, 3], 1) == wanted
