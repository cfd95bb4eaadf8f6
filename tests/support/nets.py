"""Small networks that several tests build with Paddle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import qcc
from qcc._paddle import paddle
from qcc.model import Model

static = paddle.static
paddle.enable_static()


def residual_net() -> tuple[list[str], paddle.static.Variable, paddle.static.Variable]:
    """Convolutions with batch norm and a residual, a depthwise one, and an fc layer: feeds, output, loss."""
    image = static.data("image", [-1, 3, 12, 12])
    label = static.data("label", [-1, 1], "int64")
    first = paddle.nn.functional.relu(static.nn.batch_norm(static.nn.conv2d(image, 8, 3, padding=1)))
    second = static.nn.conv2d(first, 8, 3, padding=1, groups=8)
    joined = paddle.nn.functional.relu(first + second)
    pooled = paddle.nn.functional.adaptive_avg_pool2d(joined, 1)
    output = static.nn.fc(pooled, 4)
    loss = paddle.mean(paddle.nn.functional.cross_entropy(output, label))
    return ["image", "label"], output, loss


def build(
    net: Callable[[], tuple[list[str], paddle.static.Variable, paddle.static.Variable]],
) -> dict[str, Model]:
    """The models "train" (after minimize) and "test" of a network, with random weights."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        feeds, output, loss = net()
        test = main.clone(for_test=True)
        paddle.optimizer.Momentum(0.1).minimize(loss)
    paddle.seed(1)
    with static.scope_guard(scope):
        static.Executor(paddle.CPUPlace()).run(startup)
    return {
        "train": qcc.from_program(main, scope, feeds, [loss.name], for_test=False),
        "test": qcc.from_program(test, scope, feeds[:1], [output.name], for_test=True),
    }


def several_blocks() -> Model:
    """A while loop and two branches around matrix products."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", [2, 3])
        weight = static.create_parameter([3, 3], "float32", name="weight")
        count, steps = paddle.zeros([1], "int64"), paddle.full([1], 3, "int64")
        _, x = static.nn.while_loop(
            lambda i, _: i < steps, lambda i, x: [i + 1, paddle.matmul(x, weight)], [count, x]
        )
        y = static.nn.cond(paddle.mean(x) < 3, lambda: x + 1, lambda: x * 2)
    with static.scope_guard(scope):
        static.Executor(paddle.CPUPlace()).run(startup)
    scope.find_var("weight").get_tensor().set(np.eye(3, dtype=np.float32), paddle.CPUPlace())
    return qcc.from_program(main, scope, ["x"], [y.name], for_test=True)


def with_a_branch() -> Model:
    """A map that both branches and a convolution read; the mean of the image `x` says which one is taken."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        x = static.data("x", [2, 4, 6, 6])
        shared = paddle.nn.functional.dropout(static.nn.conv2d(x, 8, 1), training=False)
        chosen = static.nn.cond(paddle.mean(x) > 0, lambda: shared * 2, lambda: shared * 3)
        output = static.nn.conv2d(shared, 3, 1)
    paddle.seed(1)
    with static.scope_guard(scope):
        static.Executor(paddle.CPUPlace()).run(startup)
    return qcc.from_program(main, scope, ["x"], [output.name, chosen.name], for_test=True)
