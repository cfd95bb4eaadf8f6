"""What Paddle's oneDNN kernels get wrong with floats as well, written so that they get it right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, append_op, build_model, by_name, floats, static
from onnx_files import frozen, without_step

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.deploy.form import for_target
from qcc.errors import OutputError
from qcc.model import Model
from qcc.targets.table import find_target

IMAGE = floats(1, 4, 8, 8)
TARGET = find_target("paddle-x86")


def conv(x: Any, channels: int = 4) -> Any:
    return static.nn.conv2d(x, channels, 3, padding=1)


def kept_by_halves(x: Any) -> Any:
    """As Paddle 1 does by default."""
    attrs = {"dropout_prob": 0.4, "dropout_implementation": "downgrade_in_infer", "is_test": True}
    return append_op("dropout", {"X": x}, {"Out": "float32", "Mask": "uint8"}, attrs)[0]


def of_computed_filters(x: Any, stride: int = 1, **options: Any) -> Any:
    """As in dynamic convolutions and masks by query."""
    filters = paddle.mean(F.adaptive_avg_pool2d(conv(x, 16), 3), 0)
    return F.conv2d(x, paddle.reshape(filters, [4, 4, 3, 3]), stride=stride, **options)


NEAREST = {"interp_method": "nearest", "data_layout": "NCHW", "align_corners": False, "out_d": -1}
COPIED: dict[str, Callable[[Any], Any]] = {
    "swish of a relu": lambda x: F.swish(F.relu(x)),
    "tanh of a relu": lambda x: paddle.tanh(F.relu(x)),
    "product of maps": lambda x: paddle.matmul(x, x, transpose_y=True),
    "attention": lambda x: paddle.matmul(F.softmax(paddle.matmul(x, x, transpose_y=True)), x),
    "product with a mean": lambda x: paddle.matmul(paddle.mean(x, 1, keepdim=True), F.relu(x)),
}
SPELLED: dict[str, Callable[[Any], Any]] = {
    "relu6 of a threshold that Paddle ignores": lambda x: append_op(
        "relu6", {"X": x}, {"Out": "float32"}, {"threshold": 0.4}
    )[0],
    "computed filters": of_computed_filters,
    "computed filters, strides and holes": lambda x: of_computed_filters(x, 2, padding=[2, 1], dilation=2),
    "computed filters, padded on one side": lambda x: of_computed_filters(x, padding=[0, 1, 2, 0]),
    "computed filters, same": lambda x: F.relu(of_computed_filters(x, padding="SAME")),
    "dropout": kept_by_halves,
    "mean beyond what is padded": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, exclusive=False),
    "mean padded behind": lambda x: F.avg_pool2d(x, 3, 2, [0, 1, 0, 1], exclusive=False),
    "mean padded the same": lambda x: F.avg_pool2d(x, 3, 2, "SAME", ceil_mode=True, exclusive=False),
    "same padding of odd maps": lambda x: F.avg_pool2d(x[:, :, :7, :7], 2, 2, "SAME", ceil_mode=True),
    "pad": lambda x: F.pad(x, [0, 0, 0, 0, 1, 2, 3, 0]),
    "nearest, half as large": lambda x: F.interpolate(x, size=[4, 4]),
    "nearest, half as large again": lambda x: F.interpolate(x, size=[12, 13]),
    "nearest, by a factor": lambda x: F.interpolate(x, scale_factor=1.4),
    "nearest, by a factor to a multiple": lambda x: F.interpolate(x[:, :, :3, :3], scale_factor=2.3),
    "nearest, by a factor of Paddle 1": lambda x: append_op(
        "nearest_interp", {"X": x}, {"Out": "float32"}, {**NEAREST, "out_h": -1, "out_w": -1, "scale": 1.7}
    )[0],
    "nearest, of corners": lambda x: F.interpolate(x, size=[5, 16], mode="nearest", align_corners=False),
}
TRANSPOSED = {"filter_size": 3, "stride": 2, "padding": 1}
OF_SEVERAL: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda x: F.relu(static.nn.conv2d_transpose(x, 8, **TRANSPOSED)),
    "transposed in groups": lambda x: static.nn.conv2d_transpose(x, 8, **TRANSPOSED, groups=2),
    "in groups": lambda x: static.nn.conv2d(x, 8, 3, padding=1, groups=2, param_attr="float.w_0"),
    "pooled": lambda x: F.max_pool2d(static.nn.conv2d_transpose(x, 8, **TRANSPOSED), 2),
    "joined": lambda x: paddle.concat(
        [static.nn.conv2d_transpose(x, 8, filter_size=3, padding=1), conv(x)], 1
    ),
}
"""Float layers in front of a quantized one, wrong for more than one image."""
BOTH = COPIED | SPELLED
RIGHT_AS_WELL = "nearest, by a factor of Paddle 1"


def of_several(name: str) -> tuple[Model, dict[str, np.ndarray]]:
    image = floats(1, 8, 8, 8)
    model = build_model(lambda x: conv(OF_SEVERAL[name](conv(x, 8))), (image,))
    return frozen(model, {"x0": image}, "float.w_0"), {"x0": image}


def net(name: str) -> Model:
    model = build_model(lambda x: conv(BOTH[name](conv(x))), (IMAGE,))
    return frozen(model, {"x0": IMAGE})


@pytest.mark.parametrize("name", BOTH)
def test_right_in_paddle(name: str, tmp_path: Path) -> None:
    qcc.save(net(name), tmp_path, target="paddle-x86", check={"x0": IMAGE})


@pytest.mark.parametrize("name", by_name(BOTH))
def test_it_computes_what_it_did(name: str) -> None:
    model = net(name)
    step = "plain-copies" if name in COPIED else "spell-out"
    before = for_target(model, without_step("paddle-x86", step))[0].run({"x0": IMAGE})
    after = for_target(model, TARGET)[0].run({"x0": IMAGE})
    np.testing.assert_array_equal(after, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", COPIED)
def test_wrong_without_copies(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"oneDNN int8: off by .*, which is wrong"):
        deploy.save(net(name), tmp_path, without_step("paddle-x86", "plain-copies"), None, None, None, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SPELLED if name != RIGHT_AS_WELL])
def test_wrong_as_it_stands(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"oneDNN int8: (off by .*, which is wrong|does not run)"):
        deploy.save(net(name), tmp_path, without_step("paddle-x86", "spell-out"), None, None, None, True)


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_any_number_of_images(name: str, tmp_path: Path) -> None:
    model, image = of_several(name)
    saved = qcc.save(model, tmp_path, target="paddle-x86", check=image)
    assert saved.warnings == ()
    assert "with x0 [2, 8, 8, 8], off by" in str(saved.checks[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OF_SEVERAL if name != "joined"])
def test_one_image_alone_without_copies(name: str, tmp_path: Path) -> None:
    model, image = of_several(name)
    target = without_step("paddle-x86", "plain-copies")
    saved = deploy.save(model, tmp_path, target, None, None, None, image)
    (warning,) = saved.warnings
    assert "with x0 [2, 8, 8, 8], after x0 [1, 8, 8, 8], it does not run" in str(warning)


def test_layers_that_give_channels_last_are_not_copied() -> None:
    image = floats(1, 8, 8, 8)

    def build(x: Any) -> Any:
        twice = static.nn.conv2d_transpose(conv(x, 8), 8, filter_size=4, stride=2, padding=1)
        return conv(static.nn.conv2d_transpose(conv(twice, 8), 8, filter_size=2, stride=2))

    model = frozen(build_model(build, (image,)), {"x0": image})
    assert "elementwise_max" not in [op.type for op in for_target(model, TARGET)[0].graph.ops]


def test_what_grows_by_a_whole_factor_stays() -> None:
    model = frozen(
        build_model(lambda x: conv(F.interpolate(conv(x), scale_factor=2)), (IMAGE,)), {"x0": IMAGE}
    )
    assert "nearest_interp_v2" in [op.type for op in for_target(model, TARGET)[0].graph.ops]


def test_lines_of_any_width_stay() -> None:
    line = floats(2, 4, 8, 10)

    def build(x: Any) -> Any:
        return F.interpolate(paddle.reshape(x, [0, 4, 8, -1]), scale_factor=0.5)

    model = build_model(build, (line,))
    (wanted,) = model.run({"x0": line})
    (found,) = qcc.PassManager.parse("spell-out{reader=onednn}").run(model).run({"x0": line})
    np.testing.assert_array_equal(found, wanted)


def test_volumes_stay() -> None:
    volume = floats(1, 2, 4, 6, 6)
    model = build_model(lambda x: F.interpolate(x, size=[2, 4, 4], data_format="NCDHW"), (volume,))
    (wanted,) = model.run({"x0": volume})
    (found,) = qcc.PassManager.parse("spell-out{reader=onednn}").run(model).run({"x0": volume})
    np.testing.assert_array_equal(found, wanted)
