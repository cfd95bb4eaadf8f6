"""Activations as people and other tools spell them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.engines.onnxruntime import onnxruntime_missing
from qcc.backends.lite.runtime import runtime_missing
from qcc.errors import OutputError
from qcc.ir.text import print_graph
from qcc.model import Model
from qcc.passes.fuse_activations import FuseActivations
from qcc.passes.manager import PassManager

SPELLED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "product first": ("hard_swish", lambda x: x * F.relu6(x + 3) / 6),
    "gate first": ("hard_swish", lambda x: x * (F.relu6(x + 3) / 6)),
    "gate on the left": ("hard_swish", lambda x: F.relu6(3 + x) * (1 / 6) * x),
    "data divided": ("hard_swish", lambda x: (x / 6) * paddle.clip(x + 3, 0, 6)),
    "gate of one": ("hard_swish", lambda x: x * paddle.clip(x / 6 + 0.5, 0, 1)),
    "gate scaled after": ("hard_swish", lambda x: x * paddle.clip(paddle.scale(x, 1.0, 3.0), 0, 6) / 6),
    "gate scaled before": (
        "hard_swish",
        lambda x: x * paddle.clip(paddle.scale(x, 1 / 6, 3.0, bias_after_scale=False), 0, 1),
    ),
    "gate an op": ("hard_swish", lambda x: x * F.hardsigmoid(x, slope=1 / 6, offset=0.5)),
    "behind a factor": ("hard_swish", lambda x: (lambda y: y * F.relu6(y + 3) / 6)(2 * x)),
    "gate alone": ("hard_sigmoid", lambda x: paddle.clip(0.2 * x + 0.5, 0, 1)),
    "gate of six": ("hard_sigmoid", lambda x: F.relu6(x + 3) / 6),
    "turned twice": ("hard_sigmoid", lambda x: F.relu6(3 - (-x)) / 6),
    "op of a factor": ("hard_sigmoid", lambda x: F.hardsigmoid(x * 2)),
    "sigmoid": ("swish", lambda x: x * F.sigmoid(x)),
    "sigmoid on the left": ("swish", lambda x: F.sigmoid(x) * x),
    "erf": ("gelu", lambda x: x * 0.5 * (1.0 + paddle.erf(x / 2**0.5))),
    "erf at the end": ("gelu", lambda x: 0.5 * (x * (paddle.erf(x * 0.5**0.5) + 1.0))),
    "silu": ("swish", F.silu),
    "clip to six": ("relu6", lambda x: paddle.clip(x, 0, 6)),
    "six times a gate": ("relu6", lambda x: 6 * paddle.clip(x / 6, 0, 1)),
    "clip from zero": ("relu", lambda x: paddle.clip(x, 0)),
    "softplus": ("mish", lambda x: x * paddle.tanh(F.softplus(x))),
}

OTHERS: dict[str, Callable[[Any], Any]] = {
    "clipped elsewhere": lambda x: x * paddle.clip(x + 3, 0, 5) / 6,
    "a fast gelu": lambda x: x * F.sigmoid(1.702 * x),
    "from below zero": lambda x: paddle.clip(x + 3, -1, 6) / 6,
    "of another": lambda x: x * F.sigmoid(paddle.exp(x)),
    "a sigmoid times itself": lambda x: (lambda y: y * y)(F.sigmoid(x)),
    "a sigmoid and more": lambda x: x * (F.sigmoid(x) + 1),
    "a gate that falls": lambda x: paddle.clip(0.5 - 0.2 * x, 0, 1),
    "read in between": lambda x: (lambda y: x * y + y)(F.sigmoid(x)),
    "clip to seven": lambda x: paddle.clip(x, 0, 7),
    "clip to one": lambda x: paddle.clip(x, 0, 1),
    "from one": lambda x: paddle.clip(x, 1),
}


def net(spelled: Callable[[Any], Any]) -> Model:
    return build_model(lambda x: spelled(static.nn.conv2d(x, 4, 3, padding=1)), (floats(1, 3, 8, 8),))


def fused(model: Model) -> Model:
    return PassManager.parse("fold-constants,fuse-activations").run(model)


@pytest.mark.parametrize("name", SPELLED)
def test_it_is_one_op(name: str) -> None:
    kind, spelled = SPELLED[name]
    model = net(spelled)
    changed = fused(model)
    rest = [op.type for op in changed.graph.ops if op.type not in ("conv2d", "elementwise_add")]
    assert rest in ([kind], ["scale", kind])
    x = 4 * floats(2, 3, 8, 8)
    before, after = (one.run({"x0": x})[0] for one in (model, changed))
    assert np.abs(after - before).max() <= 2e-6 * np.abs(before).max()
    assert not PassManager((FuseActivations(),)).run(changed).graph.changed


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_another_function_stays(name: str) -> None:
    model = PassManager.parse("fold-constants").run(net(OTHERS[name]))
    changed = PassManager((FuseActivations(),)).run(model)
    assert print_graph(changed.graph) == print_graph(model.graph)


def given(name: str) -> tuple[Model, dict[str, Any]]:
    inputs = {"x0": floats(1, 3, 8, 8)}
    return frozen(net(SPELLED[name][1]), inputs), inputs


FIRST = [
    "product first",
    "gate of six",
    "sigmoid",
    "erf",
    "softplus",
    "silu",
    "clip to six",
    "clip from zero",
]


def saved_ops(folder: Path) -> list[str]:
    return [op.type for op in qcc.load(folder).graph.ops]


@pytest.mark.parametrize("name", FIRST)
def test_right_in_onednn(name: str, tmp_path: Path) -> None:
    model, inputs = given(name)
    qcc.save(model, tmp_path, target="paddle-x86", check=inputs)
    assert SPELLED[name][0] in saved_ops(tmp_path)


@needs_openvino
@pytest.mark.parametrize("name", FIRST)
def test_right_in_openvino(name: str, tmp_path: Path) -> None:
    model, inputs = given(name)
    qcc.save(model, tmp_path, target="openvino", check=inputs)
    assert SPELLED[name][0] in saved_ops(tmp_path) or name == "softplus"  # mish is written in other ops there


@needs_openvino
def test_openvino_does_not_read_an_erf(tmp_path: Path) -> None:
    model, inputs = given("erf")
    with pytest.raises(OutputError, match="erf"):
        deploy.save(model, tmp_path, without_step("openvino", "fuse-activations"), None, None, None, inputs)


@pytest.mark.skipif(runtime_missing() is not None, reason=str(runtime_missing()))
@pytest.mark.parametrize("name", FIRST)
def test_right_in_paddle_lite(name: str, tmp_path: Path) -> None:
    model, inputs = given(name)
    qcc.save(model, tmp_path / "model.nb", target="lite", form="x86", check=inputs)


@pytest.mark.skipif(onnxruntime_missing() is not None, reason=str(onnxruntime_missing()))
@pytest.mark.parametrize("name", FIRST)
def test_right_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    model, inputs = given(name)
    exported(model, inputs, "onnxruntime", tmp_path)
