"""Biases take back what rounded weights do to the mean of outputs; channels are balanced by a few batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static

import qcc
from qcc.calibrate.balanced import FEW, balanced, balanced_by, few_of
from qcc.calibrate.collect import Collector, numbered
from qcc.calibrate.data.batches import Batch, Batches
from qcc.calibrate.data.sources import Source
from qcc.calibrate.plan import Plan, make_plan
from qcc.errors import DataError
from qcc.model import Model

BATCHES: list[Batch] = [{"x0": floats(1, 4, 12, 12) * (1 + number / 10) + 2.0} for number in range(10)]


def plain(x: Any) -> Any:
    return static.nn.conv2d(x, 6, 3)


def grouped(x: Any) -> Any:
    return static.nn.conv2d(x, 8, 3, stride=2, groups=2)


def depthwise(x: Any) -> Any:
    return static.nn.conv2d(x, 4, 3, groups=4)


def product(x: Any) -> Any:
    return static.nn.fc(x, 5, num_flatten_dims=3)


def drift(quantized: Model, model: Model) -> np.ndarray:
    """By how much the mean of each output channel differs, relative to the range of the outputs."""
    axis = (2, 3) if len(model.graph.versions(model.fetches[0])[0].shape) == 4 else (1,)
    means = []
    for batch in BATCHES:
        found, wanted = (one.run(dict(batch))[0] for one in (quantized, model))
        means.append((found - wanted).mean(axis)[0] / np.ptp(wanted))
    return np.abs(np.mean(means, 0))


@pytest.mark.parametrize("build", [plain, grouped, depthwise])
def test_the_mean_of_outputs_stays(build: Callable[[Any], Any]) -> None:
    """Without borders, all places meet the same means but for those near the edge."""
    model = build_model(build, (floats(1, 4, 12, 12),))
    without = qcc.quantize(model, BATCHES, without=["bias-correction"])
    corrected = qcc.quantize(model, BATCHES)
    assert drift(corrected, model).mean() < 0.5 * drift(without, model).mean()


def test_a_product_of_rows_has_a_bias_as_well() -> None:
    model = build_model(product, (floats(1, 4, 12, 12),))
    corrected = qcc.quantize(model, BATCHES)
    assert any("correct-biases{biases=[" in text for text in corrected.provenance.pipelines)


def test_what_shares_its_bias_keeps_it() -> None:
    def net(x: Any) -> Any:
        ways = [static.nn.conv2d(x, 4, 1, param_attr=f"w{way}", bias_attr="both") for way in (1, 2)]
        return ways[0] * ways[1]

    model = build_model(net, (floats(1, 4, 12, 12),))
    found = qcc.quantize(model, BATCHES)
    np.testing.assert_array_equal(found.weights["both"], model.weights["both"])


# ---------------------------------------------------------------------- balanced


def spread_net(x: Any) -> Any:
    x = F.relu(static.nn.conv2d(x, 8, 3, param_attr="first", bias_attr="first.b"))
    return static.nn.conv2d(x, 4, 1, param_attr="second", bias_attr="second.b")


@pytest.fixture(scope="module")
def model() -> Model:
    """One channel between the layers is 200 times as large as the others, and weighed as much less."""
    found = build_model(spread_net, (floats(1, 4, 12, 12),))
    large = np.where(np.arange(8) == 3, 200.0, 1.0).astype(np.float32)
    found.weights["first"] = found.weights["first"] * large.reshape(8, 1, 1, 1)
    found.weights["first.b"] = found.weights["first.b"] * large
    found.weights["second"] = found.weights["second"] / large.reshape(1, 8, 1, 1)
    return found


def error(found: Model, model: Model) -> float:
    (got,), (wanted,) = (one.run(dict(BATCHES[0])) for one in (found, model))
    return float(np.abs(got - wanted).mean() / np.abs(wanted).mean())


def test_a_large_channel_does_not_drown_the_others(model: Model) -> None:
    balanced_error = error(qcc.quantize(model, BATCHES), model)
    plain_error = error(qcc.quantize(model, BATCHES, without=["equalization"]), model)
    assert balanced_error < 0.2 * plain_error, (balanced_error, plain_error)


def test_batches_that_come_once_are_gone_through_once(model: Model) -> None:
    asked: list[int] = []

    def stream() -> Iterator[Batch]:
        for number, batch in enumerate(BATCHES):
            asked.append(number)
            yield batch

    few, rest = few_of(stream())
    assert len(few) == FEW == len(asked)
    assert [batch["x0"].max() for batch in rest] == [batch["x0"].max() for batch in BATCHES]
    assert asked == list(range(len(BATCHES)))
    from_stream, from_list = qcc.quantize(model, stream()), qcc.quantize(model, BATCHES)
    assert error(from_stream, model) == pytest.approx(error(from_list, model), rel=0.5)


def octaves(plan: Plan) -> tuple[str, ...]:
    (found,) = plan.rewrites
    return found.octaves  # type: ignore[attr-defined,no-any-return]


def test_a_batch_that_does_not_belong_decides_nothing(model: Model) -> None:
    plan = make_plan(model)
    stranger = {"x0": np.flip(BATCHES[0]["x0"] * 255.0, 1).copy()}
    without = balanced(plan, numbered(BATCHES[1:]))
    assert octaves(balanced(plan, numbered([stranger, *BATCHES[1:]]))) == octaves(without)


def test_what_cannot_be_read_is_told_of_later(model: Model) -> None:
    def read(number: int) -> Batch:
        if number == 0:
            raise DataError("no image")
        return BATCHES[number]

    plan = make_plan(model)
    found = balanced(plan, numbered(Batches(range(4), read)))
    assert octaves(found) == octaves(balanced(plan, numbered(BATCHES[1:4])))
    with pytest.raises(DataError, match="no image"):
        qcc.quantize(model, Batches(range(4), read))


def test_what_was_found_is_found_again(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, source = make_plan(model), Source(Batches(range(4), BATCHES.__getitem__))
    done: list[int] = []
    first, _ = balanced_by(plan, source, tmp_path, done.append)
    assert done == [0, 1, 2, 3]
    monkeypatch.setattr(Collector, "run", None)
    assert octaves(balanced_by(plan, source, tmp_path)[0]) == octaves(first)
