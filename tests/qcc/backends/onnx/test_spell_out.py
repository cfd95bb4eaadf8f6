"""Ops that paddle2onnx lacks or takes for something else, as files that give what Paddle gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino

from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.export import export
from qcc.backends.onnx.translate import to_onnx
from qcc.errors import TargetError
from qcc.model import Model
from qcc.targets.table import find_target

Build = Callable[[Any], Any]

IMAGE = floats(1, 8, 12, 12)


def conv(x: Any, channels: int = 8) -> Any:
    return static.nn.conv2d(x, channels, 3, padding=1)


def patches(x: Any) -> Any:
    """As MobileViTV2 takes a map apart and puts it together again."""
    return F.fold(F.unfold(x, 2, 2) * 2.0, [12, 12], 2, 2)


def unpooled(x: Any) -> Any:
    """As in ENet's decoder; of equal values in a window, as a relu makes them, the first counts."""
    pooled, index = F.max_pool2d(F.relu(x), (2, 3), (2, 3), return_mask=True)
    return F.max_unpool2d(pooled - 0.5, index, (2, 3), (2, 3))


def enlarged(x: Any) -> Any:
    return F.conv2d_transpose(
        x, static.create_parameter([8, 4, 3, 3], "float32"), stride=2, padding=1, output_size=[24, 23]
    )


LACKED: dict[str, Build] = {
    "channel_shuffle": lambda x: F.channel_shuffle(x, 4),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "fold": patches,
    "unpool": unpooled,
}
WRONG: dict[str, Build] = {
    "steep softplus": lambda x: F.softplus(x, 2.0),
    "bent softplus": lambda x: F.softplus(x * 3.0, 0.5, 1.0),
    "softplus of another threshold": lambda x: F.softplus(x * 3.0, 1.0, 1.0),
    "gelu by a tanh": lambda x: F.gelu(x, approximate=True),
    "conv2d_transpose of a size": enlarged,
}


def run(file: Path) -> np.ndarray:
    with OnnxRuntime(file) as engine:
        (found,) = engine.run({"x0": IMAGE})
    return found


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape:
        return np.inf
    return float(np.abs(found - wanted).max() / np.ptp(wanted))


@pytest.mark.parametrize("name", LACKED | WRONG)
def test_gives_what_paddle_gives(name: str, tmp_path: Path) -> None:
    model = build_model((LACKED | WRONG)[name], (IMAGE,))
    (wanted,) = model.run({"x0": IMAGE})
    export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check={"x0": IMAGE})
    assert off(run(tmp_path / "model.onnx"), wanted) < 1e-6


@pytest.mark.parametrize("name", LACKED)
def test_paddle2onnx_lacks(name: str) -> None:
    with pytest.raises(TargetError, match=f"not supported yet, including {name}"):
        to_onnx(build_model(LACKED[name], (IMAGE,)).graph, "uint8")


@pytest.mark.parametrize("name", WRONG)
def test_paddle2onnx_gives_something_else(name: str, tmp_path: Path) -> None:
    model = build_model(WRONG[name], (IMAGE,))
    (wanted,) = model.run({"x0": IMAGE})
    (tmp_path / "model.onnx").write_bytes(to_onnx(model.graph, "uint8").SerializeToString())
    assert off(run(tmp_path / "model.onnx"), wanted) > 1e-5


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", LACKED | WRONG)
def test_between_integers(name: str, target: str, tmp_path: Path) -> None:
    model = between_convolutions((LACKED | WRONG)[name])
    exported(model, {"x0": IMAGE}, target, tmp_path)


def between_convolutions(build: Build) -> Model:
    net = build_model(lambda x: conv(build(F.relu(conv(x)))), (IMAGE,))
    return frozen(net, {"x0": IMAGE})


def test_integers_are_shuffled(tmp_path: Path) -> None:
    """What it moves has one scale in front and behind."""
    exported(between_convolutions(LACKED["channel_shuffle"]), {"x0": IMAGE}, "onnxruntime", tmp_path)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        assert (engine.int8, engine.floats) == ({"QLinearConv": 1}, {"Conv": 1})


@pytest.mark.parametrize("sizes", [(-1, 12), (12, -1)])
def test_of_a_map_one_size_may_be_open(sizes: tuple[int, int], tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = paddle.reshape(x, [1, 8, *sizes])
        assert list(y.shape[2:]) == list(sizes)
        return F.channel_shuffle(y, 2)

    model = build_model(build, (IMAGE,))
    export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check={"x0": IMAGE})
    (wanted,) = model.run({"x0": IMAGE})
    assert off(run(tmp_path / "model.onnx"), wanted) == 0
