"""Effort accurate on networks that are hard on purpose, and budgets."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hard_nets import FEED, KINDS, HardNet, hard_net
from lite_case import F, build_model, conv, floats

import qcc
from qcc._paddle import paddle
from qcc.backends.rounded import as_rounded
from qcc.calibrate import equalization
from qcc.calibrate.accurate import reconstruction
from qcc.calibrate.accurate.budget import Budget, fewest, tries
from qcc.calibrate.accurate.judge import Judge
from qcc.calibrate.accurate.steps import STEPS, Attempt, Improvement, Samples, collecting
from qcc.calibrate.choose import choose
from qcc.calibrate.collect import numbered
from qcc.calibrate.data.batches import Batches
from qcc.calibrate.memo import Memo
from qcc.calibrate.plan import make_plan
from qcc.calibrate.quantize import Effort
from qcc.errors import ConfigError, DataError, QccWarning
from qcc.model import Model
from qcc.quantization import quantized_ops, state

SPREAD = "activation 1 : 1000"
FOR_CALIBRATED = ("easy", "depthwise weights 1 : 1000", "one image not normalized")


@pytest.fixture(scope="module")
def spread() -> HardNet:
    return hard_net(SPREAD, calibration=9, test=300)


class Stop(Exception):
    pass


class Listening:
    """Hears how far the steps are, and stops where it is told to."""

    def __init__(self, stop_in: str = "", at: int = 0) -> None:
        self.heard: list[str] = []
        self._stop = stop_in, at

    def step(self, name: str) -> None:
        self.heard.append(name)

    def progress(self, done: int, total: int) -> None:
        if (self.heard[-1:], done) == ([self._stop[0]], self._stop[1]):
            raise Stop


def improvement(net: HardNet, without: Any = (), memo: Memo | None = None, **options: Any) -> Improvement:
    batches = list(numbered(net.calibration))
    samples = Samples.of(batches)
    judge = Judge(net.model, samples.held_back)
    memo = Memo() if memo is None else memo
    return Improvement(samples, judge, collecting(batches), "mse", without=without, memo=memo, **options)


def run(net: HardNet, steps: Improvement) -> Attempt:
    plan = make_plan(net.model)
    return steps.run(plan, collecting(list(numbered(net.calibration)))(plan))


def same(left: Model, right: Model) -> bool:
    return all((left.weights[name] == value).all() for name, value in right.weights.items())


def test_it_undoes_what_ruins_calibration(spread: HardNet) -> None:
    plain = qcc.quantize(spread.model, spread.calibration, without=["equalization", "bias-correction"])
    assert spread.agreement(plain) < 0.9
    for effort in get_args(Effort):
        found = qcc.quantize(spread.model, spread.calibration, effort)
        assert spread.agreement(found) >= 0.99
        assert state(found.graph) == "frozen"
        assert found.fetches == spread.model.fetches
        assert any("equalize{octaves=[" in text for text in found.provenance.pipelines)


@pytest.mark.slow
def test_it_gives_the_same_at_every_run(spread: HardNet) -> None:
    first, second = (qcc.quantize(spread.model, iter(spread.calibration), "accurate") for _ in range(2))
    assert first.provenance == second.provenance
    assert same(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_hard_nets_come_back(kind: str) -> None:
    net = hard_net(kind, calibration=24)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QccWarning)
        accurate = qcc.quantize(net.model, net.calibration, "accurate")
        calibrated = qcc.quantize(net.model, net.calibration)
    assert net.agreement(accurate) >= 0.99
    if kind in FOR_CALIBRATED:
        assert net.agreement(calibrated) >= 0.99


def test_steps_are_judged_by_what_the_file_of_the_target_rounds(spread: HardNet) -> None:
    steps = improvement(spread, without=[step for step in STEPS if step != "equalization"])
    plan = make_plan(spread.model, target="onnxruntime+vnni")
    best = steps.run(plan, collecting(list(numbered(spread.calibration)))(plan))
    (step,) = steps.steps
    assert step.kept
    assert step.after == steps.judge.error(as_rounded(best.freeze().model, plan.table))
    assert step.after != steps.judge.error(best.freeze().model)


def test_steps_can_be_left_out_and_tell_what_they_gain(spread: HardNet) -> None:
    steps = improvement(spread, without=[step for step in STEPS if step != "equalization"])
    run(spread, steps)
    (step,) = steps.steps
    assert step.kept
    assert step.after is not None
    assert step.after < 0.2 * step.before
    assert str(step).startswith("equalization: error ")
    with pytest.raises(ConfigError, match="there is no step 'adaroun'; did you mean 'adaround'"):
        qcc.quantize(spread.model, spread.calibration, "accurate", without=["adaroun"])


@pytest.mark.parametrize(("times", "kept"), [(1000, True), (1, False)])
def test_layers_that_read_the_input_stay_float_where_most_is_lost_there(times: int, kept: bool) -> None:
    """One of two channels is fed in values `times` times as large as the other's, and both matter alike."""

    def net(x: Any) -> Any:
        for channels in (8, 8, 8, 8, 4):
            x = F.relu(conv(channels, 1)(x))
        return x

    random = np.random.default_rng(0)
    image = random.standard_normal((6, 1, 2, 8, 8)).astype(np.float32)
    model = build_model(net, (image[0],))
    first = next(op.input("Filter").name for op in model.graph.ops if op.type == "conv2d")
    factors = np.array([1, times], np.float32).reshape(1, 2, 1, 1)
    model.weights[first] = random.standard_normal((8, 2, 1, 1)).astype(np.float32) / factors
    image *= factors
    batches = list(numbered([{FEED: one} for one in image]))
    steps = Improvement(
        Samples.of(batches), Judge(model, batches), collecting(batches), "mse", without=["adaround"]
    )
    plan = make_plan(model)
    attempt = steps.run(plan, collecting(batches)(plan))
    (step,) = (step for step in steps.steps if step.name == "float-input")
    assert step.kept == kept
    assert (first not in attempt.chosen.plan.weights) == kept


