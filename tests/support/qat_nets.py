"""Small networks with every kind of quantizable op, as programs to train and to test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import old_ir
from paddle.base.layer_helper import LayerHelper

import qcc
from qcc._paddle import paddle
from qcc.model import Model

static = paddle.static
paddle.enable_static()
old_ir.restore()  # processes that tests start import this module alone
functional = paddle.nn.functional
Variable: TypeAlias = "paddle.static.Variable"


@dataclass(frozen=True)
class Net:
    """A network's programs and weights; the training program is after minimize."""

    train: paddle.static.Program
    test: paddle.static.Program
    weights: Mapping[str, np.ndarray]
    feed: str
    shape: tuple[int, ...]
    output: str
    loss: str

    def scope(self) -> paddle.static.Scope:
        """A scope of its own that holds the weights."""
        scope = static.Scope()
        for name, array in self.weights.items():
            scope.var(name).get_tensor().set(array, paddle.CPUPlace())
        return scope

    def batch(self, seed: int = 0, size: int = 2) -> dict[str, np.ndarray]:
        """A batch of inputs."""
        values = np.random.default_rng(seed).standard_normal((size, *self.shape[1:]))
        return {self.feed: values.astype(np.float32)}

    def test_model(self) -> Model:
        return qcc.from_program(self.test, self.scope(), [self.feed], [self.output], for_test=True)

    def train_model(self) -> Model:
        return qcc.from_program(self.train, self.scope(), [self.feed], [self.loss], for_test=False)


def values_of(scope: paddle.static.Scope, names: Any) -> dict[str, np.ndarray]:
    """Copies of a scope's arrays."""
    return {name: np.array(scope.find_var(name).get_tensor()) for name in names}


def build(layers: Callable[[Variable], Variable], shape: tuple[int, ...], seed: int = 1) -> Net:
    """The network of some layers; its loss is the mean square of the output."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", list(shape))
        output = layers(x)
        test = main.clone(for_test=True)
        loss = paddle.mean(output * output)
        paddle.optimizer.SGD(0.05).minimize(loss)
    with static.scope_guard(scope):
        static.Executor(paddle.CPUPlace()).run(startup)
    rng = np.random.default_rng(seed)
    weights = values_of(scope, [var.name for var in main.list_vars() if var.persistable])
    for parameter in main.all_parameters():
        if parameter.trainable and "batch_norm" not in parameter.name:
            values = rng.standard_normal(parameter.shape) / np.sqrt(max(1, np.prod(parameter.shape[1:])))
            weights[parameter.name] = values.astype(np.float32)
    return Net(main, test, weights, "x", shape, output.name, loss.name)


# ---------------------------------------------------------------------- layers


def raw(op_type: str, x: Variable, y: Variable, **attrs: Any) -> Variable:
    """An op of two inputs, as older programs hold it."""
    helper = LayerHelper(op_type)
    out = helper.create_variable_for_type_inference(dtype="float32")
    helper.append_op(type=op_type, inputs={"X": [x], "Y": [y]}, outputs={"Out": [out]}, attrs=attrs)
    return out


def parameter(name: str, *shape: int) -> Variable:
    return static.create_parameter(list(shape), "float32", name=name)


def conv_bn_relu(x: Variable, channels: int, **options: Any) -> Variable:
    conv = static.nn.conv2d(x, channels, 3, padding=1, bias_attr=False, **options)
    return functional.relu(static.nn.batch_norm(conv))


# ---------------------------------------------------------------------- networks


def convolutions() -> Net:
    """Convolution, depthwise and grouped ones, a bias, a residual, an fc layer."""

    def layers(x: Variable) -> Variable:
        first = conv_bn_relu(x, 8)
        depthwise = conv_bn_relu(first, 8, groups=8)
        grouped = static.nn.conv2d(depthwise, 8, 3, padding=1, groups=2)
        joined = functional.relu(first + grouped)
        pooled = functional.adaptive_avg_pool2d(joined, 1)
        return static.nn.fc(pooled, 4)

    return build(layers, (-1, 3, 6, 6))


def transposed() -> Net:
    """Transposed convolutions of one group."""

    def layers(x: Variable) -> Variable:
        up = functional.relu(static.nn.conv2d_transpose(x, 6, filter_size=3, bias_attr=False))
        return static.nn.conv2d_transpose(up, 4, filter_size=2, stride=2)

    return build(layers, (-1, 3, 4, 4))


def grouped_transposed() -> Net:
    """A transposed convolution of two groups."""

    def layers(x: Variable) -> Variable:
        up = static.nn.conv2d_transpose(x, 6, filter_size=3, groups=2, bias_attr=False)
        return static.nn.conv2d(functional.relu(up), 4, 3)

    return build(layers, (-1, 4, 4, 4))


def matrices() -> Net:
    """fc layers on three dimensions, matmul and matmul_v2, plain and transposed, two of them on one input."""

    def layers(x: Variable) -> Variable:
        hidden = functional.relu(static.nn.fc(x, 6, num_flatten_dims=2))
        plain = paddle.matmul(hidden, parameter("plain", 6, 5))
        turned = paddle.matmul(hidden, parameter("turned", 5, 6), transpose_y=True)
        both = functional.relu(plain + turned)
        old = raw("matmul", both, parameter("old", 5, 7), alpha=0.5)
        scores = paddle.matmul(old, old, transpose_y=True)
        flat = paddle.flatten(paddle.matmul(scores, old), 1)
        return static.nn.fc(flat, 3)

    return build(layers, (-1, 4, 5))


def old_matmul_transposed() -> Net:
    """The old matmul with its weight transposed."""
    return build(
        lambda x: raw("matmul", functional.relu(x), parameter("weight", 3, 5), transpose_Y=True), (-1, 5)
    )


def weight_on_the_left() -> Net:
    """A matrix product whose weight is the left operand."""
    return build(lambda x: functional.relu(paddle.matmul(parameter("weight", 3, 4), x)), (-1, 4, 5))


def shared() -> Net:
    """One weight in two convolutions."""

    def layers(x: Variable) -> Variable:
        attr = paddle.ParamAttr(name="shared")
        for _ in range(2):
            x = functional.relu(static.nn.conv2d(x, 3, 3, padding=1, param_attr=attr, bias_attr=False))
        return x

    return build(layers, (-1, 3, 5, 5))


def shared_with_float() -> Net:
    """A weight in a convolution that a float op reads as well."""

    def layers(x: Variable) -> Variable:
        attr = paddle.ParamAttr(name="shared")
        conv = static.nn.conv2d(x, 3, 3, param_attr=attr, bias_attr=False)
        weight = conv.block.var("shared")
        return functional.relu(conv) + paddle.mean(weight * weight)

    return build(layers, (-1, 3, 5, 5))


NETS = {
    net.__name__: net
    for net in (
        convolutions,
        transposed,
        grouped_transposed,
        matrices,
        old_matmul_transposed,
        weight_on_the_left,
        shared,
        shared_with_float,
    )
}
