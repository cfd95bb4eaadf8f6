"""Kernels and strides of even width, of which oneDNN's kernels for AMX take several columns at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import in_paddle
from lite_case import F, build_model, static
from onnx_files import exported, frozen, needs_openvino, without, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends.deploy.form import for_target
from qcc.errors import OutputError
from qcc.model import Model
from qcc.targets.processor import cpu_flags
from qcc.targets.table import Target, find_target

on_amx = pytest.mark.skipif("amx_int8" not in cpu_flags(), reason="this processor has no AMX")

# What the convolution reads, and its options; the first two go wrong in OpenVINO as well.
WIDENED: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "8x8 of 16": ((16, 16, 24), {"filter_size": 8, "stride": 8}),
    "4x4 of 32": ((32, 8, 12), {"filter_size": 4, "stride": 4}),
    "2x2 of 96": ((96, 8, 8), {"filter_size": 2, "stride": 2}),
    "1x2 of 160": ((160, 8, 8), {"filter_size": (1, 2), "stride": (1, 2)}),
    "4x4 stride 2": ((160, 8, 12), {"filter_size": 4, "stride": 2}),
    "padded above": ((160, 8, 8), {"filter_size": 2, "stride": 2, "padding": (1, 0)}),
    "VALID": ((160, 8, 8), {"filter_size": 2, "stride": 2, "padding": "VALID"}),
    "SAME": ((160, 8, 8), {"filter_size": 2, "stride": 2, "padding": "SAME"}),
}
KEPT: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "one block": ((32, 8, 8), {"filter_size": 2, "stride": 2}),
    "whole blocks": ((128, 8, 8), {"filter_size": 2, "stride": 2}),
    "no block": ((40, 8, 8), {"filter_size": 4, "stride": 4}),
    "an odd kernel": ((160, 8, 9), {"filter_size": 3, "stride": 2}),
    "an odd image": ((160, 8, 9), {"filter_size": 2, "stride": 2}),
    "padded": ((160, 8, 8), {"filter_size": 2, "stride": 2, "padding": (0, 1)}),
    "groups": ((192, 8, 8), {"filter_size": 2, "stride": 2, "groups": 2}),
    "high": ((160, 8, 8), {"filter_size": (2, 1), "stride": (2, 1)}),
}


def net(shape: tuple[int, int, int], options: dict[str, Any]) -> tuple[Model, dict[str, np.ndarray]]:
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    model = build_model(lambda image: static.nn.conv2d(F.relu(image), 64, **options), (x,))
    return frozen(model, {"x0": x}), {"x0": x}


def widened(model: Model) -> int:
    return sum(var.name.endswith(".odd") for var in model.graph.vars)


def off(model: Model, inputs: dict[str, np.ndarray], target: Target, folder: Path) -> float:
    (wanted,) = model.run(inputs)
    return float(np.abs(in_paddle(model, inputs, target, folder) - wanted).max() / np.ptp(wanted))


@pytest.mark.parametrize("name", WIDENED)
def test_it_computes_what_it_did(name: str) -> None:
    model, inputs = net(*WIDENED[name])
    (before,) = for_target(model, without_step("paddle-x86", "odd-kernels"))[0].run(inputs)
    formed = for_target(model, find_target("paddle-x86"))[0]
    assert widened(formed) == 1
    (after,) = formed.run(inputs)
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-6 * np.abs(before).max())


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    model, _ = net(*KEPT[name])
    assert not widened(for_target(model, find_target("paddle-x86"))[0])


def test_an_open_width() -> None:
    """Some may be one of those that go wrong; the others give as many columns as before."""
    model, inputs = net(*WIDENED["2x2 of 96"])
    for var in model.graph.vars:
        if len(var.shape) == 4 and not var.persistable:
            var.desc.set_shape([-1, var.shape[1], -1, -1])
    before = for_target(model, without_step("paddle-x86", "odd-kernels"))[0]
    after = for_target(model, find_target("paddle-x86"))[0]
    assert widened(after) == 1
    for width in (7, 8):
        cut = {"x0": inputs["x0"][..., :width]}
        np.testing.assert_allclose(after.run(cut)[0], before.run(cut)[0], rtol=0, atol=1e-5)


def test_a_weight_that_another_layer_reads_stays() -> None:
    x = np.random.default_rng(0).normal(size=(1, 160, 8, 8)).astype(np.float32)

    def build(image: Any) -> Any:
        weight = paddle.ParamAttr(name="w")
        return [static.nn.conv2d(image, 8, 2, stride, param_attr=weight) for stride in (1, 2)]

    model = frozen(build_model(build, (x,)), {"x0": x})
    assert not widened(for_target(model, find_target("paddle-x86"))[0])


@pytest.mark.parametrize("name", WIDENED)
def test_right_in_paddle(name: str, tmp_path: Path) -> None:
    """Without VNNI sums are kept from being clipped by coarser activations."""
    model, inputs = net(*WIDENED[name])
    assert off(model, inputs, find_target("paddle-x86"), tmp_path) < 0.02


@on_amx
@pytest.mark.parametrize("name", WIDENED)
def test_wrong_in_paddle_without_it(name: str, tmp_path: Path) -> None:
    model, inputs = net(*WIDENED[name])
    assert off(model, inputs, without_step("paddle-x86", "odd-kernels"), tmp_path) > 0.2


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("name", WIDENED)
def test_right_in_openvino(name: str, tmp_path: Path) -> None:
    """Of both files that it reads; kernels of more channels stay, which it gets right."""
    model, inputs = net(*WIDENED[name])
    formed = for_target(model, find_target("openvino"))[0]
    assert widened(formed) == (WIDENED[name][0][0] < 64)
    assert not qcc.save(model, tmp_path / "qdq", target="openvino", check=inputs).warnings
    exported(model, inputs, "openvino", tmp_path)


@on_amx
@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("name", ["8x8 of 16", "4x4 of 32"])
def test_wrong_in_openvino_without_it(name: str, tmp_path: Path) -> None:
    model, inputs = net(*WIDENED[name])
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: .*, which is wrong"):
        exported(model, inputs, without("openvino", "odd-kernels"), tmp_path)
