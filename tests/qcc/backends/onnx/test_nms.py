"""Paddle's non-maximum suppression in ONNX's ops: the same rows in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import Case, append_op, generator, paddle
from lite_detection_ops import multiclass_nms
from lite_nets import CONFIGS, project_detector, yolov3
from lite_variants import BOXES, SCORES, VARIANTS, nms
from onnx_files import exported, frozen, needs_openvino

from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.onnx.export import export
from qcc.backends.onnx.translate import to_onnx
from qcc.backends.samples import make_inputs
from qcc.errors import EngineError, OutputError, PassError, TargetError
from qcc.targets.table import find_target

CASES = {
    name: VARIANTS[name] for name in ("nms_background0", "nms_unnormalized", "nms_keep_all", "nms_nothing")
} | {
    "plain": Case("plain", (BOXES[:1], SCORES[:1]), nms()),
    "few_rows": Case("few_rows", (BOXES[:1], SCORES[:1]), nms(keep_top_k=3)),
    "few_candidates": Case("few_candidates", (BOXES[:1], SCORES[:1]), nms(nms_top_k=2, nms_threshold=0.9)),
}


def matrix_nms(**changed: Any) -> Any:
    attrs = {
        "score_threshold": 0.1,
        "post_threshold": 0.05,
        "nms_top_k": -1,
        "keep_top_k": -1,
        "use_gaussian": False,
        "gaussian_sigma": 2.0,
        "background_label": -1,
        "normalized": True,
    }
    outputs = {"Out": "float32", "Index": "int32", "RoisNum": "int32"}

    def build(boxes: Any, scores: Any) -> Any:
        return append_op("matrix_nms", {"BBoxes": boxes, "Scores": scores}, outputs, attrs | changed)

    return build


def crowd() -> tuple[np.ndarray, np.ndarray]:
    """Forty boxes of three classes; two are equal, and two without an area lie in one place."""
    boxes = np.sort(generator().uniform(0, 50, (1, 40, 2, 2)), axis=2).astype(np.float32).reshape(1, 40, 4)
    boxes[0, 3], boxes[0, 5, 2:] = boxes[0, 2], boxes[0, 5, :2]
    boxes[0, 6] = boxes[0, 5]
    return boxes, generator().uniform(0, 1, (1, 3, 40)).astype(np.float32)


MATRIX_CASES = {
    "all": {},
    "few_candidates": {"nms_top_k": 7},
    "more_candidates_than_boxes": {"nms_top_k": 100},
    "few_rows": {"keep_top_k": 5},
    "by_a_gaussian": {"use_gaussian": True, "nms_top_k": 20},
    "in_pixels": {"normalized": False},
    "background": {"background_label": 1, "keep_top_k": 9},
    "nothing": {"score_threshold": 2.0},
    "nothing_of_few": {"score_threshold": 2.0, "nms_top_k": 7},
}


@pytest.mark.parametrize(
    "name",
    [
        name if name == "few_candidates" else pytest.param(name, marks=pytest.mark.slow)
        for name in MATRIX_CASES
    ],
)
@pytest.mark.parametrize("target", ["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
def test_matrix_nms_gives_paddles_rows(name: str, target: str, tmp_path: Path) -> None:
    case = Case(name, crowd(), matrix_nms(**MATRIX_CASES[name]))
    model, inputs = case.model(), case.feed()
    file = tmp_path / "model.onnx"
    file.write_bytes(to_onnx(model.graph, "uint8").SerializeToString())
    with OnnxRuntime(file) if target == "onnxruntime" else OpenVino(file) as engine:
        found = engine.run(inputs)
    for rows, wanted in zip(found, model.run(inputs), strict=True):
        assert rows.shape == wanted.shape
        np.testing.assert_allclose(rows, wanted, rtol=1e-5)


@pytest.mark.parametrize("factor", [1, 0])
def test_the_suppression_of_the_first_paddle(factor: int, tmp_path: Path) -> None:
    """Where it finds nothing, `multiclass_nms` writes -1, and the file no row."""
    given = (BOXES[:1], SCORES[:1] * factor)
    case = Case("first", given, lambda boxes, scores: multiclass_nms(boxes + 1.0, scores * 0.9))
    model, inputs = case.model(), case.feed()
    saved = export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check=inputs)
    assert "gives Paddle's rows on equal inputs" in str([str(check) for check in saved.checks])
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        (found,) = engine.run(inputs)
    (wanted,) = model.run(inputs)
    if factor:
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    else:
        assert (wanted.tolist(), found.shape) == ([[-1]], (0, 6))


@pytest.mark.parametrize(
    "name", [name if name == "few_rows" else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_rows_are_paddles(name: str, tmp_path: Path) -> None:
    model, inputs = CASES[name].model(), CASES[name].feed()
    file = tmp_path / "model.onnx"
    file.write_bytes(to_onnx(model.graph, "uint8").SerializeToString())
    with OnnxRuntime(file) as engine:
        found = engine.run(inputs)
    for rows, wanted in zip(found, model.run(inputs), strict=True):
        assert rows.shape == wanted.shape
        np.testing.assert_allclose(rows, wanted, rtol=1e-6)


def test_what_paddle_puts_in_front_of_fetches_goes(tmp_path: Path) -> None:
    """A detector as PaddleDetection saves it: what its suppression writes goes through scale ops."""
    saved = Case(
        "saved", (BOXES[:1], SCORES[:1]), lambda *given: [paddle.scale(one) for one in nms()(*given)]
    )
    model, inputs = saved.model(), saved.feed()
    assert [op.type for op in model.graph.ops][-2:] == ["scale", "scale"]
    export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check=inputs)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        found = engine.run(inputs)
    for rows, wanted in zip(found, model.run(inputs), strict=True):
        np.testing.assert_allclose(rows.reshape(wanted.shape), wanted, rtol=1e-6)


def test_another_number_of_rows_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Miscounting(OnnxRuntime):
        def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            return [value + (value.size == 1) for value in super().run(inputs)]

    monkeypatch.setattr("qcc.backends.onnx.check_boxes.OnnxRuntime", Miscounting)
    # What reads feeds alone is compared without this check.
    given = (BOXES[:1], SCORES[:1])
    case = Case("behind", given, lambda boxes, scores: nms()(boxes + 1.0, scores * 0.9))
    with pytest.raises(OutputError, match=r"on equal inputs '\S+' is \[\d+\], and Paddle's \[\d+\]"):
        export(case.model(), tmp_path / "model.onnx", find_target("onnxruntime"), check=case.feed())


def cut_off(boxes: Any, scores: Any) -> Any:
    """Boxes that end where the image ends: some lie on its border, two of them one above the other."""
    return nms(score_threshold=0.0, nms_top_k=-1, keep_top_k=-1)(paddle.clip(boxes, 0.0, 30.0), scores * 0.9)


BEYOND = BOXES[:1].copy()
BEYOND[0, :2] = [[35, 2, 40, 9], [36, 4, 41, 12]]


def test_boxes_without_area_are_told_of(tmp_path: Path) -> None:
    """Paddle's share of two that touch is 0 / 0, which is not below the threshold."""
    case = Case("flat", (BEYOND, SCORES[:1]), cut_off)
    model, inputs = case.model(), case.feed()
    saved = export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check=inputs)
    (told,) = (str(check) for check in saved.warnings)
    assert "gives Paddle's rows on equal inputs, but for boxes without area, of which it keeps all" in told
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        found, _ = engine.run(inputs)
    wanted, _ = model.run(inputs)
    has_area = [rows[(rows[:, 2:4] < rows[:, 4:]).all(axis=1)] for rows in (found, wanted)]
    np.testing.assert_allclose(*has_area, rtol=1e-6)
    assert len(found) > len(wanted)


