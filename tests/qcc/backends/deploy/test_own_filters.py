"""Convolutions that read one filter: grouped ones of blocks that a network uses twice, and those of several
dilations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.deploy.form import for_target
from qcc.errors import OutputError
from qcc.model import Model
from qcc.targets.table import find_target

INPUTS = {"x0": floats(4, 3, 64, 64)}


def block(x: Any) -> Any:
    """A depthwise and a pointwise convolution, each with a norm, of the same weights wherever it stands."""
    for name, groups in (("depthwise", 32), ("pointwise", 1)):
        size = 3 if groups > 1 else 1
        x = static.nn.conv2d(x, 32, size, padding=size // 2, groups=groups, param_attr=name, bias_attr=False)
        names = {f"moving_{what}_name": f"{name}.{what}" for what in ("mean", "variance")}
        names |= {"param_attr": f"{name}.scale", "bias_attr": f"{name}.bias"}
        x = static.nn.batch_norm(x, is_test=True, **names)
        x = F.relu(x) if groups > 1 else x
    return x


def net() -> Model:
    def build(image: Any) -> Any:
        x = F.relu(static.nn.conv2d(image, 32, 3, stride=2, padding=1))
        for _ in range(2):
            x = x + block(x)
        return static.nn.conv2d(x, 4, 1)

    return frozen(build_model(build, tuple(INPUTS.values())), INPUTS)


@needs_openvino
@pytest.mark.slow
def test_wrong_without_it(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"OpenVINO: off by .*, which is wrong: .*'conv2d_1"):
        deploy.save(net(), tmp_path, without_step("openvino", "own-filters"), None, None, None, check=INPUTS)


@needs_openvino
@pytest.mark.slow
def test_wrong_in_onnx_without_it(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: off by .*, which is wrong"):
        exported(net(), INPUTS, without("openvino", "own-filters"), tmp_path)


@needs_openvino
@pytest.mark.slow
def test_right_with_it(tmp_path: Path) -> None:
    assert all(check.good for check in exported(net(), INPUTS, "openvino", tmp_path).checks)
    saved = qcc.save(net(), tmp_path, target="openvino", check=INPUTS)
    assert all(check.good for check in saved.checks)


def test_the_first_one_keeps_its_filter() -> None:
    graph = for_target(net(), find_target("openvino"))[0].graph
    filters = [op.input("Filter") for op in graph.ops if op.attr("groups", 1) == 32]
    kept = [var for var in filters if var.name == "depthwise.int8.dequantized"]
    assert (len(set(filters)), len(kept)) == (2, 1)


def pyramid(image: Any, **way: Any) -> Any:
    """One filter laid on a map in two ways, as in TridentNet, where each of them has a norm of its own."""
    x = F.relu(static.nn.conv2d(image, 8, 3, padding=1))
    ways = ({"padding": 1}, way)
    read = [static.nn.conv2d(x, 8, 3, param_attr="shared", bias_attr=False, **way) for way in ways]
    return sum(paddle.mean(F.relu(y), [2, 3]) for y in read)


def laid(way: dict[str, Any], *skip_vars: str) -> Model:
    return frozen(build_model(lambda x: pyramid(x, **way), tuple(INPUTS.values())), INPUTS, *skip_vars)


@pytest.mark.parametrize("skipped", [(), ("shared",)])
@pytest.mark.parametrize("way", [{"padding": 2, "dilation": 2}, {"padding": 1, "stride": 2}, {"padding": 0}])
def test_a_filter_laid_in_several_ways_in_paddle(
    way: dict[str, Any], skipped: tuple[str, ...], tmp_path: Path
) -> None:
    model = laid(way, *skipped)
    saved = qcc.save(model, tmp_path, target="paddle-x86", check=INPUTS)
    assert all(check.good for check in saved.checks)


def test_wrong_in_paddle_without_it(tmp_path: Path) -> None:
    target = without_step("paddle-x86", "own-filters")
    with pytest.raises(OutputError, match=r"oneDNN int8: off by .*, which is wrong: .*conv2d of 'conv2d_2"):
        deploy.save(laid({"padding": 2, "dilation": 2}), tmp_path, target, None, None, None, check=INPUTS)


def test_a_filter_laid_in_one_way_is_shared() -> None:
    graph = for_target(laid({"padding": 1}), find_target("paddle-x86"))[0].graph
    assert len([name for name in graph.weights if name.endswith(".filter")]) == 0
