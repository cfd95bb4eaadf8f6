"""Scales and types that Paddle's passes for oneDNN hand on from one activation to another."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import in_paddle
from lite_case import F, build_model, floats, static
from onednn_program import optimized
from onnx_files import frozen, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.deploy.form import for_target
from qcc.backends.onednn_rounding import as_onednn_rounds
from qcc.errors import PaddleError
from qcc.model import Model
from qcc.targets.table import Target, find_target

TARGET = find_target("paddle-x86")
WITHOUT = without_step("paddle-x86", "own-scales")
CHANNELS = 32
CLOSE = 0.03
"""Of the range of the output: some steps of activations and summands, and on processors without VNNI of the
halved weights."""


def conv(x: Any, channels: int = CHANNELS, size: int = 1) -> Any:
    return static.nn.conv2d(x, channels, size, padding=size // 2, bias_attr=False)


def normed(x: Any) -> Any:
    return static.nn.batch_norm(conv(x), is_test=True)


def layers(x: Any) -> Any:
    return conv(F.gelu(conv(x)))


def in_parts(x: Any) -> Any:
    """FasterNet's block: a convolution of a part, and its input added to the last."""
    h = normed(x)
    part, rest = paddle.split(h, [CHANNELS // 4, CHANNELS - CHANNELS // 4], axis=1)
    y = paddle.concat([conv(part, CHANNELS // 4, 3), rest], 1)
    return conv(F.adaptive_avg_pool2d(h + conv(F.gelu(normed(y))), 1))


def squeezed(s: Any) -> Any:
    return conv(s * F.sigmoid(conv(F.adaptive_avg_pool2d(s, 1))))


def mean_of_a_sum(x: Any) -> Any:
    h = conv(x)
    return squeezed(h + layers(h))


def mean_of_a_rectified_sum(x: Any) -> Any:
    h = F.relu(conv(x))
    return squeezed(F.relu(h + layers(h)))


def rectified_summand(x: Any) -> Any:
    """The sums would have its type, which knows no negative numbers."""
    h = F.relu(conv(x))
    return conv(h + layers(h))


def joined(x: Any) -> Any:
    """What is joined is read by a layer, and four times smaller."""
    h = conv(x)
    return conv(paddle.concat([h, conv(h) * 4], 1)) * 0.1 + conv(h)


def joined_rectified(x: Any) -> Any:
    h = F.relu(conv(x))
    return conv(paddle.concat([h, F.relu(normed(h)) * 4], 1)) * 0.1 + conv(h)


def two_pools(x: Any) -> Any:
    """The mean's scale would be that of the largest values, too."""
    h = F.relu(conv(x))
    return conv(F.avg_pool2d(h, 4)) + conv(F.max_pool2d(h, 4))


def two_multiples(x: Any) -> Any:
    """Paddle does not load it."""
    h = conv(x)
    return conv(h * 0.25) + conv(h * 0.5)


def waiting_pool(x: Any) -> Any:
    """The pool has no scale to hand on, so Paddle goes over all ops again, and a scale gets further."""
    h = conv(x)
    return conv(F.max_pool2d(conv(h), 3, 1, 1) + conv(F.relu(conv(h)) * 0.25 + 1.0))


# What is built, which ops the pass adds, and by how much the result is off without it, of its range.
NETS: dict[str, tuple[Callable[[Any], Any], list[str], float]] = {
    "in parts": (in_parts, ["clip"], 0.15),
    "mean of a sum": (mean_of_a_sum, ["clip"], 0.15),
    "mean of a rectified sum": (mean_of_a_rectified_sum, ["clip"], 0.1),
    "rectified summand": (rectified_summand, ["clip"], 0.3),
    "joined": (joined, ["clip", "clip"], 0.015),
    "joined, rectified": (joined_rectified, ["relu", "clip"], 0.008),
    "two pools": (two_pools, ["clip"], 0.3),
    "multiple of a rectified": (lambda x: conv(F.relu(conv(x)) * 0.25), ["clip"], 0.5),
    "multiple and a bias": (waiting_pool, ["clip"], 0.1),
    "two multiples": (two_multiples, ["clip", "clip"], math.inf),
}
KEPT: dict[str, Callable[[Any], Any]] = {
    "two convolutions of one": lambda x: conv(F.relu(conv(x) + conv(x))),
    "a float beside": lambda x: block(x, conv, F.sigmoid),
    "a rectified sum": lambda x: (lambda h: conv(F.relu(h + layers(h))))(F.relu(conv(x))),
    "a sum": lambda x: (lambda h: conv(h + layers(h)))(conv(x)),
    "a mean of no sum": lambda x: squeezed(F.relu(conv(x))),
    "joined for no layer": lambda x: (lambda h: paddle.concat([conv(h), h], 1))(F.relu(normed(x))),
    "a part of no sum": lambda x: conv(paddle.split(normed(x), 2, axis=1)[0]),
    "a multiple of a product": lambda x: (lambda h: conv(h * F.relu6(h + 3.0) / 6.0))(conv(x)),
    "a multiple and a bias": lambda x: conv(F.relu(conv(x)) * 0.25 + 1.0),
    "a multiple of a convolution": lambda x: conv(conv(x) * 0.25),  # it goes into the scales
}


def block(x: Any, layer: Callable[[Any], Any], shortcut: Callable[[Any], Any]) -> Any:
    h = F.relu(layer(x))
    return conv(F.relu(layer(F.relu(layer(h))) + shortcut(h)))


# Sums without a scale of their own, or of what is added.
WITHOUT_A_SCALE: dict[str, Callable[[Any], Any]] = {
    "projection": lambda x: block(x, conv, conv),
    "normed projection": lambda x: block(x, normed, normed),
    "projection with a bias": lambda x: block(x, biased, biased),
    "read by no layer": lambda x: (lambda h: F.sigmoid(conv(F.relu(conv(h))) + h))(F.relu(conv(x))),
}


def biased(x: Any) -> Any:
    return static.nn.conv2d(x, CHANNELS, 1)


def net(build: Callable[[Any], Any]) -> tuple[Model, dict[str, np.ndarray]]:
    x = floats(1, CHANNELS, 8, 8)
    return frozen(build_model(build, (x,), batch=1), {"x0": x}), {"x0": x}


def added(model: Model) -> list[str]:
    names = [(op, var.name) for op in model.graph.ops for var in op.all_outputs()]
    return [op.type for op, name in names if name.endswith((".own", ".alone"))]


def off(model: Model, inputs: dict[str, np.ndarray], target: Target, folder: Path) -> float:
    """How far the engine is off what it is given, of the range; infinite where it does not load that."""
    formed = for_target(model, target)[0]
    (wanted,) = Model(as_onednn_rounds(formed.graph, target.int8_ops)).run(inputs)
    try:
        found = in_paddle(model, inputs, target, folder)
    except PaddleError:
        return math.inf
    return float(np.abs(found - wanted).max() / np.ptp(wanted))


@pytest.mark.parametrize("name", NETS)
def test_wrong_without_it(name: str, tmp_path: Path) -> None:
    build, ops, least = NETS[name]
    model, inputs = net(build)
    assert added(for_target(model, TARGET)[0]) == ops
    before = off(model, inputs, WITHOUT, tmp_path / "without")
    after = off(model, inputs, TARGET, tmp_path / "with")
    assert before >= least
    assert after < min(CLOSE, before)


@pytest.mark.parametrize("name", WITHOUT_A_SCALE)
def test_no_convolution_is_float_for_an_addition(name: str, tmp_path: Path) -> None:
    model, inputs = net(WITHOUT_A_SCALE[name])
    kinds = {}
    for key, target in (("with", TARGET), ("without", WITHOUT)):
        deploy.save(model, tmp_path / key, target, None, None, None, inputs)
        ran = optimized(tmp_path / key, tmp_path / f"{key}.optimized")
        kinds[key] = {kind for op, kind in ran if "conv2d" in op}
    assert kinds == {"with": {"int8"}, "without": {"int8", "float32"}}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str, tmp_path: Path) -> None:
    model, inputs = net(KEPT[name])
    assert not added(for_target(model, TARGET)[0])
    assert off(model, inputs, TARGET, tmp_path) < CLOSE


@pytest.mark.parametrize("name", NETS)
def test_it_computes_what_it_did(name: str) -> None:
    model, inputs = net(NETS[name][0])
    (before,) = for_target(model, WITHOUT)[0].run(inputs)
    (after,) = for_target(model, TARGET)[0].run(inputs)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-6 * np.abs(before).max())


def test_the_check_accepts_it(tmp_path: Path) -> None:
    model, inputs = net(in_parts)
    assert not qcc.save(model, tmp_path, target="paddle-x86", check=inputs).warnings
