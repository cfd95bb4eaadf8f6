"""By which variables two runs of a model are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from lite_nets import ssd, yolov3
from lite_ops import CASES

import qcc
from qcc._paddle import paddle
from qcc.backends.heads import chosen_from, heads, is_chosen, parts, small_parts
from qcc.model import Runner


def test_fetches_as_they_are() -> None:
    model = build_model(lambda x: [F.relu(x), paddle.tanh(x)], (floats(2, 3),))
    assert heads(model.graph) == model.fetches


def test_logits_are_compared_too() -> None:
    model = build_model(lambda x: paddle.reshape(F.softmax(F.relu(x)), [-1]), (floats(2, 3),))
    assert heads(model.graph) == (*model.fetches, "relu_0.tmp_0")


@pytest.mark.parametrize(
    "hand_on", [paddle.assign, lambda x: F.dropout(x, training=False), lambda x: paddle.scale(x * 1.0, 1.0)]
)
def test_values_are_compared_where_they_first_stand(hand_on: Callable[[Any], Any]) -> None:
    """Files for engines leave out what hands them on."""
    x = floats(2, 3)
    model = build_model(lambda x: F.softmax(hand_on(F.relu(x))), (x,))
    assert heads(model.graph) == (*model.fetches, "relu_0.tmp_0")
    model = build_model(lambda x: paddle.topk(hand_on(F.relu(x)), 2)[0], (x,))
    assert chosen_from(model.graph) == ("relu_0.tmp_0",)


def test_a_bias_of_zeros_is_the_end_of_its_layer() -> None:
    """Files for engines have one op for both."""
    for layer in (lambda x: static.nn.conv2d(x, 4, 1), lambda x: static.nn.fc(x, 4)):
        model = build_model(lambda x, layer=layer: F.softmax(layer(x), 1), (floats(1, 3, 2, 2),), batch=1)
        graph = model.graph
        (bias,) = [op for op in graph.ops if op.type == "elementwise_add"]
        graph.weights[bias.input("Y").name] = np.zeros(4, np.float32)
        assert heads(graph)[1:] == (bias.output("Out").name,)


def test_an_inner_softmax_is_none_of_a_classifier() -> None:
    model = build_model(lambda x: paddle.matmul(F.softmax(F.relu(x)), x, transpose_y=True), (floats(2, 3),))
    assert heads(model.graph) == model.fetches


def test_scores_beside_boxes_in_pixels_are_a_part_of_their_own() -> None:
    """As YOLOv8 joins them: relative to the range of the boxes, scores could be anything."""

    def build(x: Any) -> Any:
        levels = paddle.concat([x * 300.0, x * 200.0], axis=1)
        joined = paddle.concat([levels, F.sigmoid(x)], axis=1)
        return paddle.transpose(joined, [0, 2, 1]) * 1.0

    model = build_model(build, (floats(1, 2, 6),))
    (whole,) = model.fetches
    found = parts(model.graph, whole)
    assert [model.graph.var(name).producer.type for name in found] == ["scale", "scale", "sigmoid"]
    boxes, scores = np.linspace(0, 300, 12), np.linspace(0, 1, 12)
    values = dict(zip(found, (boxes, boxes / 2, scores), strict=True))
    values[whole] = np.concatenate([boxes, boxes / 2, scores])
    assert small_parts(model.graph, values) == {found[-1]}


@pytest.mark.parametrize("factor", [-1 / 640, 1 / 640, 640.0])
def test_what_the_whole_is_multiplied_by_makes_no_part_small_or_large(factor: float) -> None:
    """As where places are told in shares of the image: scores are then a share of these."""

    def build(x: Any) -> Any:
        boxes = paddle.scale(paddle.concat([x * 300.0, x * 200.0], axis=1), 2.0)
        return paddle.scale(paddle.concat([boxes, F.sigmoid(x)], axis=1), factor)

    model, x = build_model(build, (floats(1, 2, 6),)), floats(1, 2, 6)
    names = (*model.fetches, *parts(model.graph, model.fetches[0]))
    values = dict(zip(names, Runner(model).run({"x0": x}, names), strict=True))
    assert small_parts(model.graph, values) == {names[-1]}


def test_what_is_chosen_from() -> None:
    """Peaks of a heat map: equal to the largest around, and the best of these."""

    def build(x: Any) -> Any:
        heat = F.sigmoid(x)
        peaks = heat * paddle.cast(paddle.equal(F.max_pool2d(heat, 3, 1, 1), heat), "float32")
        return [*paddle.topk(paddle.flatten(peaks, 1), 4), heat * 2.0]

    model = build_model(build, (floats(1, 1, 6, 6),))
    scores, places, twice = (model.graph.var(name) for name in model.fetches)
    assert heads(model.graph) == model.fetches
    assert chosen_from(model.graph) == ("pool2d_0.tmp_0", "sigmoid_0.tmp_0")
    assert [is_chosen(var) for var in (scores, places, twice)] == [True, True, False]


def test_numbers_that_are_compared_choose_nothing() -> None:
    model = build_model(lambda x: paddle.cast(paddle.cast(x, "int32") == 1, "float32"), (floats(2, 3),))
    assert chosen_from(model.graph) == ()


def test_feature_maps_in_front_of_yolo_boxes() -> None:
    graph = yolov3()[0].graph
    producers = [graph.var(name).producer for name in heads(graph)]
    assert sorted(op.type for op in graph.ops if op in producers) == ["elementwise_add", "elementwise_add"]
    readers = {reader.type for name in heads(graph) for reader in graph.var(name).consumers}
    assert readers == {"yolo_box"}


def test_feature_maps_in_front_of_boxes_that_are_fetched() -> None:
    graph = yolov3()[0].graph
    (nms,) = (op for op in graph.ops if op.type == "multiclass_nms3")
    expected = set(heads(graph))
    graph.fetches = (nms.input("BBoxes").name, nms.input("Scores").name)
    assert set(heads(graph)) == expected


def test_what_layers_compute_besides_boxes_is_compared_itself() -> None:
    graph = yolov3()[0].graph
    (nms,) = (op for op in graph.ops if op.type == "multiclass_nms3")
    boxes = nms.input("BBoxes")
    layer = next(op for op in graph.ops if op.type == "conv2d")
    out = graph.add_var_like("both", boxes)
    graph.add_op("elementwise_add", {"X": boxes, "Y": layer.output("Output")}, {"Out": out}, {})
    graph.fetches = ("both",)
    assert heads(graph) == ("both",)


def test_boxes_and_scores_in_front_of_an_nms() -> None:
    graph = ssd()[0].graph
    (nms,) = (op for op in graph.ops if op.type == "multiclass_nms3")
    assert set(heads(graph)) == {nms.input("BBoxes").name, nms.input("Scores").name}


def test_an_nms_that_reads_feeds_alone_is_compared_itself(tmp_path: Path) -> None:
    case = CASES["multiclass_nms3"]
    model = case.model()
    assert heads(model.graph) == model.fetches
    qcc.save(model, tmp_path, check=case.feed())
