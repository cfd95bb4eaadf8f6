"""How far a quantized model is said to be from the float one."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats

from qcc._paddle import paddle
from qcc.calibrate.compare import compare, noisy
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


def test_noise_tells_what_a_mean_hides() -> None:
    """A map that is zero nearly everywhere, and off where it is not."""
    scores = np.zeros((1, 1, 32, 32), np.float32)
    scores[0, 0, ::8, ::8] = 1
    maps = [build_model(lambda x, by=by: paddle.scale(x, by), (scores,)) for by in (1.0, 0.5)]
    found = compare(*maps, [{"x0": scores}])
    assert found[0].mean == pytest.approx(0.5 / 64)
    assert found[0].noise == pytest.approx(0.5 / np.sqrt(1 - 1 / 64))
    assert str(found[0]).endswith(
        "off by 0.78% of its range on average, at most by 50.00%, and by 50.4% of how much it varies"
    )
    (told,) = noisy(found, "Do more.")
    assert told.startswith(
        f"the output {found[0].output!r} is off by 50% of how much it varies, which is much"
    )
    assert told.endswith(" Do more.")
    assert list(noisy([replace(found[0], noise=0.1)], "")) == []
    assert list(noisy([replace(found[0], same_class=1.0)], "")) == []
    assert "and 1 more by over 20%" in next(noisy(found * 2, ""))


def test_other_classes_are_told_of() -> None:
    batches = [{"x0": floats(4, 3)}]
    found = compare(classifier(1.0), classifier(-1.0), batches)
    share = f"{1 - min(one.same_class or 0 for one in found):.0%}"
    (told,) = noisy(found, "Do more.")
    assert "which is the class of a classifier, is another one than in float in" in told
    assert told.endswith(f" {share} of what was compared. Do more.")
    assert list(noisy(compare(classifier(1.0), classifier(1.5), batches), "")) == []


def test_of_what_does_not_vary_there_is_no_noise() -> None:
    (found,) = compare(
        *[build_model(lambda x: paddle.scale(x, 0.0), (floats(1, 5, 4),))] * 2, [{"x0": floats(1, 5, 4)}]
    )
    assert found.noise is None


def test_without_batches_there_is_nothing_to_say() -> None:
    assert compare(classifier(1.0), classifier(1.0), []) == []


def test_boxes_are_no_classes() -> None:
    """[batch, boxes, 4], of which no softmax makes scores."""
    boxes = [build_model(lambda x, by=by: paddle.scale(x, by), (floats(1, 5, 4),)) for by in (1.0, 0.9)]
    (found,) = compare(*boxes, [{"x0": floats(1, 5, 4)}])
    assert found.same_class is None


def detector(of_scores: float) -> Model:
    """Boxes in pixels and scores of 0 to 1 in one output, as YOLOv8 has them."""

    def net(x: Any) -> Any:
        return paddle.concat([x * 300.0, F.sigmoid(paddle.scale(x, of_scores))], axis=1)

    return build_model(net, (floats(1, 4, 20),))


def test_scores_are_told_beside_boxes_in_pixels() -> None:
    """All scores are lost, which moves the whole output by next to nothing."""
    whole, scores = compare(detector(1.0), detector(0.0), [{"x0": floats(1, 4, 20)}])
    assert whole.mean < 0.001
    assert whole.noise == pytest.approx(0, abs=0.01)
    assert scores.noise == pytest.approx(1, abs=0.2)
    (told,) = noisy([whole, scores], "")
    assert told.startswith(f"the output {scores.output!r} is off by ")


def test_what_is_joined_of_like_sizes_is_one_output() -> None:
    joined = build_model(lambda x: paddle.concat([x * 1.0, F.sigmoid(x)], axis=1), (floats(1, 4, 20),))
    assert len(compare(joined, joined, [{"x0": floats(1, 4, 20)}])) == 1


def test_other_numbers_of_rows_agree_nowhere() -> None:
    def net(threshold: float) -> Model:
        def build(x: Any) -> Any:
            places = paddle.nonzero(paddle.cast(x[:, 0] > threshold, "int32"))
            return F.softmax(paddle.gather_nd(x, places))

        return build_model(build, (floats(4, 3),))

    batch = {"x0": np.float32([[1, 0, 0], [3, 0, 0], [5, 0, 0]])}
    scores, _ = compare(net(0.0), net(2.0), [batch])
    assert scores.same_class == 0


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_the_noise_of_small_and_of_large_numbers(size: float) -> None:
    """Their squares are none of float32."""
    batches = [{"x0": np.float32([[0, 1, 4]]) * np.float32(size)}]
    *_, logits = compare(classifier(1.0), classifier(1.5), batches)
    varies = np.array([0, 1, 4]) - 5 / 3
    assert logits.noise == pytest.approx(np.sqrt(0.25 + 4) / np.linalg.norm(varies))


def test_the_noise_beside_a_mask() -> None:
    """Minus infinity, where nothing is to be seen, is the same in both."""
    batches = [{"x0": np.float32([[0, 1, -np.inf]])}]
    *_, logits = compare(classifier(1.0), classifier(1.5), batches)
    assert logits.noise == pytest.approx(0.5 / np.sqrt(0.5))


def test_outputs_are_held_of_one_batch_at_a_time() -> None:
    one = 1 << 18
    models = [build_model(partial(paddle.scale, scale=factor), (floats(1, one),)) for factor in (1.0, 1.1)]
    tracemalloc.start()
    try:
        (found,) = compare(*models, ({"x0": floats(1, one)} for _ in range(40)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.mean > 0
    assert peak < 20 * 4 * one
