"""Biases take back what rounded weights do to the mean of outputs; channels are balanced by a few batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from lite_case import F, build_model, floats, static

import qcc
from qcc.calibrate.accurate.steps import collecting
from qcc.calibrate.balanced import FEW, Balanced, balanced, balanced_statistics, few_of
from qcc.calibrate.collect import Collector, numbered
from qcc.calibrate.data.batches import Batch, Batches
from qcc.calibrate.memo import Memo
from qcc.calibrate.plan import Plan, make_plan
from qcc.calibrate.statistics import Statistics
from qcc.errors import DataError, QccWarning
from qcc.model import Model
from qcc.passes.equalize import Equalize

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


def of_one_pixel(x: Any) -> Any:
    """As in the last layers of SSD: eight of nine places of the kernel read zeros."""
    return static.nn.conv2d(F.adaptive_avg_pool2d(x, 1), 6, 3, padding=1)


def with_holes(x: Any) -> Any:
    """As in an ASPP: most places of the kernel lie outside of the map."""
    return static.nn.conv2d(x, 6, 3, padding=8, dilation=8)


@pytest.mark.parametrize("build", [plain, grouped, depthwise, of_one_pixel, with_holes])
def test_the_mean_of_outputs_stays(build: Callable[[Any], Any]) -> None:
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


def test_what_is_fetched_stays() -> None:
    model = build_model(lambda x: static.nn.conv2d(x, 6, 3, bias_attr="own"), (floats(1, 4, 12, 12),))
    model.graph.fetches = (*model.graph.fetches, "own")
    found = qcc.quantize(model, BATCHES)
    np.testing.assert_array_equal(found.weights["own"], model.weights["own"])


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


def test_arrays_may_be_used_again_for_the_next_batch(model: Model) -> None:
    def stream() -> Iterator[Batch]:
        buffer = np.empty_like(BATCHES[0]["x0"])
        for batch in reversed(BATCHES):
            buffer[...] = batch["x0"]
            yield {"x0": buffer}

    reused, fresh = qcc.quantize(model, stream()), qcc.quantize(model, iter(BATCHES[::-1]))
    assert reused.provenance == fresh.provenance


def test_a_sequence_is_read_batch_by_batch(model: Model) -> None:
    class Lazy(Sequence[Batch]):
        asked: ClassVar[list[int]] = []

        def __len__(self) -> int:
            return 100

        def __getitem__(self, place: Any) -> Any:
            self.asked.append(place)
            return BATCHES[place % len(BATCHES)]

    few, _ = few_of(Lazy())
    assert Lazy.asked == []
    assert [batch.number for batch in few] == [place * 100 // FEW for place in range(FEW)]
    assert [int(batch.read()["x0"].size) for batch in few] == [BATCHES[0]["x0"].size] * FEW
    assert Lazy.asked == [batch.number for batch in few]


def test_tokens_on_a_map_have_their_channels_last() -> None:
    """As in Swin and ConvNeXt: [images, height, width, channels], as many rows as channels."""

    def net(x: Any) -> Any:
        x = F.relu(static.nn.fc(x, 8, num_flatten_dims=3, weight_attr="first", bias_attr="first.b"))
        return static.nn.fc(x, 4, num_flatten_dims=3, weight_attr="second", bias_attr="second.b")

    tokens = [{"x0": floats(1, 8, 5, 6)} for _ in range(4)]
    model = build_model(net, (floats(1, 8, 5, 6),))
    large = np.where(np.arange(8) == 3, 200.0, 1.0).astype(np.float32)
    model.weights["first"] = model.weights["first"] * large
    model.weights["first.b"] = model.weights["first.b"] * large
    model.weights["second"] = model.weights["second"] / large.reshape(8, 1)
    (entry,) = octaves(balanced(make_plan(model), numbered(tokens)))
    found = np.array(entry.rpartition("=")[2].split(), int)
    middle = np.median(found)
    assert found[3] <= middle + 1, entry


def octaves(found: Balanced) -> tuple[str, ...]:
    (step,) = found.plan.rewrites
    assert isinstance(step, Equalize)
    return step.octaves


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
    plan, memo = make_plan(model), Memo(tmp_path)
    first = balanced(plan, numbered(BATCHES), memo, "these")
    other = balanced(plan, numbered(BATCHES), memo, "others", keep=False)
    assert len(list(tmp_path.iterdir())) == 1
    assert octaves(other) == octaves(first)
    monkeypatch.setattr(Collector, "run", None)
    assert octaves(balanced(plan, numbered(BATCHES), memo, "these")) == octaves(first)


# ---------------------------------------------------------------------- what a few batches do not tell


def kinds_net(x: Any) -> Any:
    x = F.relu(static.nn.conv2d(x, 16, 1, param_attr="first", bias_attr="first.b"))
    return static.nn.conv2d(x, 4, 1, param_attr="second", bias_attr="second.b")


def kinds(count: int, net: Callable[[Any], Any] = kinds_net) -> tuple[Model, list[Batch]]:
    """Images of 16 kinds, each of which has a channel of its own; in the first 8 there are two kinds."""
    model = build_model(net, (floats(1, 16, 6, 6),))
    model.weights["first"] = np.eye(16, dtype=np.float32).reshape(16, 16, 1, 1)
    model.weights["first.b"] = np.zeros(16, np.float32)
    random, batches = np.random.default_rng(0), []
    for number in range(count):
        image = np.abs(random.standard_normal((1, 16, 6, 6)).astype(np.float32)) * 0.001
        image[0, number % 2 if number < FEW else number % 16] *= 1000
        batches.append({"x0": image})
    return model, batches


def test_links_to_layers_that_stay_float_keep_their_factors() -> None:
    def net(x: Any) -> Any:
        return static.nn.conv2d(F.relu(kinds_net(x)), 4, 1, param_attr="third", bias_attr="third.b")

    model, batches = kinds(40, net)
    plain = far(qcc.quantize(model, batches, without=["equalization"], skip_vars=["second"]), model, batches)
    assert far(qcc.quantize(model, batches, skip_vars=["second"]), model, batches) < 1.5 * plain


def test_what_was_revised_is_not_revised_again(tmp_path: Path) -> None:
    model, batches = kinds(40)
    memo, asked = Memo(tmp_path), list[Plan]()

    def collect(plan: Plan) -> Statistics:
        asked.append(plan)
        return collecting(list(numbered(batches)))(plan)

    found = balanced(make_plan(model), few_of(iter(batches))[0], memo, keep=False)
    plan, _, notices = balanced_statistics(found, collect, memo, once=False)
    assert notices == ()
    assert len(asked) == 2
    again = balanced(make_plan(model), [], memo, keep=False)
    assert again.plan.identity() == plan.identity()
    assert balanced_statistics(again, collect, memo, once=False)[0].identity() == plan.identity()
    assert len(asked) == 3


def test_channels_that_are_nearly_dead_are_nothing_to_measure_again_for() -> None:
    model, batches = kinds(40)
    for number, batch in enumerate(batches):
        batch["x0"][:, :8] = np.abs(np.random.default_rng(number).standard_normal((1, 8, 6, 6)))
        batch["x0"][:, 8:] = 0 if number < FEW else 1e-5
    asked = list[Plan]()

    def collect(plan: Plan) -> Statistics:
        asked.append(plan)
        return collecting(list(numbered(batches)))(plan)

    found = balanced(make_plan(model), few_of(iter(batches))[0])
    plan, _, notices = balanced_statistics(found, collect, once=False)
    assert (plan, notices, len(asked)) == (found.plan, (), 1)


def far(found: Model, model: Model, batches: list[Batch]) -> float:
    errors = [found.run(dict(batch))[0] - model.run(dict(batch))[0] for batch in batches]
    return float(np.sqrt(np.mean(np.square(errors))))


def test_channels_that_few_batches_do_not_have_are_no_larger_than_others() -> None:
    model, batches = kinds(40)
    plain = far(qcc.quantize(model, batches, without=["equalization"]), model, batches)
    assert far(qcc.quantize(model, batches), model, batches) < 1.1 * plain


def test_where_batches_come_once_a_notice_tells_of_them() -> None:
    model, batches = kinds(40)
    with pytest.warns(QccWarning, match="some channels become much larger on the data than on the first 8"):
        qcc.quantize(model, iter(batches))
