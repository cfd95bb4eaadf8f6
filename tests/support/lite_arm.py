"""Models with ops that Paddle Lite's ARM kernels get wrong, and their files as they were and as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_agreement import Arrays, written
from lite_case import F, append_op, build_model, floats, paddle, parameter, static
from lite_nets import frozen

from qcc.backends.lite.file import NaiveBuffer, write_naive_buffer
from qcc.backends.lite.lowering import lowering
from qcc.backends.lite.passes import ops
from qcc.backends.lite.passes.exact import LiteExact
from qcc.backends.lite.passes.kernels import LiteKernels
from qcc.backends.lite.passes.round import LiteRound
from qcc.backends.lite.rules.view import Rows
from qcc.backends.lite.runtime import LiteRuntime
from qcc.backends.lite.translate import to_naive_buffer
from qcc.backends.spellings import FOR_LITE
from qcc.model import Model
from qcc.passes import PassManager
from qcc.passes.base import Pass

PICTURE = (floats(2, 8, 12, 12),)
ROWS = (floats(3, 24),)
# What ARM's pipeline has and x86's has not: without it files are as they were.
_REWRITTEN = ("affine_channel", "sign", "transpose2")
_GUARDS = ("lite-arm-ops", "lite-own-filter", "lite-reduce", "lite-split-products")


def linear(columns: int, inputs: int = 24) -> Callable[[Any], Any]:
    return lambda x: F.linear(x, parameter(inputs, columns), parameter(columns))


def tied(x: Any) -> Any:
    weight = parameter(24, 24)
    hidden = F.linear(x, weight, parameter(24))
    return F.linear(F.relu(hidden), weight, parameter(24))


def convolution(channels: int, size: int, act: Callable[[Any], Any], **options: Any) -> Callable[[Any], Any]:
    return lambda x: act(static.nn.conv2d(x, channels, size, **options))


def depthwise(x: Any) -> Any:
    """A linear convolution, then a depthwise one without padding: relu behind it was wrong."""
    y = F.conv2d(x, parameter(8, 8, 1, 1), parameter(8))
    return F.relu(F.conv2d(y, parameter(8, 1, 3, 3), parameter(8), 1, 0, 1, 8))


def chain(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A 3 x 3 convolution with an activation that writes integers for the next."""
    return lambda x: static.nn.conv2d(act(static.nn.conv2d(x, 8, 3, padding=1)), 4, 1)


def shared_transposed(x: Any) -> Any:
    weight = parameter(8, 8, 2, 2)
    return F.conv2d_transpose(F.conv2d_transpose(x, weight, parameter(8), 2), weight, parameter(8), 2)


def affine(layout: str) -> Callable[[Any], Any]:
    def build(x: Any) -> Any:
        inputs = {"X": x, "Scale": parameter(12), "Bias": parameter(12)}
        return append_op("affine_channel", inputs, {"Out": "float32"}, {"data_layout": layout})[0]

    return build


FLOAT: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "depthwise-hard-swish": (convolution(8, 3, F.hardswish, padding=1, groups=8), PICTURE),
    "transposed-hard-swish": (lambda x: F.hardswish(F.conv2d_transpose(x, parameter(8, 6, 2, 2))), PICTURE),
    "adaptive-pool": (lambda x: [F.adaptive_avg_pool2d(x, 3), F.adaptive_avg_pool2d(x, 12)], PICTURE),
    "reduction": (lambda x: [paddle.mean(x), paddle.max(x, [1, 3])], PICTURE),
    "depthwise-transposed": (
        lambda x: F.conv2d_transpose(x, parameter(8, 1, 4, 4), parameter(8), 2, 1, groups=8),
        PICTURE,
    ),
    "float-products": (linear(3, 16400), (floats(2, 16400),)),
    "grid-size": (F.grid_sample, (floats(2, 4, 9, 10), floats(2, 5, 6, 2, low=-1, high=1))),
    "sign": (paddle.sign, PICTURE),
    "softplus-threshold": (lambda x: F.softplus(x, 2.0, 1.5), PICTURE),
    "affine-channel-layout": (affine("AnyLayout"), PICTURE),
    "bool-transpose": (lambda x: paddle.cast(paddle.transpose(x > 0, [0, 2, 3, 1]), "int32"), PICTURE),
    "negative-to-uint8": (lambda x: paddle.cast(x, "uint8"), PICTURE),
}
"""Fault -> a float model that meets it, and its inputs."""

