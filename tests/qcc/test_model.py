"""What users hold: weights to and from a training scope, and the warnings of saving."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import nets
import numpy as np
import pytest

import qcc
from qcc import backends
from qcc._paddle import paddle
from qcc.backends import Check, Saved, fluid
from qcc.errors import GraphError, PaddleError, QccWarning
from qcc.model import Model, Runner
from qcc.passes.scales import fresh_weight_scales

TRANSFORM = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
BATCH = {
    "image": np.random.default_rng(0).standard_normal((4, 3, 12, 12)).astype(np.float32),
    "label": np.arange(4).reshape(4, 1),
}


@pytest.fixture(scope="module")
def trained() -> tuple[Model, paddle.static.Scope]:
    """A transformed test graph, and a scope that three steps of training have changed."""
    models = {name: transformed(model) for name, model in nets.build(nets.residual_net).items()}
    scope = paddle.static.Scope()
    models["train"].write_weights(scope, overwrite=True)
    executor, program = paddle.static.Executor(paddle.CPUPlace()), models["train"].to_program()
    for _ in range(3):
        executor.run(program, feed=BATCH, scope=scope)
    return models["test"], scope


def transformed(model: Model) -> Model:
    return qcc.PassManager.parse(TRANSFORM).run(model)


def in_scope(scope: paddle.static.Scope, name: str) -> np.ndarray:
    return np.array(scope.find_var(name).get_tensor())


def test_weights_are_those_of_training_and_scales_fit_them(
    trained: tuple[Model, paddle.static.Scope],
) -> None:
    model, scope = trained[0].copy(), trained[1]
    model.read_weights(scope)
    fresh = fresh_weight_scales(model.graph)
    assert len(fresh) == 3
    for name, array in model.weights.items():
        np.testing.assert_array_equal(array, fresh.get(name, in_scope(scope, name)))
    assert any(not np.array_equal(scale, in_scope(scope, name)) for name, scale in fresh.items())
    frozen = qcc.PassManager.parse("freeze").run(model)
    np.testing.assert_allclose(
        frozen.run({"image": BATCH["image"]})[0], model.run({"image": BATCH["image"]})[0], atol=1e-4
    )


def test_values_stand_in_for_those_of_the_scope(trained: tuple[Model, paddle.static.Scope]) -> None:
    model, scope = trained[0].copy(), trained[1]
    doubled = {"conv2d_0.w_0": 2 * in_scope(scope, "conv2d_0.w_0"), "unknown": np.zeros(1)}
    model.read_weights(scope, doubled)
    np.testing.assert_array_equal(model.weights["conv2d_0.w_0"], doubled["conv2d_0.w_0"])
    expected = np.abs(doubled["conv2d_0.w_0"]).max((1, 2, 3))
    np.testing.assert_array_equal(model.weights["conv2d_0.w_0@scale"], expected)
    assert "unknown" not in model.weights


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "the scope has no value for"),
        (
            {"conv2d_0.w_0": np.zeros((8, 3, 1, 1), "f")},
            r"'conv2d_0.w_0' is float32\[8, 3, 1, 1\], and",
        ),
        ({"conv2d_0.w_0": np.zeros((8, 3, 3, 3))}, r"'conv2d_0.w_0' is float64\[8, 3, 3, 3\], and"),
    ],
)
def test_values_that_do_not_fit_leave_the_model_as_it_was(
    trained: tuple[Model, paddle.static.Scope], values: dict[str, np.ndarray], words: str
) -> None:
    model, scope = trained[0].copy(), trained[1] if values else paddle.static.Scope()
    before = dict(model.weights)
    with pytest.raises(GraphError, match=words):
        model.read_weights(scope, values)
    assert all(model.weights[name] is array for name, array in before.items())


def test_frozen_model_reads_no_weights(trained: tuple[Model, paddle.static.Scope]) -> None:
    model, scope = trained[0].copy(), trained[1]
    model.read_weights(scope)
    with pytest.raises(GraphError, match="the model is frozen"):
        qcc.PassManager.parse("freeze").run(model).read_weights(scope)


def test_check_that_fails_is_a_python_warning_at_the_callers_line(
    trained: tuple[Model, paddle.static.Scope], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = (Check("engine", "agrees"), Check("other engine", "does not run", good=False))
    monkeypatch.setattr(fluid, "save", lambda *arguments: Saved("float", (), checks))
    with pytest.warns(QccWarning) as caught:
        saved = backends.save(trained[0], tmp_path)
    assert [str(warning.message) for warning in caught] == [
        f"saved in {tmp_path}, but other engine: does not run"
    ]
    assert caught[0].filename == __file__
    assert saved.warnings == checks[1:]


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (
            BATCH["image"][0],
            r"'image' with float32\[3, 12, 12\] \(declared float32\[-1, 3, 12, 12\]\): .*dimensions = 4",
        ),
        (BATCH["image"][:, :2], r"'image' with float32\[4, 2, 12, 12\]"),
        (BATCH["image"].astype(np.float64), r"'image' with float64\[4, 3, 12, 12\]"),
        (BATCH["image"][:0], r"'image' with float32\[0, 3, 12, 12\]"),
    ],
    ids=["rank", "channels", "dtype", "empty"],
)
def test_what_paddle_does_not_compute_is_told_with_what_was_fed(
    trained: tuple[Model, paddle.static.Scope], image: np.ndarray, told: str
) -> None:
    with pytest.raises(PaddleError, match=told):
        trained[0].run({"image": image})


def test_what_is_no_mapping_or_no_variable_is_told(trained: tuple[Model, paddle.static.Scope]) -> None:
    with pytest.raises(GraphError, match=r"the inputs are a list, where a mapping .* \['image'\]"):
        trained[0].run([BATCH["image"]])  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"no variables \['nothing'\]"):
        Runner(trained[0]).run({"image": BATCH["image"]}, ("nothing",))


def test_a_runner_leaves_no_weights_behind(trained: tuple[Model, paddle.static.Scope]) -> None:
    """Paddle keeps the scope itself until the process ends."""
    runner = Runner(trained[0])
    scope, name = runner._scope, next(iter(trained[0].weights))
    assert scope.find_var(name).get_tensor()._is_initialized()
    del runner
    gc.collect()
    assert not scope.find_var(name).get_tensor()._is_initialized()


def test_what_is_fed_is_let_go() -> None:
    """Paddle keeps every scope until the process ends, and a scope what it was fed with last."""
    main = paddle.static.Program()
    with paddle.utils.unique_name.guard(), paddle.static.program_guard(main, paddle.static.Program()):
        fed = paddle.static.data("x", [-1, 1000, 1000])
        result = (fed * 2).mean()
    model = qcc.from_program(main, paddle.static.Scope(), ["x"], [result], for_test=True)
    values = np.zeros((8, 1000, 1000), np.float32)

    def used() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    runners = [Runner(model) for _ in range(8)]
    runners[0].run({"x": values})
    before = used()
    for runner in runners[1:]:
        runner.run({"x": values})
    assert used() - before < 3 * values.nbytes
