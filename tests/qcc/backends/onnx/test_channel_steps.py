"""What ONNX Runtime rounds in front of an activation is rounded in steps of its own for each channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static

import qcc
from qcc.backends.deploy.form import for_target
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.export import export
from qcc.calibrate.activations import scales_of
from qcc.calibrate.balanced import balanced, balanced_statistics, revised
from qcc.calibrate.collect import numbered
from qcc.calibrate.memo import Memo
from qcc.calibrate.own_steps import own_steps
from qcc.calibrate.plan import Plan, make_plan
from qcc.calibrate.statistics import Statistics
from qcc.ir.nodes import Op
from qcc.model import Model, Runner
from qcc.passes.channel_steps import FLAT_BELOW, OWN_STEPS, ChannelSteps
from qcc.passes.manager import PassManager
from qcc.targets.processor import has_vnni
from qcc.targets.table import find_target

TARGET = "onnxruntime+vnni" if has_vnni() else "onnxruntime"
SIZES = np.array([1, 1, 1, 1, 1, 30, 1 / 30, 100], np.float32)
DATA = [{"x0": floats(1, 3, 16, 16) * (1 + number / 10)} for number in range(4)]
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "hard_swish": F.hardswish,
    "swish": F.silu,
    "gelu": F.gelu,
    "mish": F.mish,
}


def net(name: str, *, bias: bool = True) -> Model:
    """Channels of very different sizes, in front of an activation, which matter alike behind it."""

    def build(x: Any) -> Any:
        y = static.nn.conv2d(x, 8, 3, param_attr="spread", bias_attr=None if bias else False)
        return static.nn.conv2d(ACTIVATIONS[name](y), 4, 3, param_attr="last")

    model = build_model(build, (DATA[0]["x0"],))
    model.weights["spread"] = model.weights["spread"] * SIZES.reshape(-1, 1, 1, 1)
    model.weights["last"] = model.weights["last"] / SIZES.reshape(1, -1, 1, 1)
    return model


def off(model: Model, folder: Path) -> tuple[float, float]:
    """How far the quantized model, and its file in the engine, are from the float one, on average."""
    quantized = qcc.quantize(model, DATA, target=TARGET)
    export(quantized, folder / "model.onnx", find_target(TARGET), check=DATA[0])
    (exact,) = model.run(DATA[0])
    with OnnxRuntime(folder / "model.onnx") as engine:
        (found,) = engine.run(DATA[0])
    return float(np.abs(quantized.run(DATA[0])[0] - exact).mean()), float(np.abs(found - exact).mean())


def products(ops: list[Op]) -> list[Op]:
    return [op for op in ops if op.attr(OWN_STEPS, False)]


def measured(plan: Plan) -> Statistics:
    from qcc.calibrate.accurate.steps import collecting

    return collecting(numbered(DATA))(plan)


def test_there_is_one_of_each() -> None:
    assert set(ACTIVATIONS) == set(FLAT_BELOW)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_file_is_as_good_as_the_model(name: str, tmp_path: Path) -> None:
    """Within a factor that rounding in one place more may cause; without VNNI weights are coarser, too."""
    of_model, of_file = off(net(name), tmp_path)
    assert of_file < (1.5 if has_vnni() else 2) * of_model


@pytest.mark.parametrize("name", ["hard_swish", "swish"])
def test_without_the_pass(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qcc.calibrate.balanced.own_steps", lambda plan, statistics: {})
    of_model, of_file = off(net(name), tmp_path)
    assert of_file > 4 * of_model


@pytest.mark.parametrize("bias", [True, False], ids=["with a bias", "without"])
def test_what_the_activation_reads_stays_to_the_last_bit(bias: bool) -> None:
    model = net("hard_swish", bias=bias)
    name = next(op.input("X").name for op in model.graph.ops if op.type == "hard_swish")
    step = ChannelSteps(octaves=(f"{name}=0 1 -2 3 0 0 -5 7",))
    changed = PassManager((step,)).run(model)
    assert len(products(changed.graph.ops)) == 1
    wanted = (name, *model.fetches)
    before, after = (Runner(one).run(DATA[0], wanted) for one in (model, changed))
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left, right)


def test_what_the_activation_makes_zero_does_not_count() -> None:
    """A channel that is far below zero needs steps for no more than what lies above -3."""
    model = net("hard_swish")
    bias = next(op.input("Y").name for op in model.graph.ops if op.type == "elementwise_add")
    model.weights[bias] = np.array([-40, 40, 0, 0, 0, 0, 0, 0], np.float32)
    plan = make_plan(model, (), TARGET)
    (octaves,) = own_steps(plan, measured(plan)).values()
    assert octaves[0] <= octaves[1] - 3


@pytest.mark.parametrize("stepped", [False, True], ids=["as it is", "with steps"])
def test_a_scale_reaches_down_to_what_counts(stepped: bool) -> None:
    """Of values of -40 in front of a hard_swish nothing comes, and -3 says that as well."""
    model = net("hard_swish")
    model.weights["spread"] = model.weights["spread"] / SIZES.reshape(-1, 1, 1, 1)
    add = next(op for op in model.graph.ops if op.type == "elementwise_add")
    model.weights[add.input("Y").name] = np.full(8, -40, np.float32)
    name, divided = add.output("Out").name, 1.0
    if stepped:
        divided = 4.0
        step = ChannelSteps(octaves=(f"{name}={' '.join(['2'] * 8)}",))
        model, name = PassManager((step,)).run(model), f"{name}.level"
    assert np.abs(Runner(model).run(DATA[0], (name,))[0]).min() > 30 / divided
    assert scales_of(model, {name: 8}, DATA)[name] == pytest.approx(3 / divided, rel=0.05)


def test_for_every_effort_and_no_other_target() -> None:
    model = net("hard_swish")
    left_out = ("absorption", "float-input", "bias-correction", "adaround")
    accurate = qcc.quantize(model, DATA, effort="accurate", target=TARGET, without=left_out)
    assert products(accurate.graph.ops)
    assert not products(qcc.quantize(model, DATA, target="openvino").graph.ops)
    assert not products(qcc.quantize(model, DATA).graph.ops)
    assert not products(qcc.quantize(model, iter(DATA), target=TARGET).graph.ops)  # comes once


def test_other_targets_take_the_product_back() -> None:
    quantized = qcc.quantize(net("hard_swish"), DATA, target=TARGET)
    assert products(quantized.graph.ops)
    assert not products(for_target(quantized, find_target("paddle-x86"))[0].graph.ops)


@pytest.mark.parametrize("few", [True, False], ids=["balanced", "by steps alone"])
def test_what_was_found_is_gone_on_with(few: bool, tmp_path: Path) -> None:
    memo, plan = Memo(tmp_path), make_plan(net("hard_swish"), (), TARGET)
    first = balanced(plan, numbered(DATA) if few else None, memo)
    after, _, notices = balanced_statistics(first, measured, memo, once=False)
    assert products(after.folded.graph.ops)
    assert not notices
    again = balanced(plan, numbered([]) if few else None, memo)
    assert again.plan.identity() == after.identity()
    assert again.plan.between == after.between
    assert revised(again, measured(again.plan), memo) is None