def test_a_wrong_row_beside_boxes_without_area_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Turned(OnnxRuntime):
        def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            return [value[::-1] for value in super().run(inputs)]

    monkeypatch.setattr("qcc.backends.onnx.check_boxes.OnnxRuntime", Turned)
    case = Case("flat", (BEYOND, SCORES[:1]), cut_off)
    with pytest.raises(OutputError, match=r"on equal inputs"):
        export(case.model(), tmp_path / "model.onnx", find_target("onnxruntime"), check=case.feed())


@pytest.mark.slow
def test_an_image_more_is_no_wrong_row(tmp_path: Path) -> None:
    case = VARIANTS["nms_batch2"]
    file = tmp_path / "model.onnx"
    file.write_bytes(to_onnx(case.model().graph, "uint8").SerializeToString())
    with OnnxRuntime(file) as engine, pytest.raises(EngineError, match=r"Squeeze|invalid dimensions"):
        engine.run(case.feed())


def test_what_has_no_form_in_onnx() -> None:
    with pytest.raises(PassError, match=r"\(nms_eta\); end in front of it by `qcc export MODEL --cut nms`"):
        to_onnx(VARIANTS["nms_eta"].model().graph, "uint8")


def test_there_is_nothing_to_cut(tmp_path: Path) -> None:
    model = Case("none", (BOXES[:1],), lambda x: x + 1.0).model()
    with pytest.raises(TargetError, match="has no non-maximum suppression: leave out --cut nms"):
        export(model, tmp_path / "model.onnx", find_target("openvino"), cut="nms")


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("cut", [None, "nms"])
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_detectors(target: str, cut: str | None, tmp_path: Path) -> None:
    net, inputs = yolov3()
    saved = exported(frozen(net, inputs), inputs, target, tmp_path, cut=cut)
    rows = [str(check) for check in saved.checks if "suppression" in check.what]
    assert bool(rows) == (cut is None)


@pytest.mark.slow
@needs_openvino
def test_a_detector_of_open_sizes(tmp_path: Path) -> None:
    net, inputs = project_detector()
    saved = exported(net, inputs, "openvino", tmp_path)
    (rows,) = (str(check) for check in saved.checks if "suppression" in check.what)
    assert "gives Paddle's rows on equal inputs; multiclass_nms_0.tmp_0 [100, 6]" in rows


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("cut", [None, "nms"])
def test_openvino_is_given_one_image_and_seen_wrong_where_it_is_not(
    cut: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO 2026.4 computes a network that decodes boxes wrongly in int8 while its batch is open."""
    net, _ = project_detector()
    with np.load(CONFIGS / "weights" / "yolov3_mobilenet_v1_x0_25_fashion_voc.npz") as trained:
        net.weights.update({name: trained[name] for name in trained.files if name in net.weights})
    inputs = make_inputs(net, 128)
    model = frozen(net, inputs)
    exported(model, inputs, "openvino", tmp_path, cut=cut)
    for module in ("export", "translate"):
        monkeypatch.setattr(f"qcc.backends.onnx.{module}.fix_batch", lambda graph: None)
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: off by .* which is wrong"):
        exported(model, inputs, "openvino", tmp_path, cut=cut)


def test_a_suppression_takes_one_image() -> None:
    graph = to_onnx(CASES["plain"].model().graph, "uint8").graph
    assert [value.type.tensor_type.shape.dim[0].dim_value for value in graph.input] == [1, 1]
