"""Networks have the sizes that are published, and names that do not change."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qcc._paddle import paddle
from qcc.train.models.classifier import build_classifier
from qcc.train.models.detector import build_detector
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.mobilenet_v2 import MobileNetV2
from qcc.train.models.network import Network
from qcc.train.models.resnet import ResNet
from qcc.train.models.yolov3 import Yolov3Head

ANCHORS = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
MASKS = ((6, 7, 8), (3, 4, 5), (0, 1, 2))


def trainable(network: Network) -> int:
    return sum(
        math.prod(parameter.shape) for parameter in network.train.all_parameters() if parameter.trainable
    )


@pytest.mark.parametrize(
    ("net", "millions"),
    [
        # Table 8 of the MobileNet paper says 4.2, table 4 of the MobileNetV2 paper 3.4.
        (MobileNetV1(1.0), 4.232),
        (MobileNetV2(), 3.506),
        (ResNet(34), 21.798),
        (ResNet(50), 25.557),
    ],
    ids=["MobileNetV1", "MobileNetV2", "ResNet34", "ResNet50"],
)
def test_parameters_of_classifiers(net: Any, millions: float) -> None:
    network = build_classifier(lambda image: net.logits(image, 1000), (3, 224, 224))

    assert trainable(network) / 1e6 == pytest.approx(millions, abs=2e-3)
    assert network.outputs == ("fc_0.tmp_2",)


@pytest.mark.parametrize("net", [MobileNetV1, MobileNetV2])
def test_a_scale_leaves_a_channel_at_least(net: Any) -> None:
    network = build_classifier(lambda image: net(0.01).logits(image, 10), (1, 32, 32))

    assert all(side > 0 for parameter in network.train.all_parameters() for side in parameter.shape)


def detector(backbone: Any, maps: tuple[int, ...]) -> Network:
    head = Yolov3Head(80, ANCHORS, MASKS)
    return build_detector(lambda image: [backbone.features(image)[number] for number in maps], head, 50)


def test_yolov3_is_fed_and_fetched_by_the_originals_names() -> None:
    network = detector(MobileNetV1(1.0), (13, 11, 5))

    assert network.test_feeds == ("image", "im_size")
    assert network.outputs[0] == "multiclass_nms_0.tmp_0"
    # The 93.37 MB that are published for the 20 classes of VOC are these weights in float32.
    assert trainable(network) / 1e6 == pytest.approx(24.6, abs=0.3)


def test_yolov3_on_resnet() -> None:
    network = detector(ResNet(34), (3, 2, 1))

    types = [op.type for op in network.test.global_block().ops]
    assert types.count("yolo_box") == 3
    assert types[-1] == "multiclass_nms3"


def test_programs_are_the_same_every_time() -> None:
    first, second = (detector(MobileNetV1(0.25), (13, 11, 5)) for _ in range(2))

    assert first.train.desc.serialize_to_string() == second.train.desc.serialize_to_string()
    assert first.test.desc.serialize_to_string() == second.test.desc.serialize_to_string()


def test_train_and_test_programs_share_their_activations() -> None:
    network = detector(MobileNetV1(0.25), (13, 11, 5))

    def activations(program: Any) -> set[str]:
        return {
            name for op in program.global_block().ops if op.type == "conv2d" for name in op.input("Input")
        }

    assert activations(network.train) == activations(network.test)


def test_other_parts_have_names_of_their_own() -> None:
    network = detector(MobileNetV1(0.25), (13, 11, 5))
    train = {name for op in network.train.global_block().ops for name in op.output_arg_names}
    test = {name for op in network.test.global_block().ops for name in op.output_arg_names}

    only_test = {name for name in test - train if not name.startswith("multiclass_nms")}
    assert only_test
    assert not any(name in train for name in only_test)


def test_objectness_starts_low() -> None:
    network = detector(MobileNetV1(0.07), (13, 11, 5))
    scope = paddle.static.Scope()
    paddle.static.Executor(paddle.CPUPlace()).run(network.startup, scope=scope)

    bias = scope.find_var("yolo_output.0.conv.bias").get_tensor()
    values = paddle.base.core.LoDTensor.__array__(bias).reshape(3, 85)
    assert values[:, 4] == pytest.approx([-4.595] * 3, abs=1e-3)
    assert not values[:, :4].any()