def drowned(times: int) -> tuple[Model, list[Any]]:
    """A model and its data: one of eight channels is so many times as large behind hard_swish, and all matter
    alike."""
    random = np.random.default_rng(0)
    model = build_model(lambda x: conv(4, 1)(F.hardswish(conv(8, 1)(x))), (floats(1, 4, 8, 8),))
    first, last = (op.input("Filter").name for op in model.graph.ops if op.type == "conv2d")
    factors = np.array([times, 1, 1, 1, 1, 1, 1, 1], np.float32)
    made, read = (random.standard_normal(shape).astype(np.float32) for shape in ((8, 4, 1, 1), (4, 8, 1, 1)))
    model.weights[first] = made * factors.reshape(8, 1, 1, 1)
    model.weights[last] = read / factors.reshape(1, 8, 1, 1)
    return model, [{FEED: one} for one in random.standard_normal((6, 1, 4, 8, 8), np.float32)]


def products(model: Model) -> int:
    return [op.type for op in model.graph.ops].count("elementwise_mul")


@pytest.mark.parametrize(("times", "kept"), [(300, True), (1, False)])
def test_channels_come_to_like_ranges_behind_what_no_factor_passes(times: int, kept: bool) -> None:
    model, data = drowned(times)
    batches = list(numbered(data))
    without = [step for step in STEPS if step not in ("equalization", "channel-gains")]
    steps = Improvement(
        Samples.of(batches), Judge(model, batches), collecting(batches), "mse", without=without
    )
    plan = make_plan(model)
    attempt = steps.run(plan, collecting(batches)(plan))
    equalized, gained = steps.steps
    assert equalized.after is None
    assert gained.kept == kept
    assert products(attempt.freeze().model) == kept
    if kept:
        assert gained.after is not None
        assert gained.after < 0.2 * gained.before


@pytest.mark.parametrize(
    ("times", "target", "count"),
    [
        (300, "openvino", 1),
        (300, "onnxruntime", 2),  # and one in front of the activation
        (300, "paddle-x86", 0),
        (300, None, 0),
        (1, "openvino", 0),
    ],
)
def test_without_effort_they_do_where_that_costs_nothing(times: int, target: str | None, count: int) -> None:
    model, data = drowned(times)
    found = qcc.quantize(model, data, target=target)
    assert products(found) == count
    with warnings.catch_warnings():
        warnings.simplefilter("error", QccWarning)
        assert products(qcc.quantize(model, iter(data), target=target)) == 0  # which come once
    if count:
        plain = qcc.quantize(model, data)
        wanted = model.run(data[0])[0]
        errors = [np.abs(one.run(data[0])[0] - wanted).mean() for one in (found, plain)]
        assert errors[0] < 0.2 * errors[1]


