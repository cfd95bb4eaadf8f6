"""Samples that do not tell a right run of a quantized model from a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import frozen

import qcc
from qcc._paddle import paddle
from qcc.backends.again import weigh
from qcc.backends.agreement import FEW, MOST, MULTIPLE, Distance
from qcc.backends.apart import Wrong
from qcc.backends.onnx.export import export
from qcc.backends.reference import Reference, reference
from qcc.backends.samples import MADE_UP, Sample, off_by_a_step, scene_like
from qcc.backends.steps import step_of
from qcc.backends.telling import factor_of
from qcc.model import Model
from qcc.targets.table import find_target

IMAGE = np.concatenate([floats(1, 3, 32, 16) + 1, floats(1, 3, 32, 16) - 1], axis=3)


def classifier() -> Model:
    """Of how bright either half of an image is, without a bias."""

    def build(x: Any) -> Any:
        maps = static.nn.conv2d(x, 4, 3, padding=1, bias_attr=False)
        halves = F.adaptive_avg_pool2d(maps, (1, 2))
        return paddle.flatten(static.nn.conv2d(halves, 1, 1, bias_attr=False), 1)

    return frozen(build_model(build, (IMAGE,)), {"x0": IMAGE})


def reference_on(image: np.ndarray, folder: Path) -> Reference:
    model = classifier()
    qcc.save(model, folder, form="float", check=False)
    return reference(model, folder / "model.pdmodel", folder / "model.pdiparams", {"x0": image})


@pytest.mark.parametrize("grey", [0.0, 0.003, 1.0])
def test_where_scores_are_equal_other_inputs_are_compared(grey: float, tmp_path: Path) -> None:
    found = reference_on(np.full_like(IMAGE, grey), tmp_path)
    assert found.sample.source.startswith(MADE_UP)
    assert found.sample.inputs["x0"].shape == IMAGE.shape


def test_where_they_are_not_the_data_is(tmp_path: Path) -> None:
    found = reference_on(IMAGE, tmp_path)
    assert found.sample.source == "data"
    assert np.array_equal(found.sample.inputs["x0"], IMAGE)


def test_ties_are_those_of_the_model(tmp_path: Path) -> None:
    """On an image of nearly one grey, a step of its own range is far less than one of the model's."""
    graph = classifier().graph
    faint = IMAGE / 1000
    step = step_of(graph, "x0", faint)
    assert step == pytest.approx(np.abs(IMAGE).max() / 127, rel=0.01)
    changed = off_by_a_step({"x0": faint}, {"x0": step}, 7)["x0"]
    assert np.abs(changed - faint).max() == pytest.approx(step, rel=0.01)


def test_scenes_are_of_the_range_of_what_they_stand_for() -> None:
    pixels = np.full((1, 3, 24, 40), 12, np.float32)
    inputs = {"x": pixels, "size": np.array([[24, 40]], np.float32), "ids": np.ones((1, 4), np.int64)}
    scene = scene_like(Sample(inputs, "data"), {"x": 255.0}, 1)
    assert scene.inputs["x"].shape == pixels.shape
    assert scene.inputs["x"].dtype == np.float32
    assert scene.inputs["x"].min() == 0
    assert scene.inputs["x"].max() == pytest.approx(255)
    assert scene.inputs["size"] is inputs["size"]
    assert scene.inputs["ids"] is inputs["ids"]


def test_of_few_numbers_a_draw_of_noise_is_one() -> None:
    assert factor_of(FEW) == MULTIPLE > factor_of(FEW + 1)


@pytest.mark.parametrize(("mean", "looked_at"), [(0.01, False), (0.05, True)])
def test_what_is_far_off_is_looked_at_op_by_op(mean: float, looked_at: bool, tmp_path: Path) -> None:
    """Though it may be that far off by itself: a filter half as large again moves it no further."""
    found = reference_on(IMAGE, tmp_path)
    found.movements.append([Distance(MOST, MOST, MOST) for _ in found.names])
    looked: list[bool] = []

    def wrong_op() -> Wrong | None:
        looked.append(True)
        return None

    outcome = weigh(found, [Distance(mean, mean)], wrong_op, str)
    assert outcome.right
    assert bool(looked) is looked_at


@pytest.mark.slow
@pytest.mark.parametrize("target", ["paddle-x86", "openvino", "onnxruntime"])
def test_a_classifier_of_directions_on_a_blank_image(
    pp_ocr_models: dict[str, Path], target: str, tmp_path: Path
) -> None:
    """PP-OCR's gives both directions 0.50; what is written for an engine is not refused for that."""

    def line(number: int) -> np.ndarray:
        image = np.full((48, 192, 3), 40 * number % 256, np.uint8)
        cv2.putText(image, "LEFT TO RIGHT"[number:], (5, 35), number % 4, 1.0, (255, 255, 255), 2)
        turned = image[::-1, ::-1] if number % 2 else image
        return np.ascontiguousarray(turned.transpose(2, 0, 1)[None] / 127.5 - 1, np.float32)

    model = qcc.load(pp_ocr_models["cls"])
    quantized = qcc.quantize(model, [{"x": line(number)} for number in range(8)], target=target)
    blank = {"x": np.full((1, 3, 48, 192), 1 / 255, np.float32)}
    if target == "onnxruntime":
        export(quantized, tmp_path / "model.onnx", find_target(target), check=blank)
    else:
        qcc.save(quantized, tmp_path, target=target, check=blank)
