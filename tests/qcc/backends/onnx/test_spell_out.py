"""Ops that paddle2onnx lacks or takes for something else, as files that give what Paddle gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import F, append_op, build_model, by_name, floats, skipped_on_paddle_3, static
from lite_nets import ssd
from onnx_files import exported, frozen, needs_openvino

import qcc
from qcc._paddle import paddle
from qcc.backends.engines.onnxruntime import OnnxRuntime
from qcc.backends.onnx.export import export
from qcc.backends.onnx.translate import to_onnx
from qcc.errors import EngineError, PassError, TargetError
from qcc.model import Model
from qcc.targets.table import find_target

Build = Callable[[Any], Any]

IMAGE = floats(1, 8, 12, 12)


def conv(x: Any, channels: int = 8) -> Any:
    return static.nn.conv2d(x, channels, 3, padding=1)


def patches(x: Any) -> Any:
    """As MobileViTV2 takes a map apart and puts it together again."""
    return F.fold(F.unfold(x, 2, 2) * 2.0, [12, 12], 2, 2)


def overlapping(x: Any) -> Any:
    """As in VOLO, whose patches are summed where they lie over one another."""
    how = (3, [2, 1], [1, 0, 1, 0], [1, 2])
    return F.fold(F.unfold(x, *how), [12, 12], *how)


def deformed(masked: bool = False, **options: Any) -> Build:
    """`options`: of the convolution. Offsets reach beyond the map."""
    groups, kernel = options.get("deformable_groups", 1), (3, 2)

    def build(x: Any) -> Any:
        taps, window = groups * kernel[0] * kernel[1], {k: options[k] for k in _WINDOW if k in options}
        offset = static.nn.conv2d(x, 2 * taps, kernel, **window) * 4.0
        mask = F.sigmoid(static.nn.conv2d(x, taps, kernel, **window)) if masked else None
        return static.nn.deform_conv2d(x, offset, mask, 8, kernel, **options, bias_attr=False)

    return build


def joined(x: Any) -> Any:
    """Two that need each other's size, one that needs that of both."""
    rows, columns, mean = x[:, :, :1], x[:, :, :, :1], paddle.mean(x, [1, 2, 3], keepdim=True)
    parts = paddle.broadcast_tensors([rows, columns, mean])
    return parts[0] * 2.0 + parts[1] * parts[2]


def pooled_regions(x: Any) -> Any:
    boxes = paddle.assign(np.array([[0, 0, 20, 20], [5, 4, 22, 19]], np.float32))
    count = paddle.assign(np.array([2], np.int32))
    return paddle.vision.ops.roi_align(x, boxes, count, (3, 2), 0.5)


def unpooled(x: Any) -> Any:
    """As in ENet's decoder; of equal values in a window, as a relu makes them, the first counts."""
    pooled, index = F.max_pool2d(F.relu(x), (2, 3), (2, 3), return_mask=True)
    return F.max_unpool2d(pooled - 0.5, index, (2, 3), (2, 3))


def enlarged(x: Any) -> Any:
    return F.conv2d_transpose(
        x, static.create_parameter([8, 4, 3, 3], "float32"), stride=2, padding=1, output_size=[24, 23]
    )


def sent(**options: bool) -> Build:
    def build(x: Any) -> Any:
        return paddle.reshape(F.affine_grid(x[:, :2, 0, :3], [1, 8, 5, 6], **options), [1, 2, 5, 6])

    return build


def coded(normalized: bool = True, axis: int = 0, spread: bool = True) -> Build:
    """Boxes from offsets, 24 prior boxes and 12 sets of offsets, or the other way round. `spread`: each prior
    box has variances of its own."""

    def build(x: Any) -> Any:
        offsets = paddle.reshape(x, [12, 24, 4])
        boxes = np.random.default_rng(0).uniform(0, 1, ((12 if axis else 24), 4)).astype(np.float32)
        prior, variances = paddle.assign(boxes), [0.1, 0.1, 0.2, 0.2]
        own = paddle.assign(boxes * np.float32(0.3)) if spread else variances
        return paddle.vision.ops.box_coder(prior, own, offsets, "decode_center_size", normalized, axis=axis)

    return build


