"""The form for paddle-x86 in the engine itself: each fact and fault of its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_nets import NETS, assert_its_case_is_there, engine_net, in_paddle
from lite_case import F, build_model, static

import qcc
from qcc.calibrate.activations import calibrated
from qcc.model import Model
from qcc.targets.table import find_target

CONVOLUTIONS = {
    "1x1": {"filter_size": 1},
    "3x3": {"filter_size": 3, "padding": 1},
    "5x5 stride 2": {"filter_size": 5, "stride": 2},
    "3x3 dilation 2": {"filter_size": 3, "dilation": 2},
    "3x3 groups 2": {"filter_size": 3, "groups": 2},
    "1x1 groups 4": {"filter_size": 1, "groups": 4},
    "3x3 depthwise": {"filter_size": 3, "groups": 8},
}


def in_engine(model: Model, inputs: dict[str, np.ndarray], folder: Path) -> np.ndarray:
    """What the engine gives for a frozen model in the form for it."""
    return in_paddle(model, inputs, find_target("paddle-x86"), folder)


def frozen(model: Model, inputs: dict[str, np.ndarray], scheme: str) -> Model:
    """The model, quantized with the largest magnitudes on its inputs as scales."""
    transformed = qcc.PassManager.parse(f"transform{{{scheme}}}").run(model)
    return qcc.PassManager.parse("freeze,prune").run(calibrated(transformed, [inputs]))


def frozen_conv(
    weight: np.ndarray, x: np.ndarray, options: dict[str, int], bits: int = 8, slope: float = 0.0
) -> Model:
    """A convolution behind relu, or leaky_relu of a slope; `weight`: [out, in / groups, h, w]."""

    def build(image: object) -> object:
        positive = F.leaky_relu(image, slope) if slope else F.relu(image)
        return static.nn.conv2d(positive, len(weight), bias_attr=False, **options)

    model = build_model(build, (x,))
    (name,) = (name for name, value in model.weights.items() if value.ndim == 4)
    model.weights[name] = weight
    scheme = f"weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max,weight_bits={bits}"
    return frozen(model, {"x0": x}, scheme)


def weights_like(options: dict[str, int], channels: int, generator: np.random.Generator) -> np.ndarray:
    """Whole numbers up to 127, which each output channel reaches: quantized, they are these integers."""
    size = options["filter_size"]
    values = generator.integers(-127, 128, (8, channels // options.get("groups", 1), size, size))
    values[:, 0, 0, 0] = 127
    return values.astype(np.float32)


@pytest.mark.parametrize("name", NETS)
def test_cases(name: str, tmp_path: Path) -> None:
    """Within a twentieth of the largest value: some steps of 1/127, and those of weights of 7 bits."""
    net, inputs = engine_net(name)
    weight_type = "abs_max" if name == "left_weight" else "channel_wise_abs_max"
    model = frozen(net, inputs, f"weight_type={weight_type},activation_type=moving_average_abs_max")
    (expected,), found = model.run(inputs), in_engine(model, inputs, tmp_path)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.03)


@pytest.mark.parametrize("channels", [3, 8, 20])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions_are_exact(options: dict[str, int], channels: int, tmp_path: Path) -> None:
    """On activations of 0 and the scale itself, which have no rounding in either form."""
    if channels % options.get("groups", 1):
        pytest.skip(f"{channels} channels do not make {options['groups']} groups.")
    generator = np.random.default_rng(channels)
    x = generator.integers(0, 2, (1, channels, 12, 12)).astype(np.float32) * 3
    model = frozen_conv(weights_like(options, channels, generator), x, options)
    (expected,), found = model.run({"x0": x}), in_engine(model, {"x0": x}, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_nothing_is_clipped(options: dict[str, int], tmp_path: Path) -> None:
    """All weights and activations at their largest: half of it would be lost."""
    weight = np.full_like(weights_like(options, 8, np.random.default_rng(0)), 127)
    x = np.full((1, 8, 12, 12), 3, np.float32)
    model = frozen_conv(weight, x, options)
    (expected,), found = model.run({"x0": x}), in_engine(model, {"x0": x}, tmp_path)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_signed_activations_are_within_seven_bits(options: dict[str, int], tmp_path: Path) -> None:
    """Each weight is off by at most one of its integers' steps, half a step of 7 bits."""
    generator = np.random.default_rng(1)
    x = generator.integers(-1, 2, (1, 8, 12, 12)).astype(np.float32) * 3
    model = frozen_conv(weights_like(options, 8, generator), x, options, slope=1.0)
    (expected,), found = model.run({"x0": x}), in_engine(model, {"x0": x}, tmp_path)
    terms = 8 // options.get("groups", 1) * options["filter_size"] ** 2
    assert np.abs(found - expected).max() <= 3 * terms * 1.001


@pytest.mark.parametrize("bits", [7, 4])
def test_fewer_bits(bits: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(bits)
    x = generator.integers(0, 2, (1, 8, 12, 12)).astype(np.float32) * 3
    options = CONVOLUTIONS["3x3"]
    model = frozen_conv(weights_like(options, 8, generator), x, options, bits=bits)
    (expected,), found = model.run({"x0": x}), in_engine(model, {"x0": x}, tmp_path)
    # The engine rounds the values once more, to 127 steps: each weight is off by half of one at most.
    assert np.abs(found - expected).max() <= 3 * 8 * 9 * 0.5 * 1.001
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.01)


def test_every_row_of_the_table_has_its_case() -> None:
    target = find_target("paddle-x86")
    for row in (*target.facts, *target.faults):
        assert_its_case_is_there(row.case)