def test_a_step_that_makes_it_worse_is_undone(spread: HardNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction.Products, "missing_mean", lambda self, moved: 3.0 + 0 * self.missing)
    steps = improvement(spread, without=["channel-gains", "absorption", "float-input", "adaround"])
    attempt = run(spread, steps)
    assert [step.kept for step in steps.steps] == [True, False]
    assert str(steps.steps[1]).endswith(", and was undone")
    assert attempt.learned == ()


def test_it_goes_on_where_it_was_stopped(
    spread: HardNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    solve = reconstruction.adaround

    def counted(*given: Any, even: bool) -> np.ndarray:
        calls.append(given)
        return solve(*given, even=even)

    monkeypatch.setattr(reconstruction, "adaround", counted)
    left_out = ["equalization", "channel-gains", "absorption", "float-input", "bias-correction"]
    whole = run(spread, improvement(spread, left_out)).freeze().model
    layers = len(calls)
    with pytest.raises(Stop):
        run(spread, improvement(spread, left_out, Memo(tmp_path), listener=Listening("adaround", 3)))
    assert len(calls) == layers + 3
    listener = Listening()
    again = run(spread, improvement(spread, left_out, Memo(tmp_path), listener=listener)).freeze().model
    assert len(calls) == 2 * layers
    assert listener.heard == ["adaround"]
    assert same(whole, again)


def test_images_for_which_there_is_no_memory_are_let_go(
    spread: HardNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "MEMORY", 0)
    plan = make_plan(spread.model)
    batches = list(numbered([*spread.calibration, *spread.calibration]))
    chosen = choose(plan, collecting(batches)(plan), "mse")
    read: list[int] = []

    def noted(place: int) -> Any:
        read.append(place)
        return batches[place].read()

    counted = list(numbered(Batches(range(len(batches)), noted)))
    learned = reconstruction.reconstruct(chosen, counted, reconstruction.Methods(True, False))
    assert read == list(range(2 * reconstruction.CHECKED))
    assert len(learned) == 5
    assert all(np.isfinite(value).all() for one in learned for value in one.values.values())


def test_few_images_are_not_held_back() -> None:
    batches = list(numbered([{FEED: np.zeros(1)}] * 3))
    assert Samples.of(batches).held_back == Samples.of(batches).learned_from == batches
    many = list(numbered([{FEED: np.zeros(1)}] * 300))
    samples = Samples.of(many)
    assert (len(samples.learned_from), len(samples.held_back)) == (64, 64)
    assert not {one.number for one in samples.learned_from} & {one.number for one in samples.held_back}
    assert len(samples.not_learned_from(many)) == 236
    with pytest.raises(DataError, match="no data that could be read again"):
        Samples.of([])


def test_a_budget_keeps_the_layers_float_that_cost_most(spread: HardNet, tmp_path: Path) -> None:
    plan = make_plan(spread.model)
    batches = list(numbered(spread.calibration))
    attempt = Attempt(choose(plan, collecting(batches)(plan), "mse"))
    judge = Judge(spread.model, batches)
    asked: list[int] = []

    def metric(model: Model) -> float:
        asked.append(len(list(quantized_ops(model.graph))))
        return spread.agreement(model)

    outcome = Budget(metric, 0.99, 1.0, judge, "agreement", Memo(tmp_path)).meet(attempt)
    assert outcome.met
    assert [layer.weight for layer in outcome.layers] == ["last"]
    assert outcome.layers[0].size == 3 * 32 * 32 * 9
    assert [(one.layers, one.value >= 0.99) for one in outcome.tried] == [(0, False), (1, True)]
    assert asked == [5, 4]
    assert len(list(quantized_ops(outcome.attempt.freeze().model.graph))) == 4

    # What was measured is not measured again.
    Budget(metric, 0.99, 1.0, judge, "agreement", Memo(tmp_path)).meet(attempt)
    assert asked == [5, 4]


@pytest.mark.parametrize("target", ["onnxruntime+vnni", "openvino+vnni"])
def test_a_budget_is_about_what_the_file_of_the_target_rounds(target: str) -> None:
    def net(x: Any) -> Any:
        return paddle.nn.functional.relu(conv(4, 3)(paddle.nn.functional.hardswish(conv(4, 3)(x))))

    model, images = build_model(net, (floats(1, 4, 8, 8),)), [{FEED: floats(1, 4, 8, 8)}]
    batches = list(numbered(images))
    plan = make_plan(model, target=target)
    attempt = Attempt(choose(plan, collecting(batches)(plan), "mse"))

    def metric(model: Model) -> float:
        return float(model.run(images[0])[0].sum())

    frozen = attempt.freeze().model
    value = Budget(metric, -np.inf, 1.0, Judge(model, batches), "").meet(attempt).value
    assert value == metric(as_rounded(frozen, plan.table))
    # ONNX Runtime's file rounds behind each convolution as well.
    assert (value == metric(frozen)) == (target == "openvino+vnni")


def test_a_budget_that_cannot_be_met_gives_the_best(spread: HardNet) -> None:
    plan = make_plan(spread.model)
    batches = list(numbered(spread.calibration[:3]))
    attempt = Attempt(choose(plan, collecting(batches)(plan), "mse"))
    values = {5: 0.3, 4: 0.7, 3: 0.6, 2: 0.6, 1: 0.65}

    def metric(model: Model) -> float:
        return values[len(list(quantized_ops(model.graph)))]

    outcome = Budget(metric, 0.9, 1.0, Judge(spread.model, batches), "").meet(attempt)
    assert not outcome.met
    assert (len(outcome.layers), outcome.value) == (1, 0.7)
    tried = [one.layers for one in outcome.tried]
    assert (tried[:2], tried[-1]) == ([0, 1], 4)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 21, 101])
