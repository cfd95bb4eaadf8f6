"""How far a quantized model is said to be from the float one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats

from qcc._paddle import paddle
from qcc.calibrate.compare import compare
from qcc.model import Model


def classifier(factor: float) -> Model:
    """Scores of 3 classes, which are the inputs times a factor, and their softmax."""

    def net(x: Any) -> Any:
        return F.softmax(paddle.scale(x, factor))

    return build_model(net, (floats(4, 3),))


def test_the_largest_and_the_mean_over_all_batches() -> None:
    batches = [{"x0": np.float32([[0, 1, 4]])}, {"x0": np.float32([[0, -4, 2]])}]
    _, logits = compare(classifier(1.0), classifier(1.5), batches)
    # Off by half of each value, relative to the range of all, which is 8.
    assert logits.largest == pytest.approx(2 / 8)
    assert logits.mean == pytest.approx((0 + 0.5 + 2 + 0 + 2 + 1) / 6 / 8)
    assert logits.same_class == 1
    assert "same class in 100.0%" in str(logits)


def test_other_classes_are_counted() -> None:
    batches = [{"x0": np.float32([[0, 1, 4], [2, 2.5, 1]])}, {"x0": np.float32([[0, 0, 0]])}]
    scores, logits = compare(classifier(1.0), classifier(-1.0), batches)
    assert scores.same_class == logits.same_class == pytest.approx(1 / 3)


def test_without_batches_there_is_nothing_to_say() -> None:
    assert compare(classifier(1.0), classifier(1.0), []) == []


def test_boxes_are_no_classes() -> None:
    """[batch, boxes, 4], of which no softmax makes scores."""
    boxes = [build_model(lambda x, by=by: paddle.scale(x, by), (floats(1, 5, 4),)) for by in (1.0, 0.9)]
    (found,) = compare(*boxes, [{"x0": floats(1, 5, 4)}])
    assert found.same_class is None


def test_other_numbers_of_rows_agree_nowhere() -> None:
    def net(threshold: float) -> Model:
        def build(x: Any) -> Any:
            places = paddle.nonzero(paddle.cast(x[:, 0] > threshold, "int32"))
            return F.softmax(paddle.gather_nd(x, places))

        return build_model(build, (floats(4, 3),))

    batch = {"x0": np.float32([[1, 0, 0], [3, 0, 0], [5, 0, 0]])}
    scores, _ = compare(net(0.0), net(2.0), [batch])
    assert scores.same_class == 0
