"""Networks whose channels come last."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from lite_case import F, build_model, floats, static
from onnx_files import exported

import qcc
from qcc._paddle import paddle
from qcc.cli.main import cli
from qcc.errors import PassError
from qcc.model import Model

IMAGE = floats(2, 12, 10, 3)
LAST: dict[str, Any] = {"data_format": "NHWC"}


def conv(x: Any, channels: int, **options: Any) -> Any:
    return static.nn.conv2d(x, channels, 3, padding=1, **LAST, **options)


def block(x: Any) -> Any:
    """As networks of classes have them: a norm, a shortcut, factors for channels, parts that are joined."""
    y = static.nn.batch_norm(conv(x, 8, bias_attr=False), data_layout="NHWC", is_test=True, act="relu")
    y = y + F.hardswish(conv(y, 8, groups=8))
    factors = paddle.mean(y, [1, 2], keepdim=True)
    y = y * F.sigmoid(static.nn.conv2d(factors, 8, 1, **LAST))
    left, right = paddle.split(y, 2, -1)
    return paddle.concat([right, F.relu6(left) * 0.5], 3)


def classifier(x: Any) -> Any:
    y = static.nn.group_norm(F.max_pool2d(block(x), 2, **LAST), 4, data_layout="NHWC")
    y = F.interpolate(y, scale_factor=2, mode="nearest", **LAST) - static.create_parameter([8], "float32")
    return static.nn.fc(paddle.mean(y, [1, 2]), 5)


def turned_inside(x: Any) -> Any:
    """As PaddleClas has it: the image comes with channels second."""
    y = block(paddle.transpose(x, [0, 2, 3, 1]))
    return paddle.transpose(F.softmax(y), [0, 3, 1, 2])


def read_otherwise(x: Any) -> Any:
    y = block(x)
    return paddle.reshape(y, [0, -1, 8]), y, paddle.argmax(y, -1)


def types(model: Model) -> Counter[str]:
    return Counter(op.type for op in model.graph.ops)


def turned(model: Model) -> Model:
    return qcc.PassManager.parse("channels-first").run(model)


@pytest.mark.parametrize("build", [classifier, read_otherwise])
@pytest.mark.parametrize("any_size", [False, True])
def test_gives_the_same(build: Any, any_size: bool) -> None:
    model = build_model(build, (IMAGE,))
    if any_size:
        model.graph.var("x0").desc.set_shape([-1, -1, -1, 3])
    found, wanted = (one.run({"x0": IMAGE}) for one in (turned(model), model))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert not [
        op
        for op in turned(model).graph.ops
        if "NHWC" in (op.attr("data_format", ""), op.attr("data_layout", ""))
    ]


def test_a_transpose_in_front_and_none_inside() -> None:
    assert types(turned(build_model(classifier, (IMAGE,))))["transpose2"] == 1


def test_a_network_that_turns_its_input_needs_none() -> None:
    image = floats(2, 3, 12, 10)
    model = build_model(turned_inside, (image,))
    found = qcc.PassManager.parse("channels-first,prune").run(model)
    assert (types(model)["transpose2"], types(found)["transpose2"]) == (2, 0)
    np.testing.assert_allclose(found.run({"x0": image})[0], model.run({"x0": image})[0], rtol=1e-5, atol=1e-5)


def test_a_training_graph_is_refused() -> None:
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with static.program_guard(main, startup):
        out = paddle.mean(conv(static.data("x", [2, 8, 8, 3]), 4))
    static.Executor(paddle.CPUPlace()).run(startup, scope=scope)
    model = qcc.from_program(main, scope, ["x"], [out.name], for_test=False)
    with pytest.raises(PassError, match="channels come last in the training graph: build it with"):
        turned(model)


@pytest.mark.parametrize("target", ["paddle-x86", "openvino", "onnxruntime", "lite-x86"])
def test_quantized_for_engines(target: str, tmp_path: Path) -> None:
    inputs = {"x0": floats(4, 12, 10, 3)}
    quantized = qcc.quantize(build_model(classifier, tuple(inputs.values())), [inputs], target=target)
    if target == "onnxruntime":
        saved = exported(quantized, inputs, target, tmp_path)
    elif target == "lite-x86":
        saved = qcc.save(quantized, tmp_path / "model.nb", target="lite", form="x86", check=inputs)
    else:
        saved = qcc.save(quantized, tmp_path, target=target, check=inputs)
    assert all(check.good for check in saved.checks)


@pytest.mark.parametrize("target", ["paddle-x86", "openvino", "onnxruntime", "lite-arm"])
def test_checked_as_they_will_be_quantized(target: str, tmp_path: Path) -> None:
    qcc.save(build_model(classifier, (IMAGE,)), tmp_path, check=False)
    done = CliRunner().invoke(cli, ["check", str(tmp_path), "--target", target])
    assert done.exit_code == 0, done.output
    assert re.search(r"in int8: .*\d conv2d", done.output)


@pytest.mark.parametrize("target", ["onnxruntime", "lite-x86"])
def test_a_float_model_for_engines(target: str, tmp_path: Path) -> None:
    inputs = {"x0": IMAGE}
    model = build_model(classifier, (IMAGE,))
    if target == "onnxruntime":
        saved = exported(model, inputs, target, tmp_path)
    else:
        saved = qcc.save(model, tmp_path / "model.nb", target="lite", form="x86", check=inputs)
    assert all(check.good for check in saved.checks)
