"""Inputs of other sizes, and what a check says of a file that is right on the first size only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen

import qcc
from qcc.backends import judge
from qcc.backends.lite.export import export as export_lite
from qcc.backends.lite.runtime import runtime_missing
from qcc.backends.samples import Feed, Sample
from qcc.backends.sizes import of_other_sizes, shown

IMAGE = Feed("image", (-1, 3, -1, -1), np.dtype("float32"))


def shapes(*feeds: Feed, **arrays: np.ndarray) -> list[list[tuple[int, ...]]]:
    """Of the samples that differ from one."""
    found = of_other_sizes(feeds, Sample(arrays, "data"))
    return [[array.shape for array in sample.inputs.values()] for sample in found]


def test_what_is_open_changes_the_odd_sizes_first() -> None:
    image = np.zeros((1, 3, 64, 64), np.float32)
    assert shapes(IMAGE, image=image) == [
        [(2, 3, 49, 81)],
        [(1, 3, 49, 81)],
        [(2, 3, 32, 96)],
        [(1, 3, 32, 96)],
        [(2, 3, 64, 64)],
    ]


def test_what_is_declared_stays() -> None:
    width = Feed("image", (1, 3, 48, -1), np.dtype("float32"))
    assert shapes(width, image=np.zeros((1, 3, 48, 320), np.float32)) == [
        [(1, 3, 48, 401)],
        [(1, 3, 48, 416)],
    ]
    batch = Feed("image", (-1, 3, 8, 8), np.dtype("float32"))
    assert shapes(batch, image=np.zeros((4, 3, 8, 8), np.float32)) == [[(1, 3, 8, 8)]]
    assert shapes(Feed("image", (1, 3, 8, 8), np.dtype("float32")), image=np.zeros((1, 3, 8, 8))) == []


def test_all_that_a_detector_is_fed_with_goes_together() -> None:
    size = Feed("im_size", (-1, 2), np.dtype("int32"))
    image, numbers = np.zeros((1, 3, 32, 32), np.float32), np.full((1, 2), 32, np.int32)
    (first, *_) = of_other_sizes((IMAGE, size), Sample({"image": image, "im_size": numbers}, "data"))
    assert {name: array.shape for name, array in first.inputs.items()} == {
        "image": (2, 3, 25, 41),
        "im_size": (2, 2),
    }
    np.testing.assert_array_equal(first.inputs["im_size"], 32)
    assert first.source == "data"
    assert shown(first.inputs, (IMAGE, size)) == "image [2, 3, 25, 41] and im_size [2, 2]"


def test_boxes_are_counted_anew() -> None:
    feeds = (
        Feed("boxes", (-1, 4), np.dtype("float32"), holds_boxes=True),
        Feed("counts", (-1,), np.dtype("int32"), counts="boxes"),
    )
    sample = Sample({"boxes": np.zeros((5, 4), np.float32), "counts": np.array([5], np.int32)}, "data")
    (first, *_) = of_other_sizes(feeds, sample)
    assert first.inputs["counts"].sum() == len(first.inputs["boxes"])
    assert first.inputs["counts"].shape == (2,)


def test_images_are_the_same_but_for_their_size() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    (first, *_) = of_other_sizes((Feed("x", (-1, 1, -1, -1), image.dtype),), Sample({"x": image}, "data"))
    one, mirrored = first.inputs["x"][:, 0]
    np.testing.assert_array_equal(one, [[0, 1, 2, 2, 3], [8, 9, 10, 10, 11], [12, 13, 14, 14, 15]])
    np.testing.assert_array_equal(mirrored, one[:, ::-1])


# ------------------------------------------------------------------------- files that one size is right in


def conv(x: Any, channels: int = 4) -> Any:
    return static.nn.conv2d(x, channels, 3, padding=1)


def twice(x: Any) -> Any:
    return conv(F.interpolate(F.relu(conv(x)), scale_factor=2, mode="bilinear"))


def to_a_size(x: Any) -> Any:
    """By nearest elements, which oneDNN numbers otherwise where that is by no whole factor."""
    return conv(F.interpolate(F.relu(conv(x)), size=[32, 32]))


DATA = {"x0": floats(1, 4, 16, 16)}
WRONG = "at another size: with x0 [2, 4, 13, 21], after x0 [1, 4, 16, 16], off by"
KEEP = "right where all inputs have the size that it was checked at"


def saved(build: Any, target: str, folder: Path) -> list[str]:
    """What the checks of a file say, one that is right at the size of `DATA`."""
    model = frozen(build_model(build, DATA.values(), any_size=True), DATA)
    if target == "lite-x86":
        found = export_lite(model, folder / "model.nb", arch="x86", check=DATA)
    elif target == "onnxruntime":
        found = exported(model, DATA, target, folder)
    else:
        found = qcc.save(model, folder, target=target, check=DATA)
    return [str(check) for check in found.checks if check.good] + [f"warning: {w}" for w in found.warnings]


@pytest.mark.parametrize("target", ["paddle-x86", "onnxruntime", "openvino", "lite-x86"])
def test_another_size_is_run_as_well(target: str, tmp_path: Path) -> None:
    if target == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed; `pip install 'qcc[openvino]'`")
    if target == "lite-x86" and runtime_missing() is not None:
        pytest.skip(str(runtime_missing()))
    said = saved(twice, target, tmp_path)
    assert not any(line.startswith("warning") for line in said)
    assert any("; with x0 [2, 4, 13, 21], off by" in line for line in said)


def test_what_is_wrong_at_another_size_is_told(tmp_path: Path) -> None:
    warnings = [line for line in saved(to_a_size, "paddle-x86", tmp_path) if line.startswith("warning")]
    assert len(warnings) == 1
    for part in (
        "paddle.inference, oneDNN int8",
        WRONG,
        "which is wrong: on equal inputs the conv2d of",
        KEEP,
    ):
        assert part in warnings[0]
    assert (tmp_path / "model.pdmodel").is_file()


def test_a_process_that_ends_at_another_size_ends_no_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fragile(judge.Predictor):
        def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            if inputs["x0"].shape[0] == 2:
                self._ask("run", "no such request")
            return super().run(inputs)

    monkeypatch.setattr(judge, "Predictor", Fragile)
    (warning,) = (line for line in saved(twice, "paddle-x86", tmp_path) if line.startswith("warning"))
    assert "after x0 [1, 4, 16, 16], it does not run: " in warning
    assert KEEP in warning


def test_a_model_that_takes_one_size_is_checked_at_that(tmp_path: Path) -> None:
    """What it declares is open, but its weight of 16 x 16 is not."""

    def build(x: Any) -> Any:
        return conv(conv(x) + static.create_parameter([1, 4, 16, 16], "float32"))

    said = saved(build, "paddle-x86", tmp_path)
    assert "with x0 [2, 4, 16, 16], " in said[-1]
