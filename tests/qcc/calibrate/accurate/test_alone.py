"""What a layer costs alone is what a model costs in which no other one is quantized."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static

from qcc.backends.rounded import as_rounded
from qcc.calibrate.accurate.alone import Alone
from qcc.calibrate.accurate.judge import Judge
from qcc.calibrate.accurate.reconstruction import Methods, reconstruct
from qcc.calibrate.accurate.steps import Attempt, collecting
from qcc.calibrate.choose import choose
from qcc.calibrate.collect import Numbered, numbered
from qcc.calibrate.plan import make_plan
from qcc.model import Model


def chain(x: Any) -> Any:
    """Five layers, one of them beside two others."""
    left = F.relu(static.nn.conv2d(x, 6, 3, padding=1, param_attr="first", bias_attr="first.b"))
    x = F.relu(static.nn.conv2d(left, 6, 3, padding=1, groups=6, param_attr="deep", bias_attr="deep.b"))
    x = static.nn.conv2d(x, 6, 1, param_attr="second", bias_attr="second.b")
    x = x + static.nn.conv2d(left, 6, 1, param_attr="beside", bias_attr=False)
    return static.nn.fc(F.relu(x), 5, weight_attr="last", bias_attr="last.b")


IMAGES = [{"x0": floats(1, 3, 8, 8) * (1 + number)} for number in range(5)]


@pytest.fixture(scope="module")
def model() -> Model:
    return build_model(chain, (floats(1, 3, 8, 8),))


def attempted(model: Model, batches: list[Numbered]) -> Attempt:
    plan = make_plan(model)
    return Attempt(choose(plan, collecting(batches)(plan), "mse"))


def error_alone(attempt: Attempt, weight: str, judge: Judge) -> float:
    others = attempt.chosen.plan.weights - {weight}
    return judge.error(attempt.leaving(sorted(others)).freeze().model)


def check(attempt: Attempt, judge: Judge) -> list[tuple[str, float]]:
    weights = sorted(attempt.chosen.plan.weights)
    found = Alone(attempt, weights, judge).ranked()
    assert sorted(name for name, _ in found) == weights
    for name, error in found:
        assert error == pytest.approx(error_alone(attempt, name, judge), rel=1e-3)
    return found


def test_of_few_batches_all_layers_are_measured_on_all(model: Model) -> None:
    batches = list(numbered(IMAGES[:2]))
    found = check(attempted(model, batches), Judge(model, batches))
    assert [error for _, error in found] == sorted((error for _, error in found), reverse=True)


def test_biases_that_were_learned_are_part_of_a_layer(model: Model) -> None:
    batches = list(numbered(IMAGES[:2]))
    attempt = attempted(model, batches)
    learned = tuple(reconstruct(attempt.chosen, batches, Methods(True, False)))
    assert any(one.values.keys() - {one.weight} for one in learned)
    check(Attempt(attempt.chosen, learned, ("bias-correction",)), Judge(model, batches))


def test_what_the_target_rounds_behind_a_layer_is_part_of_it() -> None:
    def net(x: Any) -> Any:
        x = F.hardswish(static.nn.conv2d(x, 6, 3, padding=1, param_attr="first", bias_attr="first.b"))
        x = F.relu(static.nn.conv2d(x, 6, 3, padding=1, param_attr="second", bias_attr="second.b"))
        return F.hardswish(static.nn.conv2d(x, 4, 1, param_attr="last", bias_attr=False))

    model, batches = build_model(net, (floats(1, 3, 8, 8),)), list(numbered(IMAGES[:2]))
    judge, found = Judge(model, batches), dict[str, dict[str, float]]()
    for target in ("onnxruntime+vnni", "openvino+vnni"):
        plan = make_plan(model, target=target)
        attempt = Attempt(choose(plan, collecting(batches)(plan), "mse"))
        weights = sorted(plan.weights)
        found[target] = dict(Alone(attempt, weights, judge).ranked())
        # The last one reads what is not negative: ONNX Runtime has 255 steps for it, and what is frozen 127.
        for name in ("first", "second"):
            alone = attempt.leaving([other for other in weights if other != name]).freeze().model
            wanted = judge.error(as_rounded(alone, plan.table))
            assert found[target][name] == pytest.approx(wanted, rel=1e-3)
    for name, error in found["openvino+vnni"].items():
        assert found["onnxruntime+vnni"][name] > error


def test_a_weight_that_two_layers_share_is_quantized_in_both() -> None:
    def net(x: Any) -> Any:
        for _ in range(2):
            x = F.relu(static.nn.conv2d(x, 4, 3, padding=1, param_attr="shared", bias_attr=False))
        return static.nn.conv2d(x, 2, 1, param_attr="last", bias_attr=False)

    batches = list(numbered([{"x0": floats(1, 4, 6, 6)}]))
    model = build_model(net, (floats(1, 4, 6, 6),))
    assert {name for name, _ in check(attempted(model, batches), Judge(model, batches))} == {"shared", "last"}


def test_the_half_that_costs_more_is_measured_on_more_batches(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = list(numbered(IMAGES))
    judge, attempt = Judge(model, batches), attempted(model, batches)
    asked: list[int] = []
    off = judge.off
    monkeypatch.setattr(judge, "off", lambda place, found: (asked.append(place), off(place, found))[1])
    weights = sorted(attempt.chosen.plan.weights)
    found = Alone(attempt, weights, judge).ranked()
    assert np.bincount(asked).tolist() == [5, 3, 3, 2, 5], asked
    worst, error = found[0]
    assert error == pytest.approx(error_alone(attempt, worst, judge), rel=1e-3)
