"""Convolutions that read one filter: grouped ones of blocks that a network uses twice, and those of several
dilations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, build_model, floats, static
from onnx_files import exported, frozen, needs_openvino, without, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.deploy.floats import write_float_for
from qcc.backends.deploy.form import for_target
from qcc.backends.predictor import Predictor
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


def shared(x: Any, **options: Any) -> Any:
    return static.nn.conv2d(x, 8, 3, param_attr="shared", **{"padding": 1, "bias_attr": False, **options})


ON_ONE_MAP: dict[str, Callable[[Any], list[Any]]] = {
    "padding of the same numbers": lambda x: [shared(x, padding="SAME"), shared(x, padding=0)],
    "one activation": lambda x: [F.relu(shared(x)), shared(x)],
    "two activations": lambda x: [F.relu(shared(x)), F.hardswish(shared(x)), F.relu6(shared(x))],
    "two biases": lambda x: [shared(x, bias_attr="first"), shared(x, bias_attr="second")],
    "one bias": lambda x: [shared(x, bias_attr="first"), shared(x)],
    "one sum": lambda x: [F.relu(shared(x) + x), F.relu(shared(x))],
}


def on_one_map(name: str) -> Model:
    """The means of what convolutions with one filter give of one map."""

    def build(image: Any) -> Any:
        x = F.relu(static.nn.conv2d(image, 8, 3, padding=1))
        return paddle.concat([paddle.mean(y, [2, 3]) for y in ON_ONE_MAP[name](x)], 1)

    return build_model(build, tuple(INPUTS.values()))


@pytest.mark.parametrize("skipped", [(), ("shared",)])
@pytest.mark.parametrize("name", ON_ONE_MAP)
def test_a_filter_laid_on_one_map_in_paddle(name: str, skipped: tuple[str, ...], tmp_path: Path) -> None:
    saved = qcc.save(frozen(on_one_map(name), INPUTS, *skipped), tmp_path, target="paddle-x86", check=INPUTS)
    assert all(check.good for check in saved.checks)


@pytest.mark.parametrize("name", ON_ONE_MAP)
def test_a_float_one_as_well(name: str, tmp_path: Path) -> None:
    model = on_one_map(name)
    write_float_for(model, find_target("paddle-x86"), tmp_path)
    (found,) = Predictor.open(tmp_path).run(INPUTS)
    np.testing.assert_allclose(found, model.run(INPUTS)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_ONE_MAP)
def test_wrong_on_one_map_without_it(name: str, tmp_path: Path) -> None:
    target = without_step("paddle-x86", "own-filters")
    with pytest.raises(OutputError, match=r"oneDNN int8: (off by .*, which is wrong|does not run)"):
        deploy.save(frozen(on_one_map(name), INPUTS), tmp_path, target, None, None, None, check=INPUTS)


def levels(image: Any) -> Any:
    """A head on maps of several sizes, twice on each."""
    x = F.relu(static.nn.conv2d(image, 8, 3, padding=1))
    maps = [x, F.relu(static.nn.conv2d(F.max_pool2d(x, 2, 2), 8, 3, padding=1))]
    read = [shared(x, padding=dilation, dilation=dilation) for x in maps for dilation in (1, 2)]
    return sum(paddle.mean(F.relu(y), [2, 3]) for y in read)


def test_maps_share_filters() -> None:
    model = frozen(build_model(levels, tuple(INPUTS.values())), INPUTS)
    graph = for_target(model, find_target("paddle-x86"))[0].graph
    assert len([name for name in graph.weights if name.endswith(".filter")]) == 1
    read = [op.input("Filter").name for op in graph.ops if op.type == "conv2d"]
    assert sorted(map(read.count, set(read))) == [1, 1, 2, 2]
