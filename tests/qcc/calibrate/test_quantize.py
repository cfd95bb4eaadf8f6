"""qcc.quantize: from a float model and batches to a frozen one."""

from __future__ import annotations

import gc
from typing import Any

import nets
import numpy as np
import pytest
from lite_case import F, build_model, conv, floats, static

import qcc
from qcc._paddle import paddle
from qcc.calibrate.choose import choose
from qcc.calibrate.collect import Collector, numbered
from qcc.calibrate.observers import Calibrator
from qcc.calibrate.plan import make_plan
from qcc.calibrate.quantize import Effort
from qcc.calibrate.statistics import Statistics
from qcc.errors import ConfigError, DataError, ModelFormatError, QccWarning, TargetError
from qcc.model import Model
from qcc.quantization import quantized_ops, scheme, state

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> Model:
    """A norm behind a convolution with a bias, a residual, a depthwise convolution and an fc layer."""
    return nets.build(nets.residual_net)["test"]


@pytest.fixture(scope="module")
def batches() -> list[Arrays]:
    return [{"image": np.random.default_rng(n).standard_normal((2, 3, 12, 12)).astype("f")} for n in range(6)]


def collected(model: Model, batches: list[Arrays]) -> tuple[Any, Statistics]:
    plan = make_plan(model)
    statistics = plan.statistics()
    collector = Collector(plan.folded, statistics)
    for batch in numbered(batches):
        collector.run(batch, batch.read())
    return plan, statistics


def test_the_result_is_the_frozen_form(model: Model, batches: list[Arrays]) -> None:
    frozen = qcc.quantize(model, batches)
    assert state(frozen.graph) == "frozen"
    assert scheme(frozen.graph) == {
        "weight_type": ["channel_wise_abs_max"],
        "weight_bits": [8],
        "activation_type": ["moving_average_abs_max"],
        "activation_bits": [8],
        "ops": {"conv2d": 2, "mul": 1},
    }
    assert frozen.fetches == model.fetches
    assert not any(op.type == "batch_norm" for op in frozen.graph.ops)
    for batch in batches:
        (found,), (wanted,) = frozen.run(batch), model.run(batch)
        assert np.abs(found - wanted).max() < 0.02 * np.ptp(wanted)
    # The model that was given is as it was.
    assert state(model.graph) == "float"
    assert any(op.type == "batch_norm" for op in model.graph.ops)


@pytest.mark.parametrize("form", ["float", "int8", "qdq"])
def test_it_is_saved_in_all_forms(model: Model, batches: list[Arrays], form: str, tmp_path: Any) -> None:
    saved = qcc.save(qcc.quantize(model, batches), tmp_path, form=form)
    assert saved.form == form


def test_activations_are_those_of_the_run(model: Model, batches: list[Arrays]) -> None:
    plan, statistics = collected(model, batches)
    assert len(plan.activations) == 3
    runner = qcc.Runner(plan.folded)
    values = [runner.run(batch, plan.activations) for batch in batches]
    for name, *found in zip(plan.activations, *values, strict=True):
        seen, whole = statistics.seen(name), np.concatenate([value.ravel() for value in found])
        assert (seen.histogram.total, seen.zeros) == (whole.size, np.count_nonzero(whole == 0))
        assert (seen.histogram.smallest, seen.histogram.largest) == (whole.min(), whole.max())
        np.testing.assert_array_equal(seen.peaks, [np.abs(value).max() for value in found])


def test_scales_are_recorded_and_repeat(model: Model, batches: list[Arrays]) -> None:
    first, second = (qcc.quantize(model, batches) for _ in range(2))
    assert first.provenance == second.provenance
    assert first.graph.to_proto() == second.graph.to_proto()
    (pipeline,) = first.provenance.pipelines
    assert pipeline.startswith(
        "own-names,channels-first,einsum-to-matmul,fold-constants,constant-arguments,fuse-activations,"
        "fold-bn,correct-biases{biases=["
    )
    again = qcc.PassManager.parse(pipeline).run(model)
    for name, value in first.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)


@pytest.mark.parametrize("calibrator", ["abs_max", "kl"])
def test_another_calibrator(model: Model, batches: list[Arrays], calibrator: Calibrator) -> None:
    plan, statistics = collected(model, batches)
    quantized = choose(plan, statistics, calibrator, ("mse",)).freeze()
    for choice in quantized.choices:
        assert choice.calibrator == calibrator
        assert choice.scale == choice.scales[calibrator]
        assert choice.errors["mse"] <= choice.error * 1.0001
    scales = {choice.name: choice.scale for choice in quantized.choices}
    for name, scale in scales.items():
        np.testing.assert_array_equal(quantized.model.weights[f"{name}@scale"], np.float32([scale]))


def test_batches_may_come_one_by_one_and_lack_the_batch_dimension(
    model: Model, batches: list[Arrays]
) -> None:
    parts = [{"image": image} for batch in batches for image in batch["image"]]
    alone = qcc.quantize(model, iter(parts), calibrator="abs_max")
    together = qcc.quantize(model, batches, calibrator="abs_max")
    for name in alone.weights:
        np.testing.assert_allclose(alone.weights[name], together.weights[name], rtol=1e-6)


