"""Small networks whose int8 form an engine on x86 is known to get wrong, or was known to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from frozen_models import transformed_model
from lite_case import F, static

import qcc
from qcc._paddle import paddle
from qcc.backends import deploy
from qcc.backends.predictor import Engine, Predictor
from qcc.model import Model
from qcc.passes import PassManager
from qcc.targets.table import Target

IMAGE, SEQUENCE = (8, 16, 16), (16, 32)


def conv(x: Any, act: Any = None, channels: int = 8, size: int = 3, stride: int = 1) -> Any:
    y = static.nn.conv2d(x, channels, size, stride, size // 2)
    return y if act is None else act(y)


def left_weight(x: Any) -> Any:
    """A matrix product whose weight is the left operand."""
    return paddle.matmul(static.create_parameter([5, 8], "float32"), F.relu(x))


def concat_mixed_signs(x: Any) -> Any:
    """One of the branches cannot be negative, the other can."""
    return conv(paddle.concat([conv(x, F.relu), conv(x)], 1))


def concat_conv_and_pool(x: Any) -> Any:
    h = conv(x, F.relu)
    return conv(paddle.concat([conv(h, F.relu, stride=2), F.max_pool2d(h, 3, 2, 1)], 1))


def concat_nearest_and_skip(x: Any) -> Any:
    h = conv(x, F.relu)
    up = F.interpolate(conv(h, F.relu, stride=2), scale_factor=2, mode="nearest")
    return conv(paddle.concat([up, h], 1))


def squeeze_and_excite(x: Any) -> Any:
    h = conv(x, F.hardswish)
    squeezed = conv(F.adaptive_avg_pool2d(h, 1), F.relu, 4, 1)
    return conv(h * F.hardsigmoid(conv(squeezed, None, 8, 1)))


def transposed(x: Any) -> Any:
    return static.nn.conv2d_transpose(conv(x, F.relu), 4, filter_size=2, stride=2)


def integral_of_bins(x: Any) -> Any:
    """The expectation over bins, as detectors decode boxes: a float weight of one dimension."""
    likely = F.softmax(paddle.transpose(conv(x, None, 8, 1), [0, 2, 3, 1]), -1)
    bins = paddle.nn.initializer.Assign(np.arange(8, dtype=np.float32))
    return paddle.matmul(likely, static.create_parameter([8], "float32", default_initializer=bins))


def attention_from_one_fc(x: Any) -> Any:
    """Queries, keys and values from one fc, in 4 heads of 8."""
    qkv = paddle.reshape(static.nn.fc(x, 96, num_flatten_dims=2), [0, -1, 3, 4, 8])
    qkv = paddle.transpose(qkv, [2, 0, 3, 1, 4])
    q, k, v = qkv[0] * 8**-0.5, qkv[1], qkv[2]
    attention = F.softmax(paddle.matmul(q, paddle.transpose(k, [0, 1, 3, 2])), axis=-1)
    y = paddle.transpose(paddle.matmul(attention, v), [0, 2, 1, 3])
    return static.nn.fc(paddle.reshape(y, [0, -1, 32]), 10, num_flatten_dims=2)


def mask_by_set_value(x: Any) -> Any:
    mask = static.setitem(paddle.zeros([1, 4, 8]), (slice(None), slice(0, 2)), 5.0)
    return static.nn.fc(x + mask, 8, num_flatten_dims=2)


def fc_behind_relu(x: Any) -> Any:
    return static.nn.fc(paddle.flatten(F.relu(x), 1), 8)


NETS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "left_weight": (left_weight, (8, 64)),
    "concat_mixed_signs": (concat_mixed_signs, IMAGE),
    "concat_conv_and_pool": (concat_conv_and_pool, IMAGE),
    "concat_nearest_and_skip": (concat_nearest_and_skip, IMAGE),
    "squeeze_and_excite": (squeeze_and_excite, IMAGE),
    "transposed": (transposed, IMAGE),
    "integral_of_bins": (integral_of_bins, IMAGE),
    "attention_from_one_fc": (attention_from_one_fc, SEQUENCE),
    "mask_by_set_value": (mask_by_set_value, (4, 8)),
    "fc_behind_relu": (fc_behind_relu, (3, 16, 16)),
}


def engine_net(name: str) -> tuple[Model, dict[str, np.ndarray]]:
    """A float network of `NETS`, with random weights, and an input for it."""
    build, shape = NETS[name]
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    startup.random_seed = 1
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", [1 if name == "mask_by_set_value" else -1, *shape])
        y = build(x)
    static.Executor(paddle.CPUPlace()).run(startup, scope=scope)
    inputs = {"x": np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)}
    return qcc.from_program(main, scope, ["x"], [y.name], for_test=True), inputs


def frozen_engine_net(name: str) -> tuple[Model, dict[str, np.ndarray]]:
    """The same, frozen, with scales observed on that input; weights per channel but for `left_weight`."""
    model, inputs = engine_net(name)
    weight_type = "abs_max" if name == "left_weight" else "channel_wise_abs_max"
    scheme = f"transform{{weight_type={weight_type},activation_type=moving_average_abs_max}}"
    return PassManager.parse("freeze,prune").run(transformed_model(model, inputs, scheme)), inputs


def assert_its_case_is_there(case: str) -> None:
    """A row of a target's table names a test: a function, and one of its parameters, if it has any."""
    file, _, test = case.partition("::")
    function, _, parameter = test.partition("[")
    text = Path(file.replace("tests/", f"{Path(__file__).parents[1]}/")).read_text()
    assert f"def {function}(" in text
    parameter = parameter.rstrip("]")
    assert not parameter or parameter in NETS or _is_written(parameter, text), parameter


def _is_written(parameter: str, text: str) -> bool:
    """Whether a test's file has it as a string, or, of two that pytest joins by a dash, as a pair of them."""
    dashes = [at for at, sign in enumerate(parameter) if sign == "-"]
    pairs = (f'"{parameter[:at]}", "{parameter[at + 1 :]}"' for at in dashes)
    return any(each in text for each in (f'"{parameter}"', *pairs))


def in_paddle(model: Model, inputs: dict[str, np.ndarray], target: Target, folder: Path) -> np.ndarray:
    """What Paddle Inference with oneDNN's int8 kernels gives for a frozen model in the form for a target."""
    deploy.save(model, folder, target, None, None, None, check=False)
    return Predictor.open(folder, Engine(onednn=True, int8=True)).run(inputs)[0]
