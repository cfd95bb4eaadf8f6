"""One number for how far a model is from the float one."""

from __future__ import annotations

import os
import tracemalloc
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats

from qcc._paddle import paddle
from qcc.calibrate.accurate.judge import Judge
from qcc.calibrate.collect import Numbered, numbered
from qcc.calibrate.data.batches import Batches
from qcc.model import Model

BATCHES: list[Numbered] = list(numbered([{"x0": floats(4, 6) + number} for number in range(3)]))


def linear(x: Any) -> Any:
    return paddle.nn.Linear(6, 5)(x)


def shifted(model: Model, by: float) -> Model:
    """The model, with the bias of one output moved."""
    other = model.copy()
    (bias,) = (name for name, value in model.weights.items() if value.ndim == 1)
    other.weights[bias] = model.weights[bias] + np.float32([by, 0, 0, 0, 0])
    return other


def test_the_error_is_relative_to_the_deviation() -> None:
    model = build_model(linear, (floats(4, 6),))
    judge = Judge(model, BATCHES)
    assert judge.error(model) == 0
    values = np.concatenate([model.run(dict(batch.read()))[0].ravel() for batch in BATCHES])
    wanted = 0.5 / 5 / np.abs(values - values.mean()).mean()
    assert judge.error(shifted(model, 0.5)) == pytest.approx(wanted, rel=1e-4)


def test_classes_agree_by_their_largest_score() -> None:
    model = build_model(lambda x: F.softmax(linear(x)), (floats(4, 6),))
    judge = Judge(model, BATCHES)
    assert judge.scores_classes
    assert not judge.may_be_no_scores
    assert judge.agreement(model) == 1
    first = np.concatenate([model.run(dict(batch.read()))[0].argmax(-1) for batch in BATCHES]) == 0
    assert judge.agreement(shifted(model, 1e4)) == pytest.approx(first.mean())


def test_what_is_taken_for_classes_by_its_shape_alone_is_known() -> None:
    """Logits, coordinates and embeddings look alike."""
    model = build_model(linear, (floats(4, 6),))
    judge = Judge(model, BATCHES)
    assert judge.scores_classes
    assert judge.may_be_no_scores == list(model.fetches)
    one = build_model(lambda x: paddle.nn.Linear(6, 1)(x), (floats(4, 6),))
    assert not Judge(one, BATCHES).scores_classes
    assert not Judge(one, BATCHES).may_be_no_scores


def test_other_outputs_agree_by_their_error() -> None:
    model = build_model(lambda x: paddle.reshape(linear(x), [-1, 1, 5, 1]), (floats(4, 6),))
    judge = Judge(model, BATCHES)
    assert not judge.scores_classes
    assert judge.agreement(shifted(model, 0.5)) == pytest.approx(1 - judge.error(shifted(model, 0.5)))


def test_scores_count_beside_boxes_in_pixels() -> None:
    """As much as the boxes do, though one output holds both."""

    def net(of_scores: float) -> Model:
        def build(x: Any) -> Any:
            return paddle.concat([x * 300.0, F.sigmoid(paddle.scale(x, of_scores))], axis=1)

        return build_model(build, (floats(4, 6),))

    judge = Judge(net(1.0), BATCHES)
    assert len(judge.heads) == 2
    assert judge.error(net(0.0)) > 0.4


def test_of_integers_the_share_that_differs() -> None:
    model = build_model(lambda x: paddle.argmax(linear(x), -1), (floats(4, 6),))
    judge = Judge(model, BATCHES)
    wanted = np.concatenate([model.run(dict(batch.read()))[0] for batch in BATCHES])
    assert judge.error(shifted(model, 1e4)) == pytest.approx((wanted != 0).mean())


def above(limit: float, dtype: str) -> Model:
    return build_model(lambda x: paddle.nonzero(x > limit).astype(dtype), (floats(4, 6),))


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_other_numbers_of_rows_are_wholly_off(dtype: str) -> None:
    judge = Judge(above(0.5, dtype), BATCHES)
    assert judge.error(above(0.5, dtype)) == 0
    assert judge.error(above(0.7, dtype)) == 1


def test_numbers_that_are_not_finite_are_infinitely_off() -> None:
    model = build_model(linear, (floats(4, 6),))
    judge = Judge(model, BATCHES)
    assert judge.error(shifted(model, np.nan)) == np.inf
    assert judge.agreement(shifted(model, np.nan)) < 1


def test_what_the_float_model_computes_is_not_held() -> None:
    one = 1 << 18
    model = build_model(lambda x: paddle.scale(x, 1.5), (floats(1, one),))
    batches = list(numbered(Batches(range(40), lambda number: {"x0": floats(1, one) + number})))
    tracemalloc.start()
    try:
        judge = Judge(model, batches)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert judge.error(model) == 0
    assert peak < 20 * 4 * one


def test_many_batches_take_few_descriptors() -> None:
    """A process may have 1024 of them by default, and a budget is judged by all batches that are given."""
    model = build_model(linear, (floats(1, 6),))
    batches = list(numbered([{"x0": floats(1, 6) + number} for number in range(100)]))
    before = len(os.listdir("/proc/self/fd"))
    judge = Judge(model, batches)
    assert len(os.listdir("/proc/self/fd")) - before < 10
    assert judge.error(model) == 0


def test_outputs_that_are_empty_are_kept() -> None:
    model = build_model(lambda x: F.relu(x)[:, :0], (floats(4, 6),))
    assert Judge(model, BATCHES).error(model) == 0


def test_what_is_masked_out_is_not_off() -> None:
    """Minus infinity, where nothing is to be seen, is the same in both."""
    model = build_model(linear, (floats(4, 6),))
    (bias,) = (name for name, value in model.weights.items() if value.ndim == 1)
    masked = model.copy()
    masked.weights[bias] = np.float32([0, 0, 0, 0, -np.inf])
    judge = Judge(masked, BATCHES)
    assert judge.error(masked) == 0
    values = np.concatenate([masked.run(dict(batch.read()))[0][:, :4].ravel() for batch in BATCHES])
    wanted = 0.5 / 5 / np.abs(values - values.mean()).mean()
    assert judge.error(shifted(masked, 0.5)) == pytest.approx(wanted, rel=1e-4)
    other = masked.copy()
    other.weights[bias] = -masked.weights[bias]
    assert judge.error(other) == np.inf


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_in_both_alike_is_not_off(value: float) -> None:
    model = shifted(build_model(linear, (floats(4, 6),)), value)
    assert Judge(model, BATCHES).error(model) == 0


def halves(factor: float) -> Model:
    return build_model(lambda x: paddle.scale(x, factor).astype("float16"), (floats(2, 2),))


def test_differences_of_float16_have_room() -> None:
    """Those between 60000 and -60000, and between -60000 and the mean, are infinite in float16."""
    judge = Judge(halves(6e4), list(numbered([{"x0": np.float32([[1, 1], [1, -1]])}])))
    assert judge.error(halves(-6e4)) == pytest.approx(12e4 / 4.5e4)
