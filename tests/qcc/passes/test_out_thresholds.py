"""The scales that a frozen model notes of what its ops write, and what reads them."""

from __future__ import annotations

import math

import nets
import numpy as np
import pytest

import qcc
from qcc._paddle import paddle
from qcc.backends.onnx.form import prepare, unmeasured
from qcc.model import Model
from qcc.passes.manager import PassManager
from qcc.passes.out_thresholds import ATTRIBUTE, thresholds
from qcc.targets.table import find_target

TABLE = find_target("onnxruntime")


def split_net() -> tuple[list[str], paddle.static.Variable, paddle.static.Variable]:
    """A network whose additions read both parts of a split."""
    image = paddle.static.data("image", [-1, 3, 12, 12])
    first, second = paddle.split(paddle.static.nn.conv2d(image, 8, 3, act="relu"), 2, axis=1)
    joined = paddle.static.nn.conv2d(first + paddle.static.nn.conv2d(second, 4, 1), 4, 1) + second
    output = paddle.static.nn.conv2d(joined, 4, 1)
    return ["image"], output, paddle.mean(output)


@pytest.fixture(scope="module")
def model() -> Model:
    return nets.build(nets.residual_net)["test"]


@pytest.fixture(scope="module")
def batches() -> list[dict[str, np.ndarray]]:
    return [{"image": np.random.default_rng(n).standard_normal((2, 3, 12, 12)).astype("f")} for n in range(3)]


@pytest.fixture(scope="module")
def frozen(model: Model, batches: list[dict[str, np.ndarray]]) -> Model:
    # Batches that come once: all is measured together.
    return qcc.quantize(model, iter(batches), target="onnxruntime")


def test_a_target_s_scales_are_measured_with_the_others(
    model: Model, batches: list[dict[str, np.ndarray]], frozen: Model
) -> None:
    wanted = set(unmeasured(frozen, TABLE))
    assert wanted
    assert wanted <= set(thresholds(frozen.graph))
    for other in (None, "openvino"):
        assert not thresholds(qcc.quantize(model, batches, target=other).graph)


@pytest.mark.parametrize("pipeline", ["prune", "qdq", "qdq,freeze"])
def test_the_file_has_them_without_data(frozen: Model, pipeline: str) -> None:
    given = PassManager.parse(pipeline).run(frozen)
    assert thresholds(given.graph) == thresholds(frozen.graph)
    prepared = prepare(given, TABLE, {})
    assert not any("have no scale" in line for line in prepared.lines)
    assert not thresholds(prepared.model.graph)  # the Q and DQ ops have them


def test_scales_that_are_given_win(frozen: Model) -> None:
    (name, *_) = unmeasured(frozen, TABLE)
    prepared = prepare(frozen, TABLE, {name: 123.0})
    assert prepared.model.weights[f"{name}@scale"] == [123.0]


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan, "0.5"])
def test_what_is_no_scale_does_not_count(frozen: Model, value: object) -> None:
    damaged = frozen.copy()
    (name, *_) = thresholds(damaged.graph)
    for op in damaged.graph.ops:
        if op.attr(ATTRIBUTE) == thresholds(frozen.graph)[name]:
            damaged.graph.remove_attr(op, ATTRIBUTE)
            damaged.graph.set_attr(op, ATTRIBUTE, value)
    assert name not in thresholds(damaged.graph)


def test_each_part_of_a_split_has_its_own(batches: list[dict[str, np.ndarray]]) -> None:
    model = nets.build(split_net)["test"]
    frozen = qcc.quantize(model, batches, target="onnxruntime")
    (split,) = (op for op in frozen.graph.ops if op.type == "split")
    parts = [part.name for part in split.outputs["Out"]]
    found = thresholds(frozen.graph)
    assert [split.attr(f"Out{number}_threshold") for number in (0, 1)] == [found[name] for name in parts]
    prepared = prepare(frozen, TABLE, {})
    assert not any("have no scale" in line for line in prepared.lines)
    assert not thresholds(prepared.model.graph)
