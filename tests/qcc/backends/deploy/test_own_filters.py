"""Grouped convolutions that read one filter, as blocks do that a network uses twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without, without_step

import qcc
from qcc.backends import deploy
from qcc.backends.deploy.form import for_target
from qcc.errors import OutputError
from qcc.model import Model
from qcc.targets.table import find_target

pytestmark = [needs_openvino, pytest.mark.slow]

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


def test_wrong_without_it(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"OpenVINO: off by .*, which is wrong: .*'conv2d_1"):
        deploy.save(net(), tmp_path, without_step("openvino", "own-filters"), None, None, None, check=INPUTS)


def test_wrong_in_onnx_without_it(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: off by .*, which is wrong"):
        exported(net(), INPUTS, without("openvino", "own-filters"), tmp_path)


def test_right_with_it(tmp_path: Path) -> None:
    assert all(check.good for check in exported(net(), INPUTS, "openvino", tmp_path).checks)
    saved = qcc.save(net(), tmp_path, target="openvino", check=INPUTS)
    assert all(check.good for check in saved.checks)


def test_the_first_one_keeps_its_filter() -> None:
    graph = for_target(net(), find_target("openvino"))[0].graph
    filters = [op.input("Filter") for op in graph.ops if op.attr("groups", 1) == 32]
    kept = [var for var in filters if var.name == "depthwise.int8.dequantized"]
    assert (len(set(filters)), len(kept)) == (2, 1)
