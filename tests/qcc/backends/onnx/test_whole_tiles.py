"""Channels that do not fill the tiles of ONNX Runtime's kernels for AMX."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, without

from qcc._paddle import paddle
from qcc.backends.onnx.form import prepare, unmeasured
from qcc.calibrate.activations import scales_of
from qcc.errors import OutputError
from qcc.model import Model
from qcc.targets.processor import cpu_flags
from qcc.targets.table import find_target

TARGET = find_target("onnxruntime")
IS_WRONG = "amx_int8" in cpu_flags() and (1, 21) <= tuple(map(int, version("onnxruntime").split(".")[:2])) < (
    1,
    25,
)

Build = Callable[[Any], Any]


def conv(x: Any, channels: int, groups: int = 1, size: int = 1, name: str | None = None) -> Any:
    weight = None if name is None else paddle.ParamAttr(name=name)
    return static.nn.conv2d(x, channels, size, padding=size // 2, groups=groups, param_attr=weight)


def fc(x: Any, width: int) -> Any:
    return static.nn.fc(x, width, num_flatten_dims=2)


def one_weight_for_two(x: Any) -> Any:
    """The smaller map has fewer pixels than a tile has rows."""
    small = F.avg_pool2d(x, 3)
    return conv(F.relu(conv(x, 24, name="w")), 8), conv(F.relu(conv(small, 24, name="w")), 8)


def read_twice(x: Any) -> Any:
    y = fc(x, 56)
    return F.relu(y), fc(y, 8)


IMAGE, ODD, TOKENS = (3, 12, 12), (6, 12, 12), (40, 64)
# What is built, the shape of its input, and what the output of each widened op has of channels then.
WIDENED: dict[str, tuple[Build, tuple[int, ...], list[int]]] = {
    "first convolution": (lambda x: conv(F.relu(conv(x, 24, size=3)), 8), IMAGE, [32]),
    "two groups": (lambda x: conv(F.relu(conv(x, 36, groups=2)), 8), ODD, [64]),
    "an odd number": (lambda x: conv(F.relu6(conv(conv(x, 16), 27)), 8), ODD, [32, 32]),
    "product": (lambda x: fc(F.relu(fc(x, 24)), 8), TOKENS, [32]),
    "four tiles": (lambda x: fc(F.relu(fc(x, 120)), 8), TOKENS, [128]),
    "last": (lambda x: fc(x, 23), TOKENS, [32]),
    "one weight for two": (one_weight_for_two, ODD, [32, 32]),
    "read twice": (read_twice, TOKENS, [64]),
}
KEPT: dict[str, tuple[Build, tuple[int, ...]]] = {
    "other kernels": (lambda x: conv(F.relu(conv(x, 24)), 8), (8, 12, 12)),
    "more than a tile": (lambda x: conv(F.relu(conv(x, 56)), 8), ODD),
    "half a tile": (lambda x: fc(F.relu(fc(x, 48)), 40), TOKENS),
    "few pixels": (lambda x: conv(F.relu(conv(x, 24)), 8), (6, 5, 5)),
    "depthwise": (lambda x: conv(conv(x, 24, groups=24, size=3), 8), (24, 12, 12)),
}


def net(build: Build, shape: tuple[int, ...]) -> tuple[Model, dict[str, np.ndarray]]:
    x = floats(1, *shape)
    inputs = {"x0": x}
    return frozen(build_model(build, (x,)), inputs), inputs


def formed(model: Model, inputs: dict[str, np.ndarray], target: Any) -> Model:
    names = unmeasured(model, TARGET)
    scales = scales_of(model, names, [inputs]) if names else {}
    return prepare(model, target, scales).model


@pytest.mark.parametrize("name", WIDENED)
def test_widened(name: str) -> None:
    """It computes what it did."""
    build, shape, channels = WIDENED[name]
    model, inputs = net(build, shape)
    before = formed(model, inputs, without("onnxruntime", "whole-tiles"))
    after = formed(model, inputs, TARGET)
    names = [
        var.name for var in after.graph.vars if var.name.endswith(".wide") and "dequantized" not in var.name
    ]
    widths = [after.graph.var(one).shape[1 if len(shape) == 3 else 2] for one in names]
    assert set(widths) == set(channels), names
    for found, wanted in zip(after.run(inputs), before.run(inputs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    model, inputs = net(*KEPT[name])
    assert not any(var.name.endswith(".wide") for var in formed(model, inputs, TARGET).graph.vars)


@pytest.mark.slow
@pytest.mark.parametrize("name", WIDENED)
def test_right_in_the_engine(name: str, tmp_path: Path) -> None:
    build, shape, _ = WIDENED[name]
    model, inputs = net(build, shape)
    exported(model, inputs, TARGET, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not IS_WRONG, reason="this processor has no AMX, or ONNX Runtime is not one of 1.21 to 1.24"
)
@pytest.mark.parametrize("name", WIDENED)
def test_without_the_pass(name: str, tmp_path: Path) -> None:
    build, shape, _ = WIDENED[name]
    model, inputs = net(build, shape)
    with pytest.raises(OutputError, match=r"the engine, ONNX Runtime, beside that: .*, which is wrong"):
        exported(model, inputs, without("onnxruntime", "whole-tiles"), tmp_path)
