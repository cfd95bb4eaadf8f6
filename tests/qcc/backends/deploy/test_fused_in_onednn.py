"""What Paddle's passes for oneDNN take into a convolution only where it is written as they want it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onednn_program import optimized
from onnx_files import frozen, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.model import Model

LEAST = 4
"""Ops: feed, quantize, the convolution, fetch."""

NETS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    # As `paddle.nn.Conv2D` is saved, once the reshape of its bias is folded.
    "bias": ("flat-biases", lambda x: F.hardswish(conv(x) + paddle.assign(floats(1, 8, 1, 1)))),
    "silu": ("fuse-activations", lambda x: F.silu(conv(x))),
    "prelu": ("fuse-activations", lambda x: static.nn.prelu(conv(x), "all")),
}


def conv(x: Any) -> Any:
    return static.nn.conv2d(x, 8, 3, padding=1, bias_attr=False)


def given(name: str) -> tuple[Model, dict[str, np.ndarray]]:
    x = floats(1, 3, 8, 8)
    return frozen(build_model(NETS[name][1], (x,)), {"x0": x}), {"x0": x}


@pytest.mark.parametrize("name", NETS)
def test_it_goes_into_the_convolution(name: str, tmp_path: Path) -> None:
    model, inputs = given(name)
    qcc.save(model, tmp_path / "model", target="paddle-x86", check=inputs)
    assert len(optimized(tmp_path / "model", tmp_path / "there")) == LEAST


@pytest.mark.parametrize("name", NETS)
def test_it_does_not_as_it_stands(name: str, tmp_path: Path) -> None:
    model, inputs = given(name)
    without = without_step("paddle-x86", NETS[name][0])
    deploy.save(model, tmp_path / "model", without, None, None, None, inputs)
    assert len(optimized(tmp_path / "model", tmp_path / "there")) > LEAST
