"""Arguments that come from tensors which never change, as X2Paddle writes them: every engine takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.engines.onnxruntime import onnxruntime_missing
from qcc.backends.lite.runtime import runtime_missing
from qcc.errors import OutputError
from qcc.model import Model
from qcc.passes.constant_arguments import ConstantArguments
from qcc.passes.manager import PassManager


def told(value: float, dtype: str = "int64") -> Any:
    return paddle.full([1], value, dtype)


def sides(*values: int) -> Any:
    return paddle.concat([told(value, "int32") for value in values])


NETS: dict[str, Callable[[Any], Any]] = {
    "clip": lambda x: paddle.clip(x, told(-0.2, "float32"), told(0.5, "float32")),
    "clip from below": lambda x: paddle.clip(x, told(-0.2, "float32"), None),
    "scale": lambda x: paddle.scale(x, told(2.5, "float32"), bias=1.0),
    "pad": lambda x: F.pad(x, sides(1, 2, 0, 1)),
    "strided slice": lambda x: paddle.strided_slice(
        x, [2], [told(1, "int32")], [told(6, "int32")], [told(2, "int32")]
    ),
    "larger": lambda x: F.interpolate(x, scale_factor=told(2.0, "float32"), mode="bilinear"),
    "unsqueeze": lambda x: paddle.unsqueeze(x, told(1)),
    "squeeze": lambda x: paddle.squeeze(paddle.mean(x, [2, 3], keepdim=True), told(3)),
    "sum": lambda x: paddle.sum(x, told(2)),
}


def net(name: str) -> tuple[Model, dict[str, Any]]:
    x = floats(1, 3, 8, 8)
    model = build_model(lambda x: NETS[name](static.nn.conv2d(x, 4, 3, padding=1)), (x,), batch=1)
    return frozen(model, {"x0": x}), {"x0": x}


@pytest.mark.parametrize("name", NETS)
def test_nothing_is_told_by_tensors_any_more(name: str) -> None:
    model, given = net(name)
    changed = PassManager((ConstantArguments(),)).run(model)
    op = changed.graph.ops[-1]
    assert not op.pointed
    assert len(list(op.all_inputs())) == 1
    assert changed.run(given)[0].tobytes() == model.run(given)[0].tobytes()


@needs_openvino
@pytest.mark.parametrize("name", NETS)
def test_right_in_openvino(name: str, tmp_path: Path) -> None:
    model, given = net(name)
    qcc.save(model, tmp_path, target="openvino", check=given)


@pytest.mark.parametrize("name", ["clip", "clip from below"])
def test_right_in_onednn(name: str, tmp_path: Path) -> None:
    model, given = net(name)
    qcc.save(model, tmp_path, target="paddle-x86", check=given)


@pytest.mark.skipif(runtime_missing() is not None, reason=str(runtime_missing()))
@pytest.mark.parametrize("name", NETS)
def test_right_in_paddle_lite(name: str, tmp_path: Path) -> None:
    model, given = net(name)
    qcc.save(model, tmp_path / "model.nb", target="lite", form="x86", check=given)


@pytest.mark.parametrize(
    ("target", "name"), [("openvino", "clip"), ("openvino", "pad"), ("paddle-x86", "clip from below")]
)
def test_wrong_without_it(target: str, name: str, tmp_path: Path) -> None:
    model, given = net(name)
    with pytest.raises(OutputError, match="was not written"):
        deploy.save(model, tmp_path, without_step(target, "constant-arguments"), None, None, None, given)


@pytest.mark.skipif(onnxruntime_missing() is not None, reason=str(onnxruntime_missing()))
def test_right_in_onnx_runtime(tmp_path: Path) -> None:
    model, given = net("larger")
    exported(model, given, "onnxruntime", tmp_path)
    with pytest.raises(OutputError, match="was not written"):
        exported(model, given, without("onnxruntime", "constant-arguments"), tmp_path)
