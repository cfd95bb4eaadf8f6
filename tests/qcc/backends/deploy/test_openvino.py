"""The form for OpenVINO in OpenVINO itself: each fact and fault of its table."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import NETS, engine_net
from lite_case import F, build_model, floats, static

import qcc
from qcc._paddle import paddle
from qcc.backends.engines.openvino import OpenVino
from qcc.calibrate.activations import calibrated
from qcc.errors import EngineError, OutputError
from qcc.model import Model
from qcc.targets import table
from qcc.targets.table import Target, find_target

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO is not installed; `pip install 'qcc[openvino]'`",
)


def frozen(net: Model, inputs: dict[str, np.ndarray], weight_type: str = "channel_wise_abs_max") -> Model:
    scheme = f"transform{{weight_type={weight_type},activation_type=moving_average_abs_max}}"
    transformed = qcc.PassManager.parse(scheme).run(net)
    return qcc.PassManager.parse("freeze,prune").run(calibrated(transformed, [inputs]))


@pytest.mark.parametrize("name", NETS)
def test_cases(name: str, tmp_path: Path) -> None:
    """It computes what the file says, and that is what was frozen with a bit less of the weights."""
    net, inputs = engine_net(name)
    model = frozen(net, inputs, "abs_max" if name == "left_weight" else "channel_wise_abs_max")
    saved = qcc.save(model, tmp_path, target="openvino", check=inputs)
    assert saved.checks[-1].what == "OpenVINO"
    assert saved.checks[-1].good
    with OpenVino(tmp_path / "model.pdmodel") as engine:
        (found,), (expected,) = engine.run(inputs), model.run(inputs)
        assert sum(engine.int8.values()) > 0
    np.testing.assert_allclose(found, qcc.load(tmp_path).run(inputs)[0], atol=1e-4 * np.abs(expected).max())
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def with_prelu(mode: str) -> Callable[[Any], Any]:
    return lambda x: static.nn.prelu(x, mode)


SPELLED: dict[str, Callable[[Any], Any]] = {
    "prelu": with_prelu("channel"),
    "prelu of all": with_prelu("all"),
    "prelu of each": with_prelu("element"),
    "prelu of a parameter": lambda x: F.prelu(x, static.create_parameter([8], "float32")),
    "fold": lambda x: F.fold(F.unfold(x, 2, 2) * 2.0, [12, 12], 2, 2),
    "unfold": lambda x: paddle.reshape(F.unfold(x, 2, 2), [1, 32, 6, 6]),
    "unfold, padded": lambda x: paddle.unsqueeze(F.unfold(x, [3, 2], [1, 2], [1, 2, 0, 1], [2, 1]), 2),
}


@pytest.mark.parametrize("name", SPELLED)
def test_spelled_out(name: str, tmp_path: Path) -> None:
    """What OpenVINO does not read in models of Paddle."""
    x = floats(1, 8, 12, 12)

    def build(x: Any) -> Any:
        return static.nn.conv2d(SPELLED[name](static.nn.conv2d(x, 8, 3, padding=1)), 4, 1)

    model = frozen(build_model(build, (x,)), {"x0": x})
    saved = qcc.save(model, tmp_path, target="openvino", check={"x0": x})
    assert all(check.good for check in saved.checks)


def test_depthwise(tmp_path: Path) -> None:
    inputs = {"x0": floats(1, 8, 12, 12)}
    net = build_model(
        lambda x: static.nn.conv2d(F.relu(x), 8, 3, groups=8, bias_attr=False), tuple(inputs.values())
    )
    model = frozen(net, inputs)
    qcc.save(model, tmp_path, target="openvino", check=inputs)
    with OpenVino(tmp_path / "model.pdmodel") as engine:
        assert engine.int8 == {"Convolution": 1}


@pytest.mark.parametrize(
    "read",
    [lambda y: F.adaptive_avg_pool2d(y, 1) * y, lambda y: y + y, lambda y: F.max_pool2d(y, 3, 1, 1) * -1.0],
    ids=["squeeze and excite", "one op reads it twice", "a pool and a factor"],
)
def test_open_batch(read: Callable[[Any], Any], tmp_path: Path) -> None:
    """A convolution without a bias."""
    inputs = {"x0": floats(2, 4, 12, 12)}
    net = build_model(
        lambda x: read(static.nn.conv2d(F.relu(x), 8, 3, padding=1, bias_attr=False)), tuple(inputs.values())
    )
    model = frozen(net, inputs)
    assert qcc.save(model, tmp_path, target="openvino", check=inputs).checks[-1].good
    with OpenVino(tmp_path / "model.pdmodel") as engine:
        assert engine.int8 == {"Convolution": 1}
        (found,), (expected,) = engine.run(inputs), model.run(inputs)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_what_it_computes_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights of 8 bits, where a processor clips sums to 16 bits."""
    from qcc.targets.processor import has_vnni

    if has_vnni():
        pytest.skip("this processor has VNNI, and clips nothing.")
    content = find_target("openvino").model_dump()
    toy = Target.model_validate(content | {"name": "toy", "pipeline": "qdq,prune,mul-to-matmul"})
    monkeypatch.setattr(table, "known_targets", lambda: {"toy": toy})
    net, inputs = engine_net("fc_behind_relu")
    with pytest.raises(OutputError, match=r"was not written: OpenVINO: off by .*, which is wrong"):
        qcc.save(frozen(net, inputs), tmp_path / "out", target="toy", check=inputs)
    assert not (tmp_path / "out").exists()


def test_what_it_does_not_read(tmp_path: Path) -> None:
    net, _ = engine_net("fc_behind_relu")
    qcc.save(net, tmp_path, check=False)
    with pytest.raises(EngineError, match=r"OpenVINO ended with code 1 on .*No creator found for mul node"):
        OpenVino(tmp_path / "model.pdmodel")