def with_infinities(x: Any) -> Any:
    return F.relu(x - 0.5) / F.relu(x - 1.0)


def as_numbers(build: Build) -> Build:
    return lambda x: paddle.cast(build(with_infinities(x)), "float32")


def old(op_type: str, outputs: tuple[str, ...] = ("Out",), slot: str = "X", **attrs: Any) -> Build:
    def build(x: Any) -> Any:
        return append_op(op_type, {slot: x}, dict.fromkeys(outputs, "float32"), attrs)[0]

    return build


def spread(x: Any) -> Any:
    y = F.relu(x)
    return paddle.expand_as(paddle.mean(y, 1, keepdim=True), y)


def mixed(x: Any) -> Any:
    return paddle.addmm(x[0, 0, :1, :], x[0, 1], x[0, 2], beta=0.5, alpha=2.0)


_WINDOW = ("stride", "padding", "dilation")
LACKED: dict[str, Build] = {
    "addmm": lambda x: paddle.unsqueeze(mixed(x), 0),
    "affine_grid": sent(),
    "affine_grid, of pixels": sent(align_corners=False),
    "box_coder": coded(),
    "box_coder, of pixels": coded(normalized=False, spread=False),
    "box_coder, by rows": coded(axis=1),
    "box_coder, by rows, of pixels": coded(normalized=False, axis=1, spread=False),
    "celu": lambda x: F.celu(x * 3.0, 1.5),
    "expm1": lambda x: paddle.expm1(x),
    "crop_tensor": lambda x: paddle.crop(x, [-1, -1, 4, 7], [0, 2, 3, 0]),
    "frobenius_norm": lambda x: paddle.norm(x, axis=[1, 3], keepdim=True),
    "frobenius_norm of all": lambda x: paddle.reshape(paddle.norm(x), [1, 1, 1, 1]),
    "increment": lambda x: paddle.reshape(paddle.increment(paddle.mean(x)), [1, 1, 1, 1]),
    "isfinite": as_numbers(paddle.isfinite),
    "isinf": as_numbers(paddle.isinf),
    "isnan": as_numbers(paddle.isnan),
    "lerp": lambda x: paddle.lerp(x, x[:, 1:2], F.sigmoid(x)),
    "logit": lambda x: paddle.logit(F.sigmoid(x), 0.3),
    "logit, of all": lambda x: paddle.logit(F.sigmoid(x)),
    "maxout": lambda x: F.maxout(x, 2),
    "reduce_amax": lambda x: paddle.amax(x, [1, 3], keepdim=True),
    "reduce_amin": lambda x: paddle.amin(x, 2),
    "rrelu": lambda x: F.rrelu(x, 0.1, 0.4, training=False),
    "stanh": lambda x: paddle.stanh(x, 0.7, 1.7),
    "trunc": lambda x: paddle.trunc(x * 3.0),
    "broadcast_tensors": joined,
    "channel_shuffle": lambda x: F.channel_shuffle(x, 4),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "fold": patches,
    "fold, overlapping": overlapping,
    "unfold, padded on one side": lambda x: F.unfold(x, 3, 1, [0, 1, 2, 3]),
    "unpool": unpooled,
}
DEFORMED: dict[str, Build] = {
    "deformable_conv": deformed(True, padding=1),
    "deformable_conv_v1": deformed(),
    "steps": deformed(stride=2, padding=(2, 1)),
    "holes": deformed(True, padding=2, dilation=(2, 1)),
    "groups": deformed(True, padding=1, groups=2),
    "groups that look elsewhere": deformed(True, deformable_groups=4, stride=(1, 2)),
    "groups of both kinds": deformed(deformable_groups=2, groups=2),
}
WRONG: dict[str, Build] = {
    "p_norm of all": lambda x: paddle.reshape(paddle.norm(x, p=1), [1, 1, 1, 1]),
    "p_norm of all, kept": lambda x: paddle.norm(x, p=3, keepdim=True),
    "backwards": lambda x: x[:, ::-1],
    "backwards from the middle": lambda x: x[:, 5::-1, ::-2, 7:1:-3],
    "backwards to far in front": lambda x: paddle.strided_slice(x, [2], [-1], [-100], [-1]),
    "backwards from far behind": lambda x: paddle.strided_slice(x, [1, 3], [100, -2], [-5, -20], [-2, -1]),
    "backwards beside forwards": lambda x: x[:, ::-1, 1:9:3],
    "expand_as of an open batch": lambda x: paddle.expand_as(
        paddle.mean(F.relu(x), 1, keepdim=True), F.relu(x)
    ),
    "circular padding": lambda x: F.pad(x, [1, 2, 0, 3], "circular"),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, (5, 7)),
    "adaptive_max_pool of one row": lambda x: F.adaptive_max_pool2d(x, (1, 8)),
    "adaptive_max_pool to more than there is": lambda x: F.adaptive_max_pool2d(x[:, :, :3, :], (4, 5)),
    "steep softplus": lambda x: F.softplus(x, 2.0),
    "bent softplus": lambda x: F.softplus(x * 3.0, 0.5, 1.0),
    "softplus of another threshold": lambda x: F.softplus(x * 3.0, 1.0, 1.0),
    "gelu by a tanh": lambda x: F.gelu(x, approximate=True),
    "mean padded behind": lambda x: F.avg_pool2d(x, 3, 2, [0, 1, 0, 1], exclusive=False),
    "mean padded the same": lambda x: F.avg_pool2d(x, 3, 2, "SAME", exclusive=False),
    "conv2d_transpose of a size": enlarged,
    "conv2d_transpose of a size, VALID": lambda x: F.conv2d_transpose(
        x, static.create_parameter([8, 4, 3, 3], "float32"), stride=2, padding="VALID", output_size=[26, 25]
    ),
    "conv2d of padding SAME, dilated": lambda x: static.nn.conv2d(x, 4, 3, padding="SAME", dilation=2),
    "conv2d_transpose of padding SAME": lambda x: static.nn.conv2d_transpose(
        x[:, :, :11, :11], 4, filter_size=4, stride=2, padding="SAME"
    ),
    "unfold, padded across": lambda x: F.unfold(x, [3, 2], [2, 1], [0, 2], [1, 2]),
    "roi_align of as many samples as fit": pooled_regions,
}
OLD: dict[str, Build] = {
    "average of what is padded, beyond it": old(
        "pool2d",
        pooling_type="avg",
        ksize=[3, 2],
        strides=[2, 3],
        paddings=[1, 1],
        exclusive=False,
        ceil_mode=True,
    ),
    "bilinear by a fraction": old(
        "bilinear_interp",
        interp_method="bilinear",
        scale=1.3,
        out_h=-1,
        out_w=-1,
        align_corners=False,
        align_mode=1,
        data_layout="NCHW",
    ),
    "crop": old("crop", offsets=[0, 2, 3, 0], shape=[1, 6, 4, 7]),
    "hard_swish of numbers that Paddle ignores": old("hard_swish", threshold=5.0, scale=7.0, offset=2.0),
    "norm of a large epsilon": old("norm", ("Out", "Norm"), axis=1, epsilon=0.5),
    "polygon_box_transform": old("polygon_box_transform", ("Output",), "Input"),
    "relu6 of a threshold that Paddle ignores": old("relu6", threshold=0.4),
    "reshape": old("reshape", shape=[0, 4, -1, 12]),
    "reverse": old("reverse", axis=[1, 3]),
    "shuffle_channel": old("shuffle_channel", group=2),
    "soft_relu": old("soft_relu", threshold=0.7),
    "swish of a beta that Paddle ignores": old("swish", beta=1.5),
    "transpose": old("transpose", axis=[0, 2, 3, 1]),
}
"""What programs of Paddle 1 hold."""
KINDS = {"lacked": LACKED, "wrong": WRONG, "deformed": DEFORMED, "old": OLD}

