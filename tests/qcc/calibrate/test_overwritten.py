"""Variables that a program overwrites: each value has a scale of its own."""

from __future__ import annotations

import numpy as np
import pytest
from lite_case import floats

import qcc
from qcc._paddle import paddle
from qcc.calibrate.activations import calibrated
from qcc.calibrate.quantize import Effort
from qcc.ir.text import parse_graph
from qcc.model import Model
from qcc.passes import PassManager
from qcc.quantization import op_name, quantized_ops

static = paddle.static
IMAGES = [{"x": floats(2, 4, 6, 6) * np.float32(size)} for size in (0.3, 1, 0.5, 0.8, 0.9, 0.7)]

OVERWRITTEN = """\
graph {for_test=true}
feeds [x]
fetches [y, u]
usual var {persistable=false}

weight w1: float32[8, 4, 1, 1] = uniform(seed=1, low=-1.0, high=1.0)
weight w2: float32[3, 8, 1, 1] = uniform(seed=2, low=-1.0, high=1.0)
weight w3: float32[3, 8, 1, 1] = uniform(seed=3, low=-1.0, high=1.0)
var x: float32[-1, 4, 6, 6]
var c: float32[-1, 8, 6, 6]
var y: float32[-1, 3, 6, 6]
var z: float32[-1, 8, 6, 6]
var u: float32[-1, 3, 6, 6]

c = conv2d(Filter=w1, Input=x) {groups=1}
y = conv2d(Filter=w2, Input=c) {groups=1}
c#1 = scale(X=c) {scale=1000.0}
z = relu(X=c#1)
u = conv2d(Filter=w3, Input=z) {groups=1}
"""


def overwritten() -> Model:
    return Model(parse_graph(OVERWRITTEN))


def by_a_loop(*, feed: bool) -> Model:
    """What a loop changes, a feed or not, is read by a convolution in front of the loop and by one behind."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", [2, 4, 6, 6])
        state = x if feed else static.nn.conv2d(x, 4, 1, bias_attr=False)
        before = static.nn.conv2d(state, 3, 1)
        count, steps = paddle.zeros([1], "int64"), paddle.full([1], 3, "int64")
        _, state = static.nn.while_loop(lambda i, _: i < steps, lambda i, x: [i + 1, x * 10], [count, state])
        behind = static.nn.conv2d(state, 3, 1)
    paddle.seed(1)
    with static.scope_guard(scope):
        static.Executor(paddle.CPUPlace()).run(startup)
    return qcc.from_program(main, scope, ["x"], [before.name, behind.name], for_test=True)


def far(model: Model, quantized: Model) -> float:
    """The largest difference of an output, relative to the largest of its values."""
    pairs = zip(model.run(IMAGES[1]), quantized.run(IMAGES[1]), strict=True)
    return max(float(np.abs(found - wanted).max() / np.abs(wanted).max()) for wanted, found in pairs)


@pytest.mark.parametrize("effort", ["calibrated", "accurate"])
def test_each_value_has_its_own_scale(effort: Effort) -> None:
    model = overwritten()
    assert far(model, qcc.quantize(model, IMAGES, effort)) < 0.03


@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize("effort", ["calibrated", "accurate"])
def test_what_a_loop_changes(effort: Effort, feed: bool) -> None:
    model = by_a_loop(feed=feed)
    assert far(model, qcc.quantize(model, IMAGES, effort)) < 0.03


def test_scales_of_what_is_transformed() -> None:
    model = overwritten()
    transformed = PassManager.parse("transform{activation_type=abs_max}").run(model)
    fixed = calibrated(transformed, IMAGES)
    assert far(model, fixed) < 0.03
    assert far(model, PassManager.parse("freeze,prune").run(fixed)) < 0.03


@pytest.mark.parametrize("pattern", ["c", "[c]"])
def test_who_skips_a_variable_means_each_of_its_values(pattern: str) -> None:
    model = overwritten()
    quantized = qcc.quantize(model, IMAGES, skip_vars=[pattern])
    assert [op_name(found.op) for found in quantized_ops(quantized.graph)] == ["u"]


def with_a_list() -> Model:
    """Maps are put into an array one by one, and stacked."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", [2, 4, 6, 6])
        found = paddle.tensor.create_array("float32")
        for place in range(3):
            x = static.nn.conv2d(x, 4, 1)
            index = paddle.full([1], place, "int64")
            found = paddle.tensor.array_write(x, index, found)
        stacked, _ = paddle.tensor.manipulation.tensor_array_to_tensor(found, axis=1)
        output = static.nn.conv2d(paddle.reshape(stacked, [2, 12, 6, 6]), 3, 1)
    paddle.seed(1)
    with static.scope_guard(scope):
        static.Executor(paddle.CPUPlace()).run(startup)
    return qcc.from_program(main, scope, ["x"], [output.name], for_test=True)


@pytest.mark.parametrize("effort", ["calibrated", "accurate"])
def test_elements_of_an_array(effort: Effort) -> None:
    model = with_a_list()
    assert far(model, qcc.quantize(model, IMAGES, effort)) < 0.03
