"""ONNX files for OpenVINO in OpenVINO itself, and what it gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import NETS, engine_net, frozen_engine_net
from lite_case import F, build_model, floats, static
from onnx_files import HEAVY, exported, frozen, heavy_conv, needs_openvino, ops_of, without

from qcc._paddle import paddle
from qcc.backends.engines.openvino import OpenVino
from qcc.backends.onnx.check import Subject, check_file
from qcc.backends.onnx.form import prepare
from qcc.backends.report import Check
from qcc.errors import OutputError
from qcc.targets.processor import has_vnni
from qcc.targets.table import find_target

pytestmark = [needs_openvino, pytest.mark.slow]


@pytest.mark.parametrize("name", NETS)
def test_cases(name: str, tmp_path: Path) -> None:
    model, inputs = frozen_engine_net(name)
    exported(model, inputs, "openvino", tmp_path)
    with OpenVino(tmp_path / "model.onnx") as engine:
        (found,), (expected,) = engine.run(inputs), model.run(inputs)
        assert engine.int8
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.skipif(not has_vnni(), reason="this processor has no VNNI, which the file is for")
@pytest.mark.parametrize("name", NETS)
def test_cases_with_vnni(name: str, tmp_path: Path) -> None:
    """The file rounds more finely than the frozen model, and is no further from the float one."""
    model, inputs = frozen_engine_net(name)
    exported(model, inputs, "openvino+vnni", tmp_path)
    with OpenVino(tmp_path / "model.onnx") as engine:
        (found,), (float_,) = engine.run(inputs), engine_net(name)[0].run(inputs)
    (frozen_,) = model.run(inputs)
    assert np.abs(found - float_).mean() < 1.05 * np.abs(frozen_ - float_).mean()


def bare(x: Any) -> Any:
    return static.nn.conv2d(x, 8, 1, bias_attr=False)


def kept(x: Any) -> Any:
    """What is left of it in the engine is nothing, or a bias of zeros."""
    return F.dropout(x * 1.0, 0.5)


# What reads a convolution, and whether it goes wrong with a closed batch, too.
READ: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "a gate": (lambda y: y * F.adaptive_avg_pool2d(y, 1), False),
    "behind nothing": (lambda y: bare((y := kept(y)) * F.sigmoid(bare(y))), False),
    "a factor behind a pool": (lambda y: bare(F.max_pool2d(y, 3, 1, 1) * -1.0), True),
}


@pytest.mark.parametrize("name", READ)
def test_a_convolution_without_a_bias(name: str, tmp_path: Path) -> None:
    read, closed = READ[name]
    x = floats(1, 8, 12, 12)
    for batch in (-1, 1) if closed else (-1,):
        net = build_model(lambda image: read(bare(image)), (x,), batch=batch)
        model, inputs = frozen(net, {"x0": x}), {"x0": x}
        with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: .*, which is wrong"):
            exported(model, inputs, without("openvino", "bias-bare-convs"), tmp_path / "out")
        exported(model, inputs, "openvino", tmp_path)


def test_sums_are_clipped_without_vnni(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    model, inputs = heavy_conv()
    with pytest.raises(OutputError, match=r"the engine, OpenVINO, beside that: .*, which is wrong"):
        exported(model, inputs, without("openvino", "unclipped-sums"), tmp_path / "out")
    exported(model, inputs, "openvino", tmp_path)


def test_depthwise(tmp_path: Path) -> None:
    model, inputs = heavy_conv(depthwise=1)
    exported(model, inputs, "openvino", tmp_path)
    target = find_target("openvino")
    assert prepare(model, target, {}).model.weights[f"{HEAVY}.int8"].max() == 127


def test_q_and_dq_stand_in_front_of_quantized_ops_only(tmp_path: Path) -> None:
    model, inputs = frozen_engine_net("squeeze_and_excite")
    exported(model, inputs, "openvino", tmp_path)
    counts = ops_of(tmp_path / "model.onnx")
    assert (counts["Conv"], counts["QuantizeLinear"], counts["DequantizeLinear"]) == (4, 4, 8)


def resized(x: Any) -> Any:
    """To the size of another map, which is asked for in a run."""
    y = static.nn.conv2d(x, 8, 3, padding=1)
    return static.nn.conv2d(F.interpolate(F.max_pool2d(F.relu(y), 2, 2), size=paddle.shape(y)[2:]), 4, 1)


def classified(x: Any) -> Any:
    y = F.adaptive_avg_pool2d(F.relu(static.nn.conv2d(x, 8, 3)), 1)
    return static.nn.fc(paddle.flatten(y, 1), 4)


@pytest.mark.parametrize("build", [resized, classified])
def test_a_batch_stays_open_where_that_is_seen_right(build: Callable[[Any], Any], tmp_path: Path) -> None:
    inputs = {"x0": floats(2, 8, 12, 12)}
    model = frozen(build_model(build, tuple(inputs.values())), inputs)
    saved = exported(model, inputs, "openvino", tmp_path)
    assert not any("one sample" in str(check) for check in saved.checks)
    with OpenVino(tmp_path / "model.onnx") as engine:
        assert engine.run(inputs)[0].shape[0] == 2


def test_a_batch_that_is_closed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of two images is as good as that of one."""
    seen = []

    def wrong_at_first(subject: Subject, *rest: Any) -> list[Check]:
        seen.append(subject.single)
        if len(seen) == 1:
            raise subject.error("the engine is wrong")
        return check_file(subject, *rest)

    monkeypatch.setattr("qcc.backends.onnx.export.check_file", wrong_at_first)
    inputs = {"x0": floats(2, 8, 12, 12)}
    model = frozen(build_model(resized, tuple(inputs.values())), inputs)
    saved = exported(model, inputs, "openvino", tmp_path)
    assert any("takes one sample at a time" in str(check) for check in saved.checks)
    assert all(check.good for check in saved.checks)
    assert seen == [set(), {"x0"}]
    with OpenVino(tmp_path / "model.onnx") as engine:
        assert engine.run({"x0": inputs["x0"][:1]})[0].shape[0] == 1


def test_a_batch_is_closed_where_nobody_looks(tmp_path: Path) -> None:
    inputs = {"x0": floats(2, 8, 12, 12)}
    model = frozen(build_model(resized, tuple(inputs.values())), inputs)
    saved = exported(model, inputs, "openvino", tmp_path, check=False)
    assert any("takes one sample at a time" in str(check) for check in saved.checks)