QUANTIZED: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "fc-rows": (linear(10), ROWS),
    "fc-one-column": (linear(1), ROWS),
    "fc-shared-weight": (tied, ROWS),
    "depthwise-hard-swish": FLOAT["depthwise-hard-swish"],
    "unpadded-depthwise-relu": (depthwise, PICTURE),
    "winograd-hard-swish": (chain(F.hardswish), PICTURE),
    "shared-transposed-filter": (shared_transposed, (floats(2, 8, 5, 5),)),
    "grouped-transposed": (
        lambda x: static.nn.conv2d_transpose(x, 8, filter_size=3, stride=2, padding=1, groups=2),
        PICTURE,
    ),
    "int8-products": (
        lambda x: static.nn.conv2d(x, 2, 3, dilation=2, padding=2),
        (floats(1, 911, 4, 4),),
    ),
    "winograd-sums": (convolution(4, 3, F.relu, padding=1), (floats(1, 64, 16, 16),)),
}
"""Fault -> a model that meets it once it is quantized, and its inputs."""

REFUSED = ("grid-size", "negative-to-uint8")
"""What is refused rather than written otherwise."""


def arm_model(fault: str, *, quantized: bool) -> tuple[Model, dict[str, np.ndarray]]:
    """The model for a fault, with inputs."""
    build, inputs = (QUANTIZED if quantized else FLOAT)[fault]
    model = build_model(build, inputs)
    feed = {f"x{index}": array for index, array in enumerate(inputs)}
    if fault == "winograd-sums":
        # Weights at the largest: 64 channels of 9 times 127, times 127.
        name = next(name for name in model.weights if name.endswith("w_0"))
        model.weights[name] = np.full_like(model.weights[name], 0.5)
    return (frozen(model, feed) if quantized else model), feed


def unguarded(
    model: Model, path: Path, monkeypatch: pytest.MonkeyPatch, rows: Rows = "declared"
) -> NaiveBuffer:
    """The file for ARM as it was before anything was known of its kernels, and as others write it."""
    passes = [step for step in lowering("arm", rows=rows).passes if step.name not in _GUARDS]
    with monkeypatch.context() as patch:
        package = "qcc.backends.lite.passes"
        patch.setattr(f"{package}.fuse_conv_activation.meets", lambda *_: False)
        patch.setattr(f"{package}.fuse_fc.why_not_fc", lambda *_: None)
        patch.setattr(f"{package}.kernels.first_refusal", lambda *_: None)
        patch.setattr(f"{package}.exact._why_not_on_arm", lambda *_: None)
        others = {op: rewrite for op, rewrite in ops._REWRITES.items() if op not in _REWRITTEN}
        patch.setattr(f"{package}.ops._REWRITES", others)
        spelled = {op: spell for op, spell in FOR_LITE.items() if op not in _REWRITTEN}
        patch.setattr(f"{package}.spell_out.FOR_LITE", spelled)
        graph = PassManager(tuple(passes)).run(model).graph
    with path.open("wb") as stream:
        write_naive_buffer(to_naive_buffer(graph), stream)
    return to_naive_buffer(graph)


def on_x86(rows: Rows = "declared") -> PassManager:
    """What is written for ARM, computed by x86's float kernels: its pipeline with another end."""
    return PassManager(tuple(_for_x86(lowering("arm", rows=rows).passes)))


def _for_x86(passes: tuple[Pass, ...]) -> Iterator[Pass]:
    for step in passes:
        if isinstance(step, LiteExact):
            yield LiteExact(keep="none")
        elif isinstance(step, LiteKernels):
            yield from (LiteRound(), LiteKernels(arch="x86"))
        else:
            yield step


def arm_form_outputs(model: Model, feeds: list[Arrays], path: Path) -> list[list[np.ndarray]]:
    """What x86's runtime computes from the form for ARM, one predictor for all feeds."""
    written(on_x86().run(model).graph, path)
    with LiteRuntime(path) as runtime:
        return [runtime.run(feed) for feed in feeds]
