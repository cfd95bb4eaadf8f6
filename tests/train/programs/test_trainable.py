"""An inference graph made ready for a backward pass computes what it did, and knows what can be trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from saved_models import MAJOR

import qcc
from qcc._paddle import paddle
from qcc.model import Model
from qcc.train.programs.trainable import as_training_graph, reach, spread_over, weights_and_units

static = paddle.static
IMAGE = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    """A convolution with a norm that stays, a reshape, a dropout, a product with a bias, and a softmax."""
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        image = static.data("image", [-1, 3, 4, 4])
        norm = static.nn.batch_norm(paddle.nn.functional.relu(static.nn.conv2d(image, 4, 3)), momentum=0.5)
        flat = paddle.nn.functional.dropout(
            paddle.reshape(norm, [-1, 16]), 0.25, training=True, mode="downscale_in_infer"
        )
        output = paddle.nn.functional.softmax(static.nn.fc(flat, 3))
        best = paddle.argmax(output, axis=-1)
    static.Executor().run(startup, scope=scope)
    fetches = [output.name, best.name]
    made = qcc.from_program(main.clone(for_test=True), scope, ["image"], fetches, for_test=True)
    (reshape,) = (op for op in made.graph.ops if op.type == "reshape2")
    # As converters write it, which know of no backward pass.
    (x_shape,) = reshape.outputs["XShape"]
    made.graph.set_output(reshape, "XShape", [])
    made.graph.remove_var(x_shape)
    return made


def test_it_computes_the_same(model: Model) -> None:
    graph = as_training_graph(model.graph)
    types = [op.type for op in graph.ops]
    assert "dropout" not in types
    assert not any(op.attr("is_test", False) for op in graph.ops)
    (norm,) = (op for op in graph.ops if op.type == "batch_norm")
    (reshape,) = (op for op in graph.ops if op.type == "reshape2")
    assert norm.attr("use_global_stats")
    assert len(reshape.outputs["XShape"]) == 1
    for found, wanted in zip(Model(graph).run({"image": IMAGE}), model.run({"image": IMAGE}), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert any(op.type == "dropout" for op in model.graph.ops)


@pytest.mark.skipif(MAJOR >= 3, reason="Paddle 3 does not make recurrent layers of the old IR")
def test_recurrent_layers_drop_nothing() -> None:
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        rows = static.data("rows", [-1, 5, 6])
        found, _ = paddle.nn.LSTM(6, 8, num_layers=2, dropout=0.5)(rows)
        output = static.nn.fc(found, 3, num_flatten_dims=2)
    static.Executor().run(startup, scope=scope)
    model = qcc.from_program(main.clone(for_test=True), scope, ["rows"], [output.name], for_test=True)
    feeds = {"rows": np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)}
    trained = Model(as_training_graph(model.graph))
    np.testing.assert_allclose(trained.run(feeds)[0], model.run(feeds)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "moved",
    [
        lambda x: paddle.flatten(x, 1),
        lambda x: paddle.reshape(x, [-1, 16]),
        lambda x: paddle.transpose(x, [0, 2, 3, 1]),
        lambda x: paddle.squeeze(paddle.unsqueeze(x, 1), 1),
    ],
)
def test_gradients_go_through_ops_that_were_saved_without_their_second_output(
    moved: Callable[[paddle.static.Variable], paddle.static.Variable],
) -> None:
    main, startup, scope = static.Program(), static.Program(), static.Scope()
    with paddle.utils.unique_name.guard(), static.program_guard(main, startup):
        output = moved(static.nn.conv2d(static.data("image", [-1, 3, 4, 4]), 4, 3))
    static.Executor().run(startup, scope=scope)
    model = qcc.from_program(main, scope, ["image"], [output.name], for_test=True)
    for op in model.graph.ops:
        for x_shape in op.outputs.get("XShape", ()):
            model.graph.set_output(op, "XShape", [])
            model.graph.remove_var(x_shape)
    graph = as_training_graph(model.graph)
    assert reach(graph, weights_and_units(graph, {})).ends == (output.name,)


def test_weights_and_biases_with_the_units_of_their_steps(model: Model) -> None:
    graph = as_training_graph(model.graph)
    units = weights_and_units(graph, {"image": 2.0})
    assert set(units) == {"conv2d_0.w_0", "conv2d_0.b_0", "fc_0.w_0", "fc_0.b_0"}
    kernel = graph.weights["conv2d_0.w_0"]
    largest = np.abs(kernel).max(axis=(1, 2, 3))
    np.testing.assert_array_equal(units["conv2d_0.w_0"], largest.reshape(4, 1, 1, 1))
    np.testing.assert_array_equal(units["conv2d_0.b_0"].reshape(-1), 2 * largest)
    assert units["fc_0.w_0"].shape == (1, 3)


def test_what_is_compared(model: Model) -> None:
    graph = as_training_graph(model.graph)
    found = reach(graph, weights_and_units(graph, {}))
    (softmax,) = (op for op in graph.ops if op.type == "softmax")
    assert found.ends == (softmax.output("Out").name, softmax.input("X").name)
    assert [op.type for op in found.without] == ["arg_max"]
    assert len(found.inner) == 2


@pytest.mark.parametrize(
    ("names", "count", "chosen"),
    [("abcdefghi", 3, "beh"), ("abc", 3, "abc"), ("ab", 3, "ab"), ("", 3, ""), ("abcdefg", 1, "d")],
)
def test_names_evenly_apart(names: str, count: int, chosen: str) -> None:
    assert "".join(spread_over(names, count)) == chosen