def test_what_is_zero_or_constant_is_told() -> None:
    def net(x: Any) -> Any:
        off = conv(4, 1)(F.relu(x * 0.0 - 1.0))
        return conv(8, 1)(x) + paddle.sum(off) + paddle.sum(conv(4, 1)(x * 0.0 + 6.0))

    model = build_model(net, (floats(1, 4, 8, 8),))
    plan, statistics = collected(model, [{"x0": floats(1, 4, 8, 8)}])
    quantized = choose(plan, statistics, "mse").freeze()
    zero, constant = quantized.notices
    assert "is zero on all of the data, and what reads it stays float" in zero
    assert "is the constant 6 on all of the data" in constant
    assert len(list(quantized_ops(quantized.model.graph))) == 2
    assert [choice.scale for choice in quantized.choices if choice.peak == 6] == [6]


def test_data_of_nothing_but_zeros_is_refused(model: Model, batches: list[Arrays]) -> None:
    zeros = [{"image": np.zeros_like(batch["image"])} for batch in batches]
    with pytest.raises(DataError, match="'image' is nothing but zeros"):
        qcc.quantize(model, zeros)
    qcc.quantize(model, [*zeros, batches[0]])


def test_what_is_never_reached_is_told() -> None:
    def net(x: Any) -> Any:
        picked = paddle.masked_select(x, x > 100.0)
        return conv(4, 1)(x), paddle.nn.Linear(4, 3)(paddle.reshape(picked, [-1, 4]))

    model = build_model(net, (floats(1, 4, 8, 8),))
    plan, statistics = collected(model, [{"x0": floats(1, 4, 8, 8)}])
    quantized = choose(plan, statistics, "mse").freeze()
    assert [notice.partition(" ")[2] for notice in quantized.notices] == [
        "was never reached: it is empty on all of the data; what reads it stays float."
    ]
    assert scheme(quantized.model.graph)["ops"] == {"conv2d": 1}


def test_one_image_that_is_not_normalized_changes_nothing(model: Model, batches: list[Arrays]) -> None:
    clean = qcc.quantize(model, batches)
    stranger = {"image": np.random.default_rng(9).uniform(0, 255, (2, 3, 12, 12)).astype("f")}
    with pytest.warns(
        QccWarning, match="batch 3 of the data does not belong to the rest: its values are [678]"
    ):
        with_stranger = qcc.quantize(model, [*batches[:2], stranger, *batches[2:]])
    for name, value in clean.weights.items():
        np.testing.assert_array_equal(with_stranger.weights[name], value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "there is no data"),
        ([np.zeros((1, 3, 12, 12), "f")], r"batch 1 of the data is a ndarray, where a mapping of an array"),
        ([{"x": np.zeros((1, 3, 12, 12), "f")}], r"batch 1 of the data has no array 'image'; it has \['x'\]"),
        ([{"image": np.zeros((1, 3, 12, 12))}], r"'image' is float64\[1, 3, 12, 12\], and the model is fed"),
        ([{"image": np.zeros((1, 4, 12, 12), "f")}], r"'image' is float32\[1, 4, 12, 12\], and the model is"),
        (
            [{"image": np.full((1, 3, 12, 12), np.nan, "f")}],
            "batch 1 of the data: 'image' holds a value that is",
        ),
        ([{"image": [[1.0]]}], "batch 1 of the data: 'image' is a list, where an array of numpy is wanted"),
        ([{"image": np.full((1, 3, 12, 12), 3e38, "f")}], "is not finite on batch 1 of the data"),
        ([{"image": np.zeros((1, 3, 12, 12), "f")}], "'image' is nothing but zeros"),
    ],
)
def test_data_that_gives_no_scales(model: Model, given: list[Any], words: str) -> None:
    if "all inputs" in words:
        model = build_model(lambda x: conv(8, 1)(x), (floats(2, 3, 12, 12),))
        given = [{"x0": given[0]["image"]}]
    with pytest.raises(DataError, match=words):
        qcc.quantize(model, given)


@pytest.mark.parametrize(
    ("weight", "value", "words"),
    [
        ("conv2d_0.w_0", np.inf, "'conv2d_0.w_0' holds values that are not finite: training"),
        ("batch_norm_0.w_2", np.nan, "'batch_norm_0.w_2' holds NaN: training may have diverged"),
        ("batch_norm_0.w_2", -1.0, "'conv2d_0.w_0' holds values that are not finite, once the norm"),
    ],
)
def test_weights_without_a_scale_are_named(
    model: Model, batches: list[Arrays], weight: str, value: float, words: str
) -> None:
    broken = model.copy()
    broken.weights[weight] = np.full_like(model.weights[weight], value)

    with pytest.raises(ModelFormatError, match=words):
        qcc.quantize(broken, batches)


