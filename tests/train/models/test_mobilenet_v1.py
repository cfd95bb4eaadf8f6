from __future__ import annotations

import numpy as np
import pytest

from qcc._paddle import paddle
from qcc.train.models.classifier import build_classifier
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.network import Network
from qcc.train.models.strides import IMAGENET_STRIDES


def build(scale: float = 0.25, size: int = 32) -> Network:
    net = MobileNetV1(scale, IMAGENET_STRIDES)
    return build_classifier(lambda image: net.logits(image, 10), (3, size, size))


def count_parameters(network: Network) -> int:
    return sum(int(np.prod(p.shape)) for p in network.train.all_parameters() if p.trainable)


def test_parameter_count_at_full_width_is_the_papers() -> None:
    net = MobileNetV1(1.0)
    network = build_classifier(lambda image: net.logits(image, 1000), (3, 224, 224))
    assert count_parameters(network) == 4_231_976  # 4.2 million in table 8 of arXiv:1704.04861


@pytest.mark.parametrize(("scale", "channels"), [(0.25, 8), (0.07, 2), (1.5, 48)])
def test_scale_multiplies_channels(scale: float, channels: int) -> None:
    weights = build(scale).train.global_block().var("conv1_weights")
    assert tuple(weights.shape) == (channels, 3, 3, 3)


def test_structure_and_names() -> None:
    network = build()
    ops = [op.type for op in network.test.global_block().ops]
    assert ops.count("conv2d") == 14
    assert ops.count("depthwise_conv2d") == 13
    assert ops.count("batch_norm") == ops.count("relu") == 27
    assert network.test_feeds == ("image",)
    assert network.outputs == ("fc_0.tmp_2",)
    softmax = next(op for op in network.test.global_block().ops if op.type == "softmax")
    assert softmax.output("Out") == ["fc_0.tmp_2"]
    assert softmax.input("X") == ["fc_0.tmp_1"]
    names = {parameter.name for parameter in network.train.all_parameters()}
    assert {"conv1_weights", "conv2_1_dw_weights", "conv6_sep_bn_variance", "fc7_weights"} <= names


def test_names_are_the_same_however_often_it_is_built() -> None:
    first, second = build(), build()
    assert str(first.train) == str(second.train)


def test_activations_have_the_same_names_in_training_and_test() -> None:
    network = build()
    train = {op.input("Input")[0] for op in network.train.global_block().ops if "conv" in op.type}
    test = {op.input("Input")[0] for op in network.test.global_block().ops if "conv" in op.type}
    assert train == test


def test_test_program_uses_the_moving_statistics() -> None:
    network = build(0.07)
    norms = [op for op in network.test.global_block().ops if op.type == "batch_norm"]
    assert all(op.attr("is_test") for op in norms)
    assert not any(op.attr("is_test") for op in network.train.global_block().ops if op.type == "batch_norm")


def test_it_learns_a_batch_by_heart() -> None:
    network = build(0.07, 16)
    with paddle.static.program_guard(network.train, network.startup):
        paddle.optimizer.Momentum(0.05, 0.9).minimize(network.train.global_block().var(network.loss))
    executor, scope = paddle.static.Executor(paddle.CPUPlace()), paddle.static.Scope()
    executor.run(network.startup, scope=scope)
    random = np.random.default_rng(0)
    feed = {
        "image": random.standard_normal((16, 3, 16, 16)).astype(np.float32),
        "label": (np.arange(16) % 2)[:, None],
    }
    losses = [
        float(executor.run(network.train, feed=feed, fetch_list=[network.loss], scope=scope)[0])
        for _ in range(25)
    ]
    assert losses[-1] < 0.5 * losses[0]
