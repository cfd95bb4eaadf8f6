"""Small parts of outputs, and what an engine that loses them is said to be off by."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from lite_case import F, build_model, floats

from qcc._paddle import paddle
from qcc.measure.bench import _Expected
from qcc.measure.joined import small_places
from qcc.model import Model, Runner


def detector() -> Model:
    """Boxes and scores of two levels in one output [1, places, 6], as YOLOv5 and YOLOv8 have them."""

    def net(x: Any) -> Any:
        levels = [
            paddle.reshape(paddle.concat([one * 300.0, F.sigmoid(one[:, :2])], axis=1), [1, 6, -1])
            for one in (x, x[:, :, ::2, ::2])
        ]
        return paddle.scale(paddle.transpose(paddle.concat(levels, axis=2), [0, 2, 1]), 2.0, 0.5)

    return build_model(net, (floats(1, 4, 4, 4),))


def test_the_places_of_scores_beside_boxes() -> None:
    model, inputs = detector(), {"x0": floats(1, 4, 4, 4)}
    found = list(small_places(model.graph, lambda names: Runner(model).run(inputs, tuple(names))))
    assert [number for number, _ in found] == [0, 0]
    both = np.any([place for _, place in found], axis=0)
    assert both.shape == (1, 16 + 4, 6)
    np.testing.assert_array_equal(both, np.broadcast_to(np.arange(6) >= 4, both.shape))
    assert [int(place.sum()) for _, place in found] == [32, 8]


def test_scores_that_are_lost_are_a_large_distance() -> None:
    model, inputs = detector(), {"x0": floats(1, 4, 4, 4)}
    outputs = model.run(inputs)
    run = partial(Runner(model).run, inputs)
    expected = _Expected(outputs, list(small_places(model.graph, lambda names: run(tuple(names)))))
    assert expected.distance(outputs).largest == 0
    lost = outputs[0].copy()
    lost[..., 4:] = lost[..., 4:].mean()
    assert _Expected(outputs, []).distance([lost]).mean < 0.001
    assert expected.distance([lost]).mean > 0.1


def test_an_output_of_one_kind_has_no_parts() -> None:
    model = build_model(lambda x: paddle.concat([x * 2.0, x * 3.0], axis=1), (floats(1, 4),))
    run = Runner(model).run
    assert list(small_places(model.graph, lambda names: run({"x0": floats(1, 4)}, tuple(names)))) == []


def test_what_is_not_finite_beside_them_hides_no_scores() -> None:
    def net(x: Any) -> Any:
        masked = paddle.where(x > 0, x, paddle.full_like(x, -math.inf))
        return paddle.concat([paddle.log(x), masked, x * 300.0, F.sigmoid(x), x * 200.0], axis=1)

    inputs = {"x0": floats(1, 2, 3)}
    model = build_model(net, tuple(inputs.values()))
    run = Runner(model).run
    found = list(small_places(model.graph, lambda names: run(inputs, tuple(names))))
    (output,) = model.run(inputs)
    assert np.isnan(output).any()
    assert np.isinf(output).any()
    for of_part, (number, place) in zip((0, 1, 3), found, strict=True):
        assert number == 0
        wanted = np.zeros((1, 10, 3), bool)
        wanted[:, 2 * of_part : 2 * of_part + 2] = True
        np.testing.assert_array_equal(place, wanted)
