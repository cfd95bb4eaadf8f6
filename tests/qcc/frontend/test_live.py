"""qcc.from_program takes a model out of a training script without touching it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lite_case import build_model, floats
from saved_models import control_flow, two_feeds

import qcc
from qcc._paddle import paddle
from qcc.backends.program_file import inference_program
from qcc.errors import GraphError, VerifyError

static = paddle.static


class Script:
    """A training script: programs before and after minimize, and a scope."""

    def __init__(self) -> None:
        self.main, startup, self.scope = static.Program(), static.Program(), static.Scope()
        with paddle.utils.unique_name.guard(), static.program_guard(self.main, startup):
            self.image = static.data("image", [-1, 6])
            self.label = static.data("label", [-1, 1], "int64")
            hidden = static.nn.batch_norm(static.nn.fc(self.image, 8))
            self.output = static.nn.fc(paddle.nn.functional.relu(hidden), 3)
            self.loss = paddle.mean(paddle.nn.functional.cross_entropy(self.output, self.label))
            self.accuracy = static.accuracy(paddle.nn.functional.softmax(self.output), self.label)
            self.test = self.main.clone(for_test=True)
            paddle.optimizer.Momentum(0.1).minimize(self.loss)
        with static.scope_guard(self.scope):
            static.Executor(paddle.CPUPlace()).run(startup)

    def batch(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {
            "image": rng.standard_normal((4, 6)).astype(np.float32),
            "label": rng.integers(0, 3, (4, 1)),
        }

    def run(self, program: paddle.static.Program, **feed: np.ndarray) -> np.ndarray:
        executor = static.Executor(paddle.CPUPlace())
        (output,) = executor.run(program, feed=feed, fetch_list=[self.output.name], scope=self.scope)
        return np.asarray(output)

    def values(self) -> dict[str, bytes]:
        return {
            var.name: np.array(self.scope.find_var(var.name).get_tensor()).tobytes()
            for var in self.main.list_vars()
            if var.persistable and self.scope.find_var(var.name) is not None
        }


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


def test_runs_like_the_program(script: Script) -> None:
    model = qcc.from_program(script.test, script.scope, [script.image], [script.output], for_test=True)
    assert (model.feeds, model.fetches) == (("image",), (script.output.name,))
    batch = script.batch()
    np.testing.assert_array_equal(model.run({"image": batch["image"]})[0], script.run(script.test, **batch))


def test_names_and_variables_mean_the_same(script: Script) -> None:
    by_name = qcc.from_program(script.test, script.scope, ["image"], [script.output.name], for_test=True)
    by_variable = qcc.from_program(script.test, script.scope, [script.image], [script.output], for_test=True)
    assert by_name.graph.to_proto() == by_variable.graph.to_proto()


def test_ops_that_wait_for_labels_are_left_out(script: Script) -> None:
    model = qcc.from_program(script.test, script.scope, ["image"], [script.output], for_test=True)
    types = {op.type for op in model.graph.ops}
    assert "accuracy" not in types
    assert "softmax_with_cross_entropy" not in types
    whole = qcc.from_program(script.test, script.scope, ["image", "label"], [script.loss], for_test=True)
    assert "accuracy" in {op.type for op in whole.graph.ops}


def test_an_optimizers_values_are_left_out_of_a_test_model(script: Script) -> None:
    test = qcc.from_program(script.test, script.scope, ["image"], [script.output], for_test=True)
    train = qcc.from_program(script.main, script.scope, ["image", "label"], [script.loss], for_test=False)
    assert not any("velocity" in name or "learning_rate" in name for name in test.weights)
    assert any("velocity" in name for name in train.weights)
    assert set(test.weights) < set(train.weights)


def test_program_and_scope_stay_as_they_are(script: Script) -> None:
    program, values = script.test.desc.serialize_to_string(), script.values()
    names = set(script.scope.local_var_names()) if hasattr(script.scope, "local_var_names") else None
    model = qcc.from_program(script.test, script.scope, ["image"], [script.output], for_test=True)
    for name in model.weights:
        model.weights[name] = model.weights[name] * 0
    qcc.PassManager.parse("transform").run(model)
    model.run({"image": script.batch()["image"]})
    assert script.test.desc.serialize_to_string() == program
    assert script.values() == values
    assert names is None or set(script.scope.local_var_names()) == names


def test_values_are_copies() -> None:
    script = Script()
    model = qcc.from_program(script.test, script.scope, ["image"], [script.output], for_test=True)
    before = {name: array.tobytes() for name, array in model.weights.items()}
    static.Executor(paddle.CPUPlace()).run(
        script.main, feed=script.batch(), fetch_list=[], scope=script.scope
    )
    assert script.values()["fc_0.w_0"] != before["fc_0.w_0"]
    assert {name: array.tobytes() for name, array in model.weights.items()} == before


def test_training_program_trains_on(script: Script) -> None:
    """to_program and the weights give back what the script had: one step on both ends in the same place."""
    scripts = Script(), Script()
    model = qcc.from_program(
        scripts[0].main, scripts[0].scope, ["image", "label"], [scripts[0].loss], for_test=False
    )
    scope = static.Scope()
    model.write_weights(scope, overwrite=True)
    executor = static.Executor(paddle.CPUPlace())
    for program, where in ((model.to_program(), scope), (scripts[0].main, scripts[0].scope)):
        executor.run(program, feed=script.batch(), fetch_list=[model.fetches[0]], scope=where)
    for name in model.weights:
        ours = np.array(scope.find_var(name).get_tensor())
        np.testing.assert_array_equal(ours, np.array(scripts[0].scope.find_var(name).get_tensor()))


def test_several_blocks(script: Script) -> None:
    live = control_flow()
    model = qcc.from_program(live.program, live.scope, live.feeds, live.fetches, for_test=True)
    inputs = live.inputs()
    np.testing.assert_array_equal(model.run(inputs)[0], live.run(inputs)[0])
    assert "inner" in model.weights


def test_a_loaded_program_with_feed_ops() -> None:
    """What paddle.static.load_inference_model returns has feed and fetch ops already."""
    live = two_feeds()
    with paddle.utils.unique_name.guard(), static.program_guard(live.program):
        normalized = static.normalize_program(live.program, live.feeds, live.fetches)
    model = qcc.from_program(normalized, live.scope, live.feeds, live.saved_fetches[:1], for_test=True)
    np.testing.assert_array_equal(model.run(live.inputs())[0], live.run(live.inputs())[0])


def test_is_saved_without_paddles_own_attributes(script: Script) -> None:
    """As paddle.static.save_inference_model does, so that another Paddle fills in its own defaults."""
    model = qcc.from_program(script.test, script.scope, ["image"], [script.output], for_test=True)
    written = {attr.name for op in inference_program(model.graph).blocks[0].ops for attr in op.attrs}
    assert not {"use_mkldnn", "mkldnn_data_type", "op_callstack"} & written
    assert "epsilon" in written


def test_convolutions_of_both_apis_are_read_as_they_are_written(tmp_path: Path) -> None:
    """`paddle.nn.functional` says `use_cudnn=False`, where `paddle.static.nn` leaves that to Paddle."""

    def both(x: Any) -> Any:
        weight = static.create_parameter([3, 4, 3, 3], "float32")
        return paddle.nn.functional.conv2d(static.nn.conv2d(x, 4, 3), weight)

    model = build_model(both, (floats(1, 4, 8, 8),))
    assert {op.attr("use_cudnn") for op in model.graph.ops if op.type == "conv2d"} == {True, False}
    qcc.save(model, tmp_path)
    again = qcc.load(tmp_path)
    assert inference_program(again.graph) == inference_program(model.graph)


@pytest.mark.parametrize(
    ("feeds", "fetches", "complaint"),
    [
        (["imgae"], ["fc_1.tmp_1"], "feed 'imgae' is not a variable .* the nearest name is 'image'"),
        (
            ["image"],
            ["fc_1.tmp_9"],
            "fetch 'fc_1.tmp_9' is not a variable .* the nearest name is 'fc_1.tmp_1'",
        ),
        (["image"], ["mean_0.tmp_0"], "fetch 'mean_0.tmp_0' needs 'label', which is not among the feeds"),
        (["image", "image"], ["fc_1.tmp_1"], "one of the feeds .* is named twice"),
        (["image"], [], "no fetch is given"),
        ("image", ["fc_1.tmp_1"], "a list is wanted of each feed's name or variable, and this is 'image'"),
        (["image"], [3], r"a list is wanted of each fetch's name or variable, and this is \[3\]"),
        ([], ["fc_1.tmp_1"], "fetch 'fc_1.tmp_1' needs 'image', which is not among the feeds"),
    ],
)
def test_wrong_names(script: Script, feeds: Any, fetches: Any, complaint: str) -> None:
    with pytest.raises(GraphError, match=complaint):
        qcc.from_program(script.test, script.scope, feeds, fetches, for_test=True)


def test_what_is_no_program_or_scope(script: Script) -> None:
    compiled: Any = static.CompiledProgram(script.test)
    with pytest.raises(GraphError, match=r"a paddle.static.Program is wanted, and this is a CompiledProgram"):
        qcc.from_program(compiled, script.scope, ["image"], [script.output], for_test=True)
    none: Any = None
    with pytest.raises(GraphError, match=r"a scope with the program's values is wanted, .* a NoneType"):
        qcc.from_program(script.test, none, ["image"], [script.output], for_test=True)


def test_values_of_another_type(script: Script) -> None:
    scope = static.Scope()
    model = qcc.from_program(script.test, script.scope, ["image"], [script.output], for_test=True)
    model.write_weights(scope, overwrite=True)
    wide = model.weights["fc_1.w_0"].astype(np.float64)
    scope.var("fc_1.w_0").get_tensor().set(wide, paddle.CPUPlace())
    with pytest.raises(GraphError, match=r"'fc_1.w_0' in the scope is float64, .* declares it as float32"):
        qcc.from_program(script.test, scope, ["image"], [script.output], for_test=True)


def test_training_program_without_its_data(script: Script) -> None:
    with pytest.raises(VerifyError, match="reads 'label', which no op produces and no feed provides"):
        qcc.from_program(script.main, script.scope, ["image"], [script.loss], for_test=False)


def test_missing_values_are_named(script: Script) -> None:
    with pytest.raises(
        GraphError, match=r"no value for 8 of 8 variables \(batch_norm_0.b_0, .*startup program"
    ):
        qcc.from_program(script.test, static.Scope(), ["image"], [script.output], for_test=True)
    scope = static.Scope()
    qcc.from_program(script.test, script.scope, ["image"], [script.output], for_test=True).write_weights(
        scope, overwrite=True
    )
    scope.erase(["fc_1.w_0"])
    with pytest.raises(GraphError, match=r"no value for 1 of 8 variables \(fc_1.w_0\)"):
        qcc.from_program(script.test, scope, ["image"], [script.output], for_test=True)


def test_training_program_said_to_be_a_test_program(script: Script) -> None:
    with pytest.raises(GraphError, match=r"op \w+ belongs to training: pass for_test=False"):
        qcc.from_program(script.main, script.scope, ["image", "label"], [script.loss], for_test=True)
