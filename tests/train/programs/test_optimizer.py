from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qcc._paddle import paddle
from qcc.errors import TrainingError
from qcc.train.config.optimization import OptimizerBuilder
from qcc.train.config.schedule import Schedule
from qcc.train.loop.stepper import Stepper
from qcc.train.models.classifier import build_classifier
from qcc.train.programs.optimizer import add_optimizer
from qcc.train.programs.programs import TrainingProgram
from qcc.train.programs.scope import read_scope
from qcc.train.programs.weights import initialise


def test_every_parameter_is_updated_with_momentum_and_decay() -> None:
    network = build_classifier(lambda image: paddle.static.nn.fc(image, 3), (1, 2, 2))
    options = {"optimizer": {"momentum": 0.8}, "regularizer": {"factor": 0.25}}
    learning_rate = add_optimizer(network, OptimizerBuilder.model_validate(options))
    updates = [op for op in network.train.global_block().ops if op.type == "momentum"]
    assert {op.input("Param")[0] for op in updates} == {"fc_0.w_0", "fc_0.b_0"}
    for op in updates:
        assert op.attr("mu") == pytest.approx(0.8)
        assert op.attr("regularization_coeff") == pytest.approx(0.25)
        assert op.input("LearningRate") == [learning_rate]


@pytest.mark.parametrize(
    ("optimizer", "op_type", "attributes"),
    [
        ({"momentum": 0.8, "use_nesterov": True}, "momentum", {"mu": 0.8, "use_nesterov": True}),
        ({"type": "SGD"}, "sgd", {}),
        ({"type": "Adam", "beta1": 0.8}, "adam", {"beta1": 0.8, "beta2": 0.999, "epsilon": 1e-8}),
        ({"type": "RMSProp", "rho": 0.8}, "rmsprop", {"decay": 0.8, "epsilon": 1e-6, "momentum": 0.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_optimizer_gets_its_options(
    optimizer: dict[str, Any], op_type: str, attributes: dict[str, float]
) -> None:
    network = build_classifier(lambda image: paddle.static.nn.fc(image, 3), (1, 2, 2))
    add_optimizer(network, OptimizerBuilder.model_validate({"optimizer": optimizer}))
    updates = [op for op in network.train.global_block().ops if op.type == op_type]
    assert {op.input("Param")[0] for op in updates} == {"fc_0.w_0", "fc_0.b_0"}
    for op in updates:
        assert {name: op.attr(name) for name in attributes} == pytest.approx(attributes)


def test_clipping_bounds_the_norm_of_all_gradients_together() -> None:
    """With a rate of 1 and plain SGD, a step moves the weights by the clipped gradients."""
    network = build_classifier(lambda image: paddle.static.nn.fc(image, 3), (1, 2, 2))
    options = {"optimizer": {"type": "SGD"}, "clip_grad_by_norm": 0.25}
    learning_rate = add_optimizer(network, OptimizerBuilder.model_validate(options))
    scope = paddle.static.Scope()
    initialise(network, scope, seed=0)
    before = read_scope(scope, ["fc_0.w_0", "fc_0.b_0"])
    feeds = {"image": np.full((1, 1, 2, 2), 9, np.float32), "label": np.array([[1]])}
    program = TrainingProgram(network, learning_rate)
    Stepper(program, scope, Schedule(1.0)).step(feeds, 0)
    after = read_scope(scope, ["fc_0.w_0", "fc_0.b_0"])
    moved = sum(np.sum((after[name] - before[name]) ** 2) for name in before)
    assert np.sqrt(moved) == pytest.approx(0.25, rel=1e-4)


def test_parameters_learn_at_rates_of_their_own() -> None:
    def moved(factor: float) -> dict[str, np.ndarray]:
        attr = paddle.ParamAttr(learning_rate=factor)
        network = build_classifier(lambda image: paddle.static.nn.fc(image, 3, weight_attr=attr), (1, 2, 2))
        learning_rate = add_optimizer(
            network, OptimizerBuilder.model_validate({"optimizer": {"type": "SGD"}})
        )
        scope = paddle.static.Scope()
        initialise(network, scope, seed=0)
        before = read_scope(scope, ["fc_0.w_0", "fc_0.b_0"])
        feeds = {"image": np.full((1, 1, 2, 2), 9, np.float32), "label": np.array([[1]])}
        Stepper(TrainingProgram(network, learning_rate), scope, Schedule(0.5)).step(feeds, 0)
        after = read_scope(scope, [*before])
        return {name: after[name] - before[name] for name in before}

    whole, tenth = moved(1.0), moved(0.1)
    np.testing.assert_allclose(tenth["fc_0.w_0"], 0.1 * whole["fc_0.w_0"], atol=1e-6)
    np.testing.assert_array_equal(tenth["fc_0.b_0"], whole["fc_0.b_0"])
    assert np.abs(whole["fc_0.w_0"]).max() > 0.1


def test_a_parameter_without_gradient_is_refused() -> None:
    def logits(image: object) -> object:
        paddle.static.nn.batch_norm(image, param_attr=paddle.ParamAttr(name="unused_scale"))
        return paddle.static.nn.fc(image, 3)

    network = build_classifier(logits, (1, 2, 2))
    with pytest.raises(TrainingError, match="2 of 4 parameters get no gradient, the first is 'unused_scale'"):
        add_optimizer(network, OptimizerBuilder())
