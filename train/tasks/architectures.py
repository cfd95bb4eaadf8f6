"""From a configuration to its network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from qcc.train.config.detection import DetectorConfig
from qcc.train.config.schema import ClassifierConfig
from qcc.train.models.detector import build_detector
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.mobilenet_v2 import MobileNetV2
from qcc.train.models.network import Network
from qcc.train.models.resnet import ResNet
from qcc.train.models.yolov3 import Nms, Yolov3Head

# Of what `MobileNetV1.features` returns, the last ones of stride 32, 16 and 8.
_MOBILENET_MAPS = (13, 11, 5)


class Classifier(Protocol):
    def logits(self, image: Any, num_classes: int) -> Any:
        """Append the network to the current program; returns float32 [N, num_classes]."""
        ...


def classifier(config: ClassifierConfig) -> Classifier:
    """The network that a classifier's configuration describes."""
    if config.architecture == "MobileNetV1":
        net = config.mobilenet_v1
        return MobileNetV1(net.scale, net.strides, net.norm_decay)
    if config.architecture == "MobileNetV2":
        return MobileNetV2(config.mobilenet_v2.scale, config.mobilenet_v2.norm_decay)
    if config.architecture == "ResNet34":
        return ResNet(34, config.resnet34.norm_decay)
    return ResNet(50, config.resnet50.norm_decay)


def detector_network(config: DetectorConfig) -> Network:
    """The programs of a detector."""
    head = Yolov3Head(
        num_classes=config.num_classes,
        anchors=config.head.anchors,
        anchor_masks=config.head.anchor_masks,
        ignore_thresh=config.head.ignore_thresh,
        label_smooth=config.head.label_smooth,
        norm_decay=config.head.norm_decay,
        scale=config.head.scale,
        nms=Nms(**config.head.nms.model_dump()),
    )
    backbone, outputs = _backbone(config), len(config.head.anchor_masks)
    feed = config.yolo_train_feed
    network = build_detector(lambda image: backbone(image)[:outputs], head, feed.num_max_boxes)
    return replace(network, one_size=len(set(feed.random_shapes)) == 1)


def _backbone(config: DetectorConfig) -> Callable[[Any], Sequence[Any]]:
    if config.yolov3.backbone == "ResNet":
        resnet = ResNet(config.resnet.depth, config.resnet.norm_decay)
        return lambda image: resnet.features(image)[:0:-1]
    net = MobileNetV1(config.mobilenet.conv_group_scale, norm_decay=config.mobilenet.norm_decay)

    def feature_maps(image: Any) -> Sequence[Any]:
        features = net.features(image)
        return [features[number] for number in _MOBILENET_MAPS]

    return feature_maps
