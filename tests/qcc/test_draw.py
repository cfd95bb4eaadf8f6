"""Drawings: what is shown, what a difference marks, and that roles look different."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats
from nets import build, residual_net, several_blocks

import qcc
from qcc._paddle import paddle
from qcc.draw import Picture, Stages, around, difference, to_dot, view
from qcc.draw.dot import _LOOKS
from qcc.draw.picture import Change, Edge, Key, Node, Role
from qcc.errors import GraphError
from qcc.ir.text import parse_graph
from qcc.model import Model

TIMES = "\N{MULTIPLICATION SIGN}"
TEXT = """
graph {for_test=true}
feeds [image]
fetches [out]

weight conv.w: float32[2, 1, 2, 2] = [0.5, -0.25, 1.0, 0.0, -2.0, 0.5, 0.125, 0.75]
weight fc.w: float32[2, 3] = [1.0, -0.5, 0.25, 0.5, 4.0, -1.0]
weight bias: float32[3] = [0.0, 0.0, 0.0]
var image: float32[-1, 1, 3, 3] {need_check_feed=true}
var conv.out: float32[-1, 2, 2, 2]
var pool.out: float32[-1, 2, 1, 1]
var fc.out: float32[-1, 3]
var out: float32[-1, 3]

conv.out = conv2d(Input=image, Filter=conv.w) {strides=[2, 2]}
pool.out = pool2d(X=conv.out) {pooling_type="avg", ksize=[2, 2]}
fc.out = mul(X=pool.out, Y=fc.w)
out = elementwise_add(X=fc.out, Y=bias)
"""
PIPELINE = "transform{weight_type=channel_wise_abs_max,activation_type=abs_max},freeze,int8"


@pytest.fixture
def model() -> Model:
    return Model(parse_graph(TEXT))


def by(text: str) -> str:
    """Sizes joined by the sign that stands between them in drawings."""
    return re.sub(r"(?<=[N?\d])x(?=[?\d])", "\N{MULTIPLICATION SIGN}", text)


def stages(model: Model, pipeline: str) -> list[Picture]:
    found = Stages()
    qcc.PassManager.parse(pipeline).run(model, [found])
    return found.pictures


def node(picture: Picture, title: str, name: str = "") -> Node:
    (found,) = (node for node in picture.nodes.values() if node.title == title and name in ("", node.name))
    return found


def edge(picture: Picture, tail: str, head: str) -> Edge:
    """The edge between two nodes, told by the name or, for those without one, the title."""

    def called(key: Key) -> str:
        return picture.nodes[key].name or picture.nodes[key].title

    (found,) = (
        edge for ends, edge in picture.edges.items() if (called(ends[0]), called(ends[1])) == (tail, head)
    )
    return found


def test_a_float_graph(model: Model) -> None:
    picture = view(model.graph)
    assert node(picture, "image") == Node(Role.FEED, "image", (by("Nx1x3x3"),))
    assert node(picture, "out").role is Role.FETCH
    conv = node(picture, "conv2d")
    assert (conv.role, conv.facts, conv.name) == (Role.FLOAT_OP, (by("2x2, stride 2"),), "conv.out")
    assert node(picture, "pool2d").facts == (by("avg 2x2"),)
    assert node(picture, "conv.w") == Node(Role.WEIGHT, "conv.w", (by("2x1x2x2"), "float32"))
    assert node(picture, "elementwise_add").facts == ("1 weight",)
    assert edge(picture, "conv.out", "pool.out") == Edge(by("Nx2x2x2"))
    assert edge(picture, "conv.w", "conv.out").side


def test_roles_after_each_pass(model: Model) -> None:
    _, transformed, frozen, int8 = stages(model, PIPELINE)
    assert node(transformed, "quantize", "image.quantized").role is Role.QUANTIZE
    assert node(transformed, "dequantize", "image.quantized.dequantized").role is Role.DEQUANTIZE
    assert node(transformed, "conv2d").role is Role.QUANTIZED_OP
    assert node(transformed, "conv.w").role is Role.WEIGHT
    assert node(transformed, "conv.w@scale") == Node(Role.SCALE, "conv.w@scale", ("2 scales, 1 … 2",))
    assert node(transformed, "image@scale").facts == ("measured at every run",)
    assert edge(transformed, "image.quantized", "image.quantized.dequantized").integer
    assert node(frozen, "conv.w").facts == (by("2x1x2x2"), "integers stored as float32")
    assert edge(frozen, "image.quantized", "conv.out.accumulator").integer
    assert edge(frozen, "conv.out.accumulator", "conv.out").integer
    assert not edge(frozen, "conv.out", "pool.out").integer
    assert node(int8, "conv.w.int8") == Node(Role.INTEGER_WEIGHT, "conv.w.int8", (by("2x1x2x2"), "int8"))


def test_an_observed_scale_is_shown_and_one_that_was_never_observed_says_so(model: Model) -> None:
    transformed = qcc.PassManager.parse("transform").run(model)
    assert node(view(transformed.graph), "image@scale").facts == ("0.001", "not observed yet")
    transformed.weights["image@scale"] = np.array([2.5], np.float32)
    assert node(view(transformed.graph), "image@scale").facts == ("2.5",)


def test_pools_say_into_what_and_what_is_computed_has_a_question_mark() -> None:
    def net(x: Any) -> Any:
        size = paddle.shape(x)[2] // 4
        pools = [F.adaptive_avg_pool2d(x, to) for to in (1, 4, [size, size])]
        dropped = F.dropout(x, p=paddle.mean(x) * 0.0 + 0.5)
        return [*pools, F.avg_pool2d(x, 2), dropped]

    facts = [node.facts for node in view(build_model(net, [floats(1, 3, 16, 16)]).graph).nodes.values()]
    for fact in ("avg, whole image", "avg to 4x4", "avg to ?", "avg 2x2, stride 2", "dropout_prob ?"):
        assert (fact.replace("4x4", f"4{TIMES}4").replace("2x2", f"2{TIMES}2"),) in facts


def test_a_qdq_graph(model: Model) -> None:
    transformed = qcc.PassManager.parse("transform").run(model)
    for name in ("image@scale", "pool.out@scale"):
        transformed.weights[name] = np.array([2.5], np.float32)
    picture = view(qcc.PassManager.parse("freeze,qdq").run(transformed).graph)
    assert node(picture, "quantize", "image.quantized").facts == ("8 bits", "per tensor")
    assert node(picture, "dequantize", "conv.w.int8.dequantized").role is Role.DEQUANTIZE
    assert node(picture, "conv2d").role is Role.QUANTIZED_OP
    assert edge(picture, "conv.w.int8", "conv.w.int8.dequantized").integer
    assert not any("zero_point" in node.title for node in picture.nodes.values())


def test_the_difference_that_transform_makes(model: Model) -> None:
    before, after, *_ = stages(model, PIPELINE)
    picture = difference(before, after)
    assert node(picture, "quantize", "image.quantized").change is Change.ADDED
    assert node(picture, "conv2d").change is Change.CHANGED
    assert node(picture, "pool2d").change is Change.NONE
    assert node(picture, "conv.w").change is Change.NONE
    assert edge(picture, "image", "conv.out").change is Change.REMOVED
    assert edge(picture, "image", "image.quantized").change is Change.ADDED
    assert edge(picture, "conv.out", "pool.out").change is Change.NONE


def test_the_difference_that_freeze_makes(model: Model) -> None:
    _, before, after, _ = stages(model, PIPELINE)
    picture = difference(before, after)
    assert node(picture, "quantize", "conv.w.quantized").change is Change.REMOVED
    assert node(picture, "dequantize", "conv.out").change is Change.ADDED
    assert node(picture, "conv.w").change is Change.CHANGED
    assert edge(picture, "image.quantized", "conv.out.accumulator").change is Change.CHANGED


def test_around_a_variable(model: Model) -> None:
    picture = view(model.graph)
    near = around(picture, "pool.out", 0)
    titles = {node.title for node in near.nodes.values()}
    assert titles == {"pool2d", "mul", "fc.w", "…"}
    assert sum(node.role is Role.CUT for node in near.nodes.values()) == 2
    assert len(around(picture, "pool.out", 9).nodes) == len(picture.nodes)


def test_around_shows_weights_with_all_that_is_made_of_them(model: Model) -> None:
    _, transformed, *_ = stages(model, PIPELINE)
    names = {node.name or node.title for node in around(transformed, "conv.out", 0).nodes.values()}
    assert {"conv.w", "conv.w.quantized", "conv.w.quantized.dequantized", "conv.w@scale"} <= names


def test_around_finds_what_a_pass_removed(model: Model) -> None:
    _, before, after, _ = stages(model, PIPELINE)
    near = around(difference(before, after), "conv.w.quantized", 1)
    assert node(near, "quantize", "conv.w.quantized").change is Change.REMOVED


def test_around_an_unknown_variable_names_the_nearest(model: Model) -> None:
    with pytest.raises(GraphError, match=r"'pol\.out'; the nearest names are pool\.out"):
        around(view(model.graph), "pol.out", 1)


def test_training_graphs_and_further_blocks_are_drawn() -> None:
    model = build(residual_net)["train"]
    trained = view(qcc.PassManager.parse("transform").run(model).graph)
    # The inner state of a quantizer is left out.
    assert not any(node.title.endswith(("@state", "@accum")) for node in trained.nodes.values())
    assert {"conv2d_grad", "momentum"} <= {
        node.title for node in trained.nodes.values() if node.role is Role.TRAINING_OP
    }
    assert any(edge.kept for edge in trained.edges.values())
    loop = node(view(several_blocks().graph), "while")
    assert loop.facts == ("block 1", "1 weight")


def test_the_source_is_the_same_every_time_and_has_a_legend() -> None:
    sources = [to_dot(stages(Model(parse_graph(TEXT)), PIPELINE)[2]) for _ in range(2)]
    assert sources[0] == sources[1]
    legend = sources[0].partition("cluster_legend")[2]
    for role in (Role.QUANTIZE, Role.DEQUANTIZE, Role.QUANTIZED_OP, Role.INTEGER_WEIGHT, Role.SCALE):
        assert role.value in legend
    assert Role.TRAINING_OP.value not in legend


def test_names_that_are_mark_up_are_escaped() -> None:
    source = to_dot(Picture({"a": Node(Role.FLOAT_OP, "a<b>&", (), 'x"y')}))
    assert "<b>a&lt;b&gt;&amp;</b>" in source
    assert "x&quot;y" in source


def test_roles_differ_in_shape_and_in_colour() -> None:
    """What a pass adds and removes must not be told apart by colour alone."""
    told_apart = [
        Role.FLOAT_OP, Role.QUANTIZED_OP, Role.QUANTIZE, Role.DEQUANTIZE, Role.WEIGHT, Role.SCALE,
    ]  # fmt: skip
    shapes = [
        tuple(_LOOKS[role].get(name) for name in ("shape", "distortion", "peripheries"))
        for role in told_apart
    ]
    colours = [_LOOKS[role]["fillcolor"] for role in told_apart]
    assert len(set(shapes)) == len(set(colours)) == len(told_apart)
    assert all(re.fullmatch(r"#[0-9A-F]{6}", colour) for colour in colours)