CRASHES = {
    "p_norm of all": "input_shape_size == size was false",
    "adaptive_max_pool to more than there is": "SIGFPE",
    "circular padding": "RUNTIME_EXCEPTION",
    "conv2d of padding SAME, dilated": "Dilation not supported",
    "expand_as of an open batch": "must be >= 0",
    "roi_align of as many samples as fit": "Sampling ratio should be >=0",
}


ROUNDING = 3e-6
"""Sums in another order; where a map is sampled is rounded on another grid, too."""


def run(file: Path) -> np.ndarray:
    with OnnxRuntime(file) as engine:
        (found,) = engine.run({"x0": IMAGE})
    return found


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape:
        return np.inf
    return float(np.abs(found - wanted).max() / (np.ptp(wanted) or np.abs(wanted).max()))


@pytest.mark.parametrize("kind", KINDS)
def test_gives_what_paddle_gives(kind: str, tmp_path: Path) -> None:
    builds = {name: build for name, build in KINDS[kind].items() if not skipped_on_paddle_3(name)}
    model = build_model(lambda x: [build(x) for build in builds.values()], (IMAGE,))
    wanted = model.run({"x0": IMAGE})
    export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check={"x0": IMAGE})
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        found = engine.run({"x0": IMAGE})
    far = {name: off(*pair) for name, *pair in zip(builds, found, wanted, strict=True)}
    assert {name: distance for name, distance in far.items() if distance >= ROUNDING} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", by_name(LACKED | DEFORMED))
