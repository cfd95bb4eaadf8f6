"""What a detector of two stages chooses between them, in ONNX's ops: Paddle's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import Case, append_op, build_model, floats, generator, paddle, static
from onnx_files import exported, frozen, needs_openvino

from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.heads import heads
from qcc.backends.onnx.translate import to_onnx
from qcc.errors import PassError
from qcc.model import Model
from qcc.passes import PassManager

Arrays = tuple[np.ndarray, ...]
ENGINES = ["onnxruntime", pytest.param("openvino", marks=needs_openvino)]

# ---------------------------------------------------------------------- regions


def proposals(**changed: Any) -> Any:
    attrs = {
        "pre_nms_topN": 60,
        "post_nms_topN": 20,
        "nms_thresh": 0.5,
        "min_size": 3.0,
        "eta": 1.0,
        "pixel_offset": False,
    }
    outputs = {"RpnRois": "float32", "RpnRoiProbs": "float32", "RpnRoisNum": "int32"}

    def build(scores: Any, moves: Any, size: Any, anchors: Any, factors: Any) -> Any:
        inputs = {"Scores": scores, "BboxDeltas": moves, "ImShape": size, "Anchors": anchors}
        return append_op("generate_proposals_v2", {**inputs, "Variances": factors}, outputs, attrs | changed)

    return build


def anchors(largest: float = 30.0) -> Arrays:
    """Scores and moves of three anchors at each of 5 x 6 places of an image of 40 x 48."""
    random = generator()
    corners = random.uniform(-5, 40, (5, 6, 3, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0, largest, (5, 6, 3, 2))], axis=-1)
    return (
        random.uniform(0, 1, (1, 3, 5, 6)).astype(np.float32),
        random.normal(0, 0.5, (1, 12, 5, 6)).astype(np.float32),
        np.array([[40, 48]], np.float32),
        boxes.astype(np.float32),
        random.uniform(0.5, 1.5, (5, 6, 3, 4)).astype(np.float32),
    )


PROPOSALS = {
    "plain": {},
    "all_candidates": {"pre_nms_topN": -1, "post_nms_topN": -1},
    "more_than_there_are": {"pre_nms_topN": 1000, "post_nms_topN": 1000},
    "in_pixels": {"pixel_offset": True},
    "tight": {"nms_thresh": 0.1},
    "all_small": {"min_size": 100.0},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", PROPOSALS)
def test_regions(name: str, engine: str, tmp_path: Path) -> None:
    if (name, engine) == ("all_small", "openvino"):
        pytest.skip("OpenVINO 2026.4 does not suppress among no boxes")
    case = Case(name, anchors(), proposals(**PROPOSALS[name]))
    compare(case.model(), case.feed(), engine, tmp_path)


def test_a_box_grows_to_some_sixty_times_its_anchor_at_most(tmp_path: Path) -> None:
    scores, moves, size, boxes, factors = anchors(largest=2.0)
    case = Case("large", (scores, moves + 6, size * 50, boxes, factors), proposals(min_size=0.0))
    compare(case.model(), case.feed(), "onnxruntime", tmp_path)


# ---------------------------------------------------------------------- levels


def levels(**changed: Any) -> Any:
    attrs = {"min_level": 2, "max_level": 5, "refer_level": 4, "refer_scale": 224, "pixel_offset": False}
    attrs |= changed
    count = attrs["max_level"] - attrs["min_level"] + 1

    def build(regions: Any, number: Any) -> Any:
        block = static.default_main_program().global_block()
        made = {
            slot: [block.create_var(name=f"{slot}{index}", dtype=kind) for index in range(size)]
            for slot, kind, size in (
                ("MultiFpnRois", "float32", count),
                ("RestoreIndex", "int32", 1),
                ("MultiLevelRoIsNum", "int32", count),
            )
        }
        block.append_op(
            type="distribute_fpn_proposals",
            inputs={"FpnRois": regions, "RoisNum": number},
            outputs=made,
            attrs=attrs,
        )
        return [var for variables in made.values() for var in variables]

    return build


def regions() -> Arrays:
    """Of all sizes; sides of 112 and 224 begin levels, one region has no area, one ends before it begins."""
    random = generator()
    corners = random.uniform(0, 100, (30, 2))
    sides = 2.0 ** random.uniform(0, 10, (30, 2))
    sides[:4] = [[112, 112], [224, 224], [0, 0], [-5, 20]]
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32), np.array([30], np.int32)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("changed", [{}, {"pixel_offset": True}, {"min_level": 4, "max_level": 4}])
def test_levels(changed: dict[str, Any], engine: str, tmp_path: Path) -> None:
    case = Case("levels", regions(), levels(**changed))
    compare(case.model(), case.feed(), engine, tmp_path)


# ---------------------------------------------------------------------- classes of regions


def nms_of_regions(**changed: Any) -> Any:
    attrs = {
        "background_label": 3,
        "score_threshold": 0.2,
        "nms_top_k": -1,
        "nms_threshold": 0.5,
        "keep_top_k": 100,
        "normalized": True,
        "nms_eta": 1.0,
    }
    outputs = {"Out": "float32", "Index": "int32", "NmsRoisNum": "int32"}

    def build(boxes: Any, scores: Any, number: Any) -> Any:
        inputs = {"BBoxes": boxes, "Scores": scores, "RoisNum": number}
        rows, _, count = append_op("multiclass_nms3", inputs, outputs, attrs | changed)
        return rows, count

    return build


def classes() -> Arrays:
    """Twenty regions, each with a box for each of three classes."""
    random = generator()
    corners = random.uniform(0, 30, (20, 3, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 20, (20, 3, 2))], axis=2)
    scores = random.uniform(0, 1, (20, 3))
    return boxes.astype(np.float32), scores.astype(np.float32), np.array([20], np.int32)


CLASSES = {
    "plain": {},
    "few_rows": {"keep_top_k": 7},
    "few_candidates": {"nms_top_k": 4},
    "background": {"background_label": 1},
    "in_pixels": {"normalized": False},
    "nothing": {"score_threshold": 2.0},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_regions(name: str, engine: str, tmp_path: Path) -> None:
    case = Case(name, classes(), nms_of_regions(**CLASSES[name]))
    compare(case.model(), case.feed(), engine, tmp_path)


def compare(model: Model, inputs: dict[str, np.ndarray], engine: str, folder: Path) -> None:
    file = folder / "model.onnx"
    content = to_onnx(model.graph, "uint8")
    for value in content.graph.input:
        # Anchors and regions, which are no inputs of a network, have no batch that could be one image.
        for dim, size in zip(value.type.tensor_type.shape.dim, inputs[value.name].shape, strict=True):
            dim.dim_value = size
    file.write_bytes(content.SerializeToString())
    with OnnxRuntime(file) if engine == "onnxruntime" else OpenVino(file) as running:
        found = running.run(inputs)
    for rows, wanted in zip(found, model.run(inputs), strict=True):
        assert rows.size == wanted.size
        np.testing.assert_allclose(rows.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-4)


# ---------------------------------------------------------------------- all together


def two_stages(image: Any, size: Any) -> Any:
    """A detector with one feature map, whose second stage has two quantized products."""
    features = static.nn.conv2d(image, 8, 3, stride=4, padding=1, act="relu")
    scores = static.nn.conv2d(features, 3, 1, act="sigmoid")
    moves = static.nn.conv2d(features, 12, 1)
    _, _, _, boxes, factors = anchors()
    kept = [
        paddle.static.create_parameter(
            a.shape, "float32", default_initializer=paddle.nn.initializer.Assign(a)
        )
        for a in (boxes, factors)
    ]
    chosen, _, number = proposals()(scores, moves, size, *kept)
    pooled = append_op(
        "roi_align",
        {"X": features, "ROIs": chosen, "RoisNum": paddle.reshape(number, [1])},
        {"Out": "float32"},
        {"pooled_height": 3, "pooled_width": 3, "spatial_scale": 0.25, "sampling_ratio": 0, "aligned": True},
    )
    (pooled,) = pooled if isinstance(pooled, (list, tuple)) else (pooled,)
    hidden = static.nn.fc(paddle.reshape(pooled, [-1, 72]), 16, activation="relu")
    found = paddle.nn.functional.softmax(static.nn.fc(hidden, 3))
    moved = paddle.unsqueeze(chosen, 1) + paddle.zeros([1, 3, 1])
    return nms_of_regions(score_threshold=0.1)(moved, found, number)


def detector() -> tuple[Model, dict[str, np.ndarray]]:
    image, size = floats(1, 3, 20, 24), np.array([[40, 48]], np.float32)
    model = build_model(two_stages, (image, size))
    return model, {"x0": image, "x1": size}


@pytest.mark.parametrize("target", ["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
def test_a_detector_of_two_stages(target: str, tmp_path: Path) -> None:
    """Its second stage runs in int8, too, and is compared on equal rows where those before it differ."""
    net, inputs = detector()
    saved = exported(frozen(net, inputs), inputs, target, tmp_path)
    told = [str(check) for check in saved.checks]
    assert any("gives Paddle's rows on equal inputs" in line for line in told), told
    assert "2 mul" in str(told) or "2 matmul_v2" in str(told), told


def test_cutting_ends_in_front_of_the_last_suppression() -> None:
    net, _ = detector()
    cut = PassManager.parse("cut-nms").run(net)
    assert {op.type for op in cut.graph.ops} >= {"generate_proposals_v2", "roi_align", "softmax"}
    assert len(cut.fetches) == 3
    assert {cut.fetches[0], cut.fetches[2]} < set(heads(net.graph))


def test_what_has_no_form() -> None:
    for changed, words in (({"eta": 0.9}, r"\(eta\)"), ({"nms_thresh": 0.0}, r"\(nms_thresh\)")):
        with pytest.raises(PassError, match=words):
            to_onnx(Case("none", anchors(), proposals(**changed)).model().graph, "uint8")
