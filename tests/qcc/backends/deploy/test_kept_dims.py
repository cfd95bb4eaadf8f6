"""What follows a reduction channel by channel, which OpenVINO computes together with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without, without_step

from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.deploy.form import for_target
from qcc.errors import OutputError
from qcc.model import Model
from qcc.targets.table import find_target

Build = Callable[[Any], Any]


def factor(x: Any) -> Any:
    return x * ramp(x, 1.0)


def bias(x: Any) -> Any:
    return x + ramp(x, -12.0)


def ramp(x: Any, begin: float) -> Any:
    """A weight for each channel."""
    value = np.arange(begin, begin + x.shape[1], dtype=np.float32)
    assign = paddle.nn.initializer.Assign(value)
    return static.create_parameter(value.shape, "float32", default_initializer=assign)


def norm(x: Any) -> Any:
    return static.nn.batch_norm(x, is_test=True)


def tokens(reduce: Build, follow: Build) -> Build:
    """The head of a vision transformer: what all tokens give, and a classifier."""
    return lambda x: static.nn.fc(follow(reduce(static.nn.fc(x, 24, num_flatten_dims=2))), 8)


WRONG: dict[str, Build] = {
    "norm of a mean": tokens(lambda x: paddle.mean(x, 1), norm),
    "factor of a mean": tokens(lambda x: paddle.mean(x, 1), factor),
    "bias of a maximum": tokens(lambda x: paddle.max(x, -2), bias),
    "bias of each token": tokens(lambda x: paddle.mean(x, 2), bias),
}
KEPT: dict[str, Build] = {
    "kept already": lambda x: paddle.mean(static.nn.fc(x, 24, num_flatten_dims=2), 1, keepdim=True),
    "of a map": lambda x: paddle.mean(static.nn.conv2d(F.relu(x.unsqueeze(1)), 8, 3), [2, 3]),
    "of all": lambda x: paddle.mean(static.nn.fc(x, 24, num_flatten_dims=2)),
}


def net(build: Build) -> tuple[Model, dict[str, np.ndarray]]:
    # What goes wrong with the tokens goes so from two images on.
    x = floats(2, 16, 12)
    return frozen(build_model(build, (x,)), {"x0": x}), {"x0": x}


def formed(model: Model) -> list[str]:
    return [op.type for op in for_target(model, find_target("openvino"))[0].graph.ops]


@pytest.mark.parametrize("name", WRONG)
def test_it_computes_what_it_did(name: str) -> None:
    model, inputs = net(WRONG[name])
    before = for_target(model, without_step("openvino", "kept-dims"))[0].run(inputs)
    after = for_target(model, find_target("openvino"))[0].run(inputs)
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str) -> None:
    assert "squeeze2" not in formed(net(KEPT[name])[0])


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("name", WRONG)
def test_without_the_pass(name: str, tmp_path: Path) -> None:
    model, inputs = net(WRONG[name])
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: .*, which is wrong"):
        exported(model, inputs, without("openvino", "kept-dims"), tmp_path / "out")
    exported(model, inputs, "openvino", tmp_path)


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("name", WRONG)
def test_in_models_of_paddle(name: str, tmp_path: Path) -> None:
    model, inputs = net(WRONG[name])
    without_it = without_step("openvino", "kept-dims")
    with pytest.raises(OutputError, match=r"OpenVINO: .*, which is wrong"):
        deploy.save(model, tmp_path / "out", without_it, None, None, None, check=inputs)
    deploy.save(model, tmp_path / "right", find_target("openvino"), None, None, None, check=inputs)
