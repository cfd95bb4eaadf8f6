from __future__ import annotations

import pytest

from qcc._paddle import paddle
from qcc.errors import TrainingError
from qcc.train.config.schema import OptimizerBuilder
from qcc.train.models.classifier import build_classifier
from qcc.train.optimizer import add_optimizer


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


def test_a_parameter_without_gradient_is_refused() -> None:
    def logits(image: object) -> object:
        paddle.static.nn.batch_norm(image, param_attr=paddle.ParamAttr(name="unused_scale"))
        return paddle.static.nn.fc(image, 3)

    network = build_classifier(logits, (1, 2, 2))
    with pytest.raises(TrainingError, match="2 of 4 parameters get no gradient, the first is 'unused_scale'"):
        add_optimizer(network, OptimizerBuilder())