def test_paddle2onnx_lacks(name: str) -> None:
    with pytest.raises(TargetError, match=r"does not know|Due to opset|paddings.0. is not equal"):
        to_onnx(build_model((LACKED | DEFORMED)[name], (IMAGE,)).graph, "uint8")


@pytest.mark.slow
@pytest.mark.parametrize("name", by_name(WRONG))
def test_paddle2onnx_gives_something_else(name: str, tmp_path: Path) -> None:
    model = build_model(WRONG[name], (IMAGE,))
    (wanted,) = model.run({"x0": IMAGE})
    (tmp_path / "model.onnx").write_bytes(to_onnx(model.graph, "uint8").SerializeToString())
    if name in CRASHES:
        with pytest.raises(EngineError, match=CRASHES[name]):
            run(tmp_path / "model.onnx")
    else:
        assert off(run(tmp_path / "model.onnx"), wanted) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", by_name(OLD))
def test_paddle2onnx_lacks_old_ops_or_gives_something_else(name: str, tmp_path: Path) -> None:
    model = build_model(OLD[name], (IMAGE,))
    (wanted,) = model.run({"x0": IMAGE})
    try:
        content = to_onnx(model.graph, "uint8")
    except TargetError as error:
        assert "does not know" in str(error)  # noqa: PT017
        return
    (tmp_path / "model.onnx").write_bytes(content.SerializeToString())
    assert off(run(tmp_path / "model.onnx"), wanted) > 1e-5


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", by_name(LACKED | WRONG | DEFORMED | OLD))
def test_between_integers(name: str, target: str, tmp_path: Path) -> None:
    model = between_convolutions((LACKED | WRONG | DEFORMED | OLD)[name])
    exported(model, {"x0": IMAGE}, target, tmp_path)


def between_convolutions(build: Build) -> Model:
    def whole(x: Any) -> Any:
        y = build(F.relu(conv(x)))
        return conv(y if len(y.shape) == 4 else paddle.unsqueeze(y, 2))

    net = build_model(whole, (IMAGE,))
    return frozen(net, {"x0": IMAGE})