def test_the_fewest_are_found_in_few_tries(most: int) -> None:
    counts = set()
    for guess in (1, most // 2, most + 1):
        for enough in range(1, most + 2):
            tried: list[int] = []

            def good(count: int, tried: list[int] = tried, enough: int = enough) -> bool:
                tried.append(count)
                return count >= enough

            assert fewest(good, most, guess) == (enough if enough <= most else None)
            assert len(tried) == len(set(tried))
            counts.add(len(tried))
    assert max(counts) <= tries(most)


def test_attempts_that_leave_other_layers_float_are_told_apart() -> None:
    def net(x: Any) -> Any:
        return conv(4, 1)(x), conv(4, 1)(x), conv(4, 1)(x)

    model, images = build_model(net, (floats(1, 4, 8, 8),)), [{FEED: floats(1, 4, 8, 8)}]
    plan = make_plan(model)
    attempt = Attempt(choose(plan, collecting(list(numbered(images)))(plan), "mse"))
    weights = sorted(plan.weights)
    assert len({attempt.leaving([weight]).identity() for weight in weights}) == 3


@pytest.mark.parametrize("count", [2, 3])
def test_few_batches_are_learned_from_and_checked_by(spread: HardNet, count: int) -> None:
    plan, batches = make_plan(spread.model), list(numbered(spread.calibration[:count]))
    chosen = choose(plan, collecting(batches)(plan), "mse")
    learned = reconstruction.reconstruct(chosen, batches, reconstruction.Methods(False, True))
    assert any(one.gain < 1 for one in learned)


def test_one_batch_is_too_few_to_round_by(spread: HardNet) -> None:
    net = HardNet(**{**vars(spread), "calibration": spread.calibration[:1]})
    steps = improvement(
        net, without=["equalization", "channel-gains", "absorption", "float-input", "bias-correction"]
    )
    run(net, steps)
    assert str(steps.steps[0]).startswith("adaround: one batch is too few")


def _rows_found(x: Any) -> Any:
    """A layer on as many rows as the one before it gives values above zero."""
    x = paddle.nn.Linear(8, 8)(x)
    return paddle.nn.Linear(8, 4)(paddle.gather_nd(x, paddle.nonzero(x[:, 0] > 0)))


def test_a_number_of_rows_that_depends_on_values_is_told() -> None:
    model = build_model(_rows_found, (floats(2000, 8),))
    random = np.random.default_rng(0)
    images = [{FEED: random.standard_normal((2000, 8)).astype(np.float32)} for _ in range(4)]
    net = HardNet(model, images, images[0])
    steps = improvement(net, without=["equalization", "channel-gains", "absorption", "float-input"])
    run(net, steps)
    for step in steps.steps:
        assert "its size depends on values that rounding moves" in step.note


def test_relu6_on_batches_of_several_sizes() -> None:
    model = build_model(
        lambda x: F.relu6(paddle.transpose(conv(4, 1)(x), [1, 0, 2, 3])), (floats(1, 4, 8, 8),)
    )
    batches = list(numbered([{FEED: floats(size, 4, 8, 8)} for size in (1, 2)]))
    (name,) = equalization._below_limit(model, batches)
    assert name == model.fetches[0]
    assert not equalization._below_limit(model, list(numbered([{FEED: 100 * floats(1, 4, 8, 8)}])))