@pytest.mark.parametrize("effort", ["calibrated", "accurate"])
def test_an_array_without_the_batch_dimension_is_a_batch_of_one(
    model: Model, batches: list[Arrays], effort: Effort
) -> None:
    wanted = qcc.quantize(model, [{"image": batch["image"][:1]} for batch in batches], effort)
    found = qcc.quantize(model, [{"image": batch["image"][0]} for batch in batches], effort)
    for name, value in wanted.weights.items():
        np.testing.assert_array_equal(found.weights[name], value)


def test_models_that_are_not_quantized(model: Model, batches: list[Arrays]) -> None:
    with pytest.raises(
        ModelFormatError, match=r"what is quantized is a float one: .* or `qcc freeze` writes"
    ):
        qcc.quantize(qcc.quantize(model, batches), batches)
    with pytest.raises(ModelFormatError, match="is a training graph"):
        qcc.quantize(nets.build(nets.residual_net)["train"], batches)
    nothing = build_model(lambda x: F.relu(x), (floats(1, 4),))
    with pytest.raises(
        ModelFormatError, match="the model has nothing to quantize: nothing was quantized: no op"
    ):
        qcc.quantize(nothing, [])
    doubles = build_model(lambda x: static.nn.fc(x, 3), (floats(1, 4).astype(np.float64),))
    with pytest.raises(ModelFormatError, match="weights are float64, where float32 is quantized"):
        qcc.quantize(doubles, [])
    with pytest.raises(TargetError, match="did you mean 'lite-arm'"):
        qcc.quantize(model, batches, target="lite-amr")
    with pytest.raises(ConfigError, match="there is no effort 'best'; there are calibrated, accurate"):
        qcc.quantize(model, batches, "best")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="there is no calibrator 'mae'; did you mean 'mse'"):
        qcc.quantize(model, batches, calibrator="mae")  # type: ignore[arg-type]


def test_what_a_target_computes_in_float_stays_float() -> None:
    def net(x: Any) -> Any:
        return paddle.nn.Conv2DTranspose(8, 4, 2)(F.relu(conv(8, 1)(x)))

    model, data = build_model(net, (floats(1, 4, 8, 8),)), [{"x0": floats(1, 4, 8, 8)}]
    ops = {"conv2d": 1, "conv2d_transpose": 1}
    assert scheme(qcc.quantize(model, data).graph)["ops"] == ops
    assert scheme(qcc.quantize(model, data, target="lite-arm").graph)["ops"] == ops
    found = qcc.quantize(model, data, target="paddle-x86")
    assert scheme(found.graph)["ops"] == {"conv2d": 1}
    # Its weights are those of the float model.
    (before,) = (op.input("Filter").name for op in model.graph.ops if op.type == "conv2d_transpose")
    np.testing.assert_array_equal(found.weights[before], model.weights[before])


def test_skipped_variables_stay_float(model: Model, batches: list[Arrays]) -> None:
    (weight,) = (op.input("Y").name for op in model.graph.ops if op.type == "mul")
    assert "mul" not in scheme(qcc.quantize(model, batches, skip_vars=[weight]).graph)["ops"]
    assert scheme(qcc.quantize(model, batches, skip_vars=["conv2d*"]).graph)["ops"] == {"mul": 1}


def test_paddle_keeps_no_more_functions_than_one_model_needs(model: Model, batches: list[Arrays]) -> None:
    registry = paddle.static.nn.common.PyFuncRegistry
    qcc.quantize(model, batches[:1])
    count = registry.registered_func_num()
    for _ in range(3):
        qcc.quantize(model, batches[:1])
    gc.collect()
    assert registry.registered_func_num() == count


def test_channels_spread_in_front_of_a_norm_lose_nothing(model: Model, batches: list[Arrays]) -> None:
    """Weights that spread 1 : 1000 over channels, which the norm behind undoes: what is rounded are the
    weights that are computed with."""
    spread = model.copy()
    (norm,) = (op for op in model.graph.ops if op.type == "batch_norm")
    mean, variance = norm.input("Mean").name, norm.input("Variance").name
    (conv_,) = (op for op in model.graph.ops if op.type == "conv2d" and op.input("Input").name == "image")
    filter_ = conv_.input("Filter").name
    factor = np.logspace(0, 3, 8, dtype=np.float32)
    spread.weights[filter_] = model.weights[filter_] * factor.reshape(-1, 1, 1, 1)
    spread.weights[mean] = model.weights[mean] * factor
    # The bias between the two is 0.
    epsilon = norm.attr("epsilon")
    spread.weights[variance] = (model.weights[variance] + epsilon) * factor**2 - epsilon
    (wanted,), (found,) = (qcc.quantize(one, batches).run(batches[0]) for one in (model, spread))
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.ptp(wanted))


def test_names_are_no_patterns() -> None:
    """A layer that is to stay float is named by its weight, whatever that is called."""

    def build(x: Any) -> Any:
        for name in ("w[0]", "w*", "w0"):
            x = static.nn.conv2d(x, 4, 1, param_attr=paddle.ParamAttr(name=name), bias_attr=False)
        return x

    plan = make_plan(build_model(build, (floats(1, 4, 4, 4),)))
    assert plan.skipping(["w[0]"]).weights == {"w*", "w0"}
    assert plan.skipping(["w*"]).weights == {"w[0]", "w0"}