def test_integers_are_shuffled(tmp_path: Path) -> None:
    """What it moves has one scale in front and behind."""
    exported(between_convolutions(LACKED["channel_shuffle"]), {"x0": IMAGE}, "onnxruntime", tmp_path)
    with OnnxRuntime(tmp_path / "model.onnx") as engine:
        assert (engine.int8, engine.floats) == ({"QLinearConv": 1}, {"Conv": 1})


@pytest.mark.parametrize("sizes", [(-1, 12), (12, -1)])
def test_of_a_map_one_size_may_be_open(sizes: tuple[int, int], tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = paddle.reshape(x, [1, 8, *sizes])
        assert list(y.shape[2:]) == list(sizes)
        return F.channel_shuffle(y, 2)

    model = build_model(build, (IMAGE,))
    export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check={"x0": IMAGE})
    (wanted,) = model.run({"x0": IMAGE})
    assert off(run(tmp_path / "model.onnx"), wanted) == 0


ORDER = [2, 0, 1, 5, 6, 7, 4, 3]
OPEN: dict[str, Build] = {
    "broadcast_tensors": joined,
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 4),
    "adaptive_avg_pool to two sizes": lambda x: F.adaptive_avg_pool2d(x, (3, 1)),
    "adaptive_avg_pool to more than there is": lambda x: F.adaptive_avg_pool2d(x, (17, 5)),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 4),
    "channel_shuffle of a relu": lambda x: F.channel_shuffle(F.relu(x), 4),
    "channels by number": lambda x: paddle.index_select(F.relu(x), paddle.to_tensor(ORDER), 1),
    "flatten": lambda x: paddle.unsqueeze(paddle.flatten(x, 2), 3),
}


@pytest.mark.parametrize("name", OPEN)
def test_of_a_map_any_size_may_come(name: str, tmp_path: Path) -> None:
    model = build_model(OPEN[name], (IMAGE,), any_size=True)
    export(model, tmp_path / "model.onnx", find_target("onnxruntime"), check={"x0": IMAGE})
    for shape in ((1, 8, 12, 12), (3, 8, 7, 19), (2, 8, 16, 3)):
        image = floats(*shape)
        with OnnxRuntime(tmp_path / "model.onnx") as engine:
            (found,) = engine.run({"x0": image})
        (wanted,) = model.run({"x0": image})
        assert off(found, wanted) < 1e-6


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", OPEN)
def test_between_integers_of_any_size(name: str, target: str, tmp_path: Path) -> None:
    model = build_model(lambda x: conv(OPEN[name](conv(x))), (IMAGE,), any_size=True)
    saved = exported(frozen(model, {"x0": IMAGE}), {"x0": IMAGE}, target, tmp_path)
    assert not saved.warnings


@pytest.mark.parametrize(
    "build",
    [deformed(True, padding=1), lambda x: F.adaptive_max_pool2d(x, 3)],
    ids=["deformed", "adaptive_max_pool"],
)
def test_of_a_map_whose_size_is_open_it_says_what_to_do(build: Build, tmp_path: Path) -> None:
    model = build_model(lambda x: build(paddle.reshape(x, [1, 8, -1, 12])), (IMAGE,))
    with pytest.raises(PassError, match=r"a map of \[1, 8, -1, 12\].*save the model with the size"):
        export(model, tmp_path / "model.onnx", find_target("onnxruntime"))


@needs_openvino
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("form", ["float", "frozen"])
def test_a_detector_that_starts_from_prior_boxes(form: str, target: str, tmp_path: Path) -> None:
    """SSD as PaddleDetection 1 has it, to the rows behind its suppression."""
    model, inputs = ssd()
    exported(frozen(model, inputs) if form == "frozen" else model, inputs, target, tmp_path)


def test_infinite_integers_are_left(tmp_path: Path) -> None:
    model = build_model(lambda x: paddle.cast(paddle.isinf(paddle.cast(x, "int64")), "float32"), (IMAGE,))
    (wanted,) = model.run({"x0": IMAGE})
    (found,) = qcc.PassManager.parse("spell-out").run(model).run({"x0": IMAGE})
    np.testing.assert_array_equal(found, wanted)
