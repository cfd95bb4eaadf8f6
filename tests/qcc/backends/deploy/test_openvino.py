"""The form for OpenVINO in OpenVINO itself: each fact and fault of its table."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_nets import NETS, engine_net
from lite_case import F, append_op, build_model, by_name, floats, slopes, static

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
    return lambda x: static.nn.prelu(x, mode, slopes())


def raw(kind: str, **attrs: Any) -> Callable[[Any], Any]:
    return lambda x: append_op(kind, {"X": x}, {"Out": "float32"}, attrs)[0]


def resized(kind: str, align_corners: bool = False, **size: Any) -> Callable[[Any], Any]:
    """As Paddle 1 writes it."""
    sizes = {"out_h": -1, "out_w": -1, "scale": 0.0, **size}
    how = {"interp_method": kind, "align_corners": align_corners, "align_mode": 1, "data_layout": "NCHW"}
    return raw(f"{kind}_interp", **sizes, **how)


def affine(x: Any) -> Any:
    factors = {name: static.create_parameter([8], "float32") for name in ("Scale", "Bias")}
    return append_op("affine_channel", {"X": x, **factors}, {"Out": "float32"}, {"data_layout": "NCHW"})[0]


def unpooled(x: Any) -> Any:
    pooled, index = F.max_pool2d(F.relu(x), 2, 2, return_mask=True)
    return F.max_unpool2d(pooled - 0.5, index, 2, 2)


def transposed(**options: Any) -> Callable[[Any], Any]:
    def build(x: Any) -> Any:
        filters = static.create_parameter([8, 4, 3, 3], "float32")
        return F.conv2d_transpose(x, filters, **{"stride": 2, "padding": 1, **options})

    return build


def flat(axis: int) -> Callable[[Any], Any]:
    def build(x: Any) -> Any:
        attrs, outputs = {"axis": axis}, {"Out": "float32", "XShape": "float32"}
        return paddle.reshape(append_op("flatten2", {"X": x}, outputs, attrs)[0], [1, 8, 12, 12])

    return build


SPELLED: dict[str, Callable[[Any], Any]] = {
    "affine_channel": affine,
    "argmax, kept": lambda x: x + paddle.cast(paddle.argmax(x, 1, keepdim=True), "float32"),
    "argmax, from behind": lambda x: x[..., 0] + paddle.cast(paddle.argmax(x, -1, dtype="int32"), "float32"),
    "argmin, kept": lambda x: x + paddle.cast(paddle.argmin(x, -1, keepdim=True), "float32"),
    "argmax of integers": lambda x: (
        x[..., 0] + paddle.cast(paddle.argmax(paddle.cast(x * 99.0, "int64"), -1), "float32")
    ),
    "broadcast_tensors": lambda x: sum(paddle.broadcast_tensors([x[:, :1], x[:, :, :1]])),
    "einsum": lambda x: paddle.einsum("bchw,bdhw->bcd", x, x),
    "bilinear_interp": resized("bilinear", out_h=16, out_w=10),
    "bilinear_interp, corners": resized("bilinear", align_corners=True, out_h=16, out_w=10),
    "bilinear_interp, scale": resized("bilinear", scale=2.0),
    "brelu": raw("brelu", t_min=-0.5, t_max=0.7),
    "truth values": lambda x: paddle.where(
        paddle.bitwise_xor(
            paddle.bitwise_or(x > 0.5, paddle.bitwise_not(x > -0.5)), paddle.bitwise_and(x > 0.0, x < 1.0)
        ),
        x,
        x * 2.0,
    ),
    "pad, channels last": lambda x: paddle.transpose(
        F.pad(paddle.transpose(x, [0, 2, 3, 1]), [0, 0, 0, 1, 0, 2, 1, 3], value=0.5)[..., 1:9], [0, 3, 1, 2]
    ),
    "pad, tokens": lambda x: F.pad(paddle.flatten(x, 2), [0, 0, 0, 0, 2, 5]).unsqueeze(2),
    "pad, five dimensions": lambda x: paddle.flatten(
        F.pad(paddle.reshape(x, [-1, 2, 4, 12, 12]), [0, 0, 0, 0, 0, 0, 1, 2, 0, 3], value=-1.0), 1, 2
    ),
    "dilated, SAME": lambda x: static.nn.conv2d(x, 8, 3, padding="SAME", dilation=2),
    "circular": lambda x: F.pad(x, [1, 2, 0, 1], mode="circular"),
    "flatten2": flat(1),
    "flatten2, later": flat(2),
    "flatten2, all behind": flat(0),
    "flatten2, all in front": flat(4),
    "mean padded behind": lambda x: F.avg_pool2d(x, 3, 2, [0, 1, 0, 1], exclusive=False),
    "mean padded in front": lambda x: F.avg_pool2d(x, 3, 2, [2, 0, 2, 0], ceil_mode=True, exclusive=False),
    "mean padded the same": lambda x: F.avg_pool2d(x, 3, 2, "SAME", exclusive=False),
    "instance_norm": lambda x: paddle.nn.InstanceNorm2D(8)(x),
    "isnan": lambda x: paddle.cast(paddle.isnan(x), "float32") + x,
    "lerp": lambda x: paddle.lerp(x, F.relu(x), 0.3),
    "log10": lambda x: paddle.log10(F.relu(x) + 1.0),
    "log1p": lambda x: paddle.log1p(F.relu(x)),
    "log_sigmoid": F.log_sigmoid,
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "mean": lambda x: x * raw("mean")(x),
    "mish": F.mish,
    "nearest_interp": resized("nearest", out_h=24, out_w=36),
    "nearest_interp, fewer": resized("nearest", out_h=7, out_w=8),
    "nearest_interp_v2, fewer": lambda x: F.interpolate(x, size=[8, 7], mode="nearest"),
    "nearest_interp, scale": resized("nearest", scale=2.0),
    "norm": lambda x: append_op(
        "norm", {"X": x}, {"Out": "float32", "Norm": "float32"}, {"axis": 1, "epsilon": 1e-10}
    )[0],
    "p_norm of all": lambda x: x / paddle.reshape(paddle.norm(x, p=1), [1, 1, 1, 1]),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "reciprocal": lambda x: paddle.reciprocal(F.relu(x) + 1.0),
    "selu": F.selu,
    "sign": paddle.sign,
    "softsign": F.softsign,
    "square": paddle.square,
    "strided_slice": lambda x: paddle.strided_slice(x, [3], [11], [0], [-1]),
    "trunc": lambda x: paddle.trunc(x * 3.0),
    "unbind": lambda x: paddle.stack(paddle.unbind(x, -2)[2:5], 2),
    "unstack": lambda x: paddle.stack(paddle.unstack(x, 1)[::-1], 1),
    "transposed, larger": transposed(output_padding=[1, 0]),
    "transposed, SAME": transposed(padding="SAME"),
    "transposed, SAME, dilated": transposed(padding="SAME", stride=1, dilation=2),
    "transposed, to a size": transposed(output_size=[24, 23]),
    "unpool": unpooled,
    "prelu": with_prelu("channel"),
    "prelu of all": with_prelu("all"),
    "prelu of each": with_prelu("element"),
    "prelu of a parameter": lambda x: F.prelu(x, static.create_parameter([8], "float32")),
    "fold": lambda x: F.fold(F.unfold(x, 2, 2) * 2.0, [12, 12], 2, 2),
    "unfold": lambda x: paddle.reshape(F.unfold(x, 2, 2), [1, 32, 6, 6]),
    "unfold, padded": lambda x: paddle.unsqueeze(F.unfold(x, [3, 2], [1, 2], [1, 2, 0, 1], [2, 1]), 2),
}


@pytest.mark.parametrize("name", by_name(SPELLED))
def test_spelled_out(name: str, tmp_path: Path) -> None:
    """What OpenVINO does not read in models of Paddle."""
    x = floats(1, 8, 12, 12)

    def build(x: Any) -> Any:
        y = SPELLED[name](static.nn.conv2d(x, 8, 3, padding=1))
        return static.nn.conv2d(y if len(y.shape) == 4 else paddle.unsqueeze(y, -1), 4, 1)

    model = frozen(build_model(build, (x,)), {"x0": x})
    saved = qcc.save(model, tmp_path, target="openvino", check={"x0": x})
    assert all(check.good for check in saved.checks)


OF_ANY_SIZE: dict[str, Callable[[Any], Any]] = {
    "channel_shuffle": lambda x: F.channel_shuffle(F.relu(x), 4),
    "gather": lambda x: paddle.gather(x, paddle.to_tensor([2, 0, 1, 5, 6, 7, 4, 3]), 1),
    "index_select": lambda x: paddle.index_select(x, paddle.to_tensor([2, 0, 1, 5, 6, 7, 4, 3]), -3),
    "transposed, SAME": transposed(padding="SAME", stride=1),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "unbind": lambda x: paddle.stack(paddle.unbind(x, 1)[::-1], 1),
}


@pytest.mark.parametrize("name", OF_ANY_SIZE)
def test_spelled_out_for_any_size(name: str, tmp_path: Path) -> None:
    x = floats(1, 8, 12, 12)

    def build(x: Any) -> Any:
        return static.nn.conv2d(OF_ANY_SIZE[name](static.nn.conv2d(x, 8, 3, padding=1)), 4, 1)

    model = frozen(build_model(build, (x,), any_size=True), {"x0": x})
    saved = qcc.save(model, tmp_path, target="openvino", check={"x0": x})
    assert all(check.good for check in saved.checks)
    assert "with x0 [2, 8, " in str(saved.checks)


def test_a_permutation_of_channels_is_taken_into_filters_the_wrong_way(tmp_path: Path) -> None:
    """In float as well, without the pass."""
    x = floats(1, 8, 12, 12)
    order = [2, 0, 1, 5, 6, 7, 4, 3]

    def build(x: Any) -> Any:
        y = paddle.gather(static.nn.conv2d(x, 8, 3), paddle.to_tensor(order), 1)
        return static.nn.conv2d(y, 4, 1)

    model = qcc.PassManager.parse("fold-constants").run(build_model(build, (x,)))
    spelled = qcc.PassManager.parse("spell-out{reader=openvino}").run(model)
    (expected,) = model.run({"x0": x})
    off = []
    for each, folder in ((model, tmp_path / "given"), (spelled, tmp_path / "spelled")):
        qcc.save(each, folder, check=False)
        with OpenVino(folder / "model.pdmodel") as engine:
            off.append(np.abs(engine.run({"x0": x})[0] - expected).max() / np.ptp(expected))
    assert off[0] > 0.1
    assert off[1] < 1e-5


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
    """With weights of 8 bits, where a processor clips sums to 16 bits, as one with AVX2 alone does."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
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


def test_what_is_computed_and_has_to_stand_in_the_file(tmp_path: Path) -> None:
    def halved(x: Any) -> Any:
        size = paddle.shape(x)
        return F.adaptive_avg_pool2d(F.relu(x), [size[2] // 2, size[3] // 2])

    net = build_model(halved, (floats(1, 3, 8, 8),), any_size=True)
    (pool,) = (op for op in net.graph.ops if op.type == "pool2d")
    held = ", ".join(repr(var.name) for var in pool.pointed["ksize"])
    qcc.save(net, tmp_path, check=False)
    with pytest.raises(EngineError) as caught:
        OpenVino(tmp_path / "model.pdmodel")
    assert str(caught.value) == (
        f"the attribute 'ksize' of the pool2d of {pool.output('Out').name!r} is computed when the model"
        f" runs, as {held}, and OpenVINO needs it before: export the model with fixed sizes."
    )
