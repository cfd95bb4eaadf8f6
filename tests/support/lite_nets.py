"""Networks to lower for Paddle Lite, float and quantized."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from agreement import observe
from lite_case import F, build_model, floats, scatter_weights, static
from lite_detection_ops import multiclass_nms3

import qcc
from qcc._paddle import paddle
from qcc.model import Model
from qcc.passes import PassManager
from qcc.train.config import load_config
from qcc.train.tasks.architectures import classifier, detector_network

CONFIGS = Path(__file__).parents[2] / "configs"


def frozen(
    model: Model,
    inputs: Mapping[str, np.ndarray],
    weight_type: str = "channel_wise_abs_max",
    activation_type: str = "moving_average_abs_max",
    options: str = "",
) -> Model:
    """A model as after quantization-aware training: scales observed on `inputs`, then frozen."""
    chosen = f"weight_type={weight_type},activation_type={activation_type}{options}"
    transformed = PassManager.parse(f"transform{{{chosen}}}").run(model)
    for name, value in observe(transformed, model, inputs).items():
        transformed.weights[name] = value
    return PassManager.parse("freeze,prune").run(transformed)


def vision(name: str, size: int = 64, **options: Any) -> tuple[Model, dict[str, np.ndarray]]:
    """A network of `paddle.vision.models` with a softmax, and a batch of two for it."""
    inputs = (floats(2, 3, size, size, low=-1.0, high=1.0),)

    def build(image: Any) -> Any:
        net = getattr(paddle.vision.models, name)(num_classes=10, **options)
        return F.softmax(net(image))

    return build_model(build, inputs), {"x0": inputs[0]}


def project_detector() -> tuple[Model, dict[str, np.ndarray]]:
    """The YOLOv3 of the example on composed images, with random weights; its sizes are open."""
    network = detector_network(load_config(CONFIGS / "yolov3_mobilenet_v1_fashion_voc.yml", ()))
    network.startup.random_seed = 1
    scope = static.Scope()
    static.Executor(paddle.CPUPlace()).run(network.startup, scope=scope)
    scatter_weights(network.test, scope, 1)
    model = qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)
    return model, {"image": floats(1, 3, 96, 96), "im_size": np.array([[96, 128]], np.int32)}


def project_classifier() -> tuple[Model, dict[str, np.ndarray]]:
    """The trained MobileNetV1 of the demo, for grey images of 28 x 28 pixels."""
    config = load_config(CONFIGS / "mobilenet_v1_fashion_mnist.yml", ())
    inputs = (floats(2, 1, 28, 28),)
    model = build_model(lambda image: F.softmax(classifier(config).logits(image, 10)), inputs)
    with np.load(CONFIGS / "weights" / "mobilenet_v1_x0_25_fashion_mnist.npz") as trained:
        for name in trained.files:
            if name in model.weights:
                model.weights[name] = trained[name]
    return model, {"x0": inputs[0]}


def text_image(height: int, width: int) -> np.ndarray:
    """A picture of some letters on paper, as the PP-OCR networks are fed with one: [1, 3, height, width]."""
    paper = np.full((height, width, 3), 235, np.uint8)
    cv2.putText(
        paper, "Paddle", (4, int(height * 0.7)), cv2.FONT_HERSHEY_SIMPLEX, height / 50, (20, 20, 60), 2
    )
    return ((paper.astype(np.float32) / 255 - 0.485) / 0.229).transpose(2, 0, 1)[np.newaxis].copy()


def leaky(x: Any) -> Any:
    return F.leaky_relu(x, 0.1)


def linear(x: Any) -> Any:
    return x


def conv_bn(x: Any, channels: int, size: int, stride: int = 1, act: Any = leaky, groups: int = 1) -> Any:
    """A convolution without bias, batch norm, and an activation."""
    y = static.nn.conv2d(x, channels, size, stride, (size - 1) // 2, groups=groups, bias_attr=False)
    y = static.nn.batch_norm(y)
    return act(y)


def resnet() -> tuple[Model, dict[str, np.ndarray]]:
    """A small ResNet: three stages of basic blocks, two of them with a convolution in the shortcut."""

    def block(x: Any, channels: int, stride: int) -> Any:
        y = conv_bn(conv_bn(x, channels, 3, stride, F.relu), channels, 3, act=linear)
        if stride > 1:
            x = conv_bn(x, channels, 1, stride, act=linear)
        return F.relu(x + y)

    def build(image: Any) -> Any:
        x = F.max_pool2d(conv_bn(image, 8, 7, 2, F.relu), 3, 2, 1)
        for channels, stride in ((8, 1), (16, 2), (16, 1), (24, 2)):
            x = block(x, channels, stride)
        return F.softmax(paddle.nn.Linear(24, 10)(paddle.flatten(F.adaptive_avg_pool2d(x, 1), 1)))

    inputs = (floats(2, 3, 64, 64, low=-1.0, high=1.0),)
    return build_model(build, inputs), {"x0": inputs[0]}


def yolov3() -> tuple[Model, dict[str, np.ndarray]]:
    """A small YOLOv3: two scales, upsampling, yolo_box and multiclass_nms3; 64 x 64 images."""
    classes, anchors = 3, [[30, 61, 62, 45], [10, 13, 16, 30]]

    def build(image: Any, size: Any) -> Any:
        x = conv_bn(image, 8, 3, 2, F.relu)
        taps = []
        for channels in (16, 16, 24):
            x = conv_bn(conv_bn(x, x.shape[1], 3, 2, F.relu, groups=x.shape[1]), channels, 1, 1, F.relu)
            taps.append(x)
        boxes, scores = [], []
        for level, tip in enumerate((x, None)):
            if tip is None:
                up = F.interpolate(conv_bn(x, 12, 1), scale_factor=2, mode="nearest")
                x = paddle.concat([up, taps[1]], axis=1)
            x = conv_bn(conv_bn(x, 12, 1), 24, 3)
            head = static.nn.conv2d(x, 2 * (5 + classes), 1)
            found = paddle.vision.ops.yolo_box(head, size, anchors[level], classes, 0.05, 16 >> level)
            boxes.append(found[0])
            scores.append(paddle.transpose(found[1], [0, 2, 1]))
        inputs = (paddle.concat(boxes, 1), paddle.concat(scores, 2))
        return multiclass_nms3(*inputs)

    inputs = (floats(1, 3, 64, 64, low=-1.0, high=1.0), np.array([[96, 80]], np.int32))
    return build_model(build, inputs), {"x0": inputs[0], "x1": inputs[1]}


def ssd() -> tuple[Model, dict[str, np.ndarray]]:
    """A small SSD: prior boxes on two feature maps, box_coder and multiclass_nms3; 32 x 32 images."""
    classes = 4

    def build(image: Any) -> Any:
        first = conv_bn(conv_bn(image, 8, 3, 2, F.relu), 12, 3, 2, F.relu6)
        second = conv_bn(first, 16, 3, 2, F.relu6)
        locations, scores, priors, variances = [], [], [], []
        for feature, low, high in ((first, 8.0, 16.0), (second, 16.0, 24.0)):
            prior, variance = paddle.vision.ops.prior_box(
                feature, image, [low], [high], [2.0], [0.1, 0.1, 0.2, 0.2], flip=True, clip=True
            )
            count = prior.shape[2]
            location = static.nn.conv2d(feature, 4 * count, 3, padding=1)
            score = static.nn.conv2d(feature, classes * count, 3, padding=1)
            locations.append(paddle.reshape(paddle.transpose(location, [0, 2, 3, 1]), [0, -1, 4]))
            scores.append(paddle.reshape(paddle.transpose(score, [0, 2, 3, 1]), [0, -1, classes]))
            priors.append(paddle.reshape(prior, [-1, 4]))
            variances.append(paddle.reshape(variance, [-1, 4]))
        prior, variance = paddle.concat(priors), paddle.concat(variances)
        boxes = paddle.vision.ops.box_coder(
            prior, variance, paddle.concat(locations, 1), code_type="decode_center_size"
        )
        likely = paddle.transpose(F.softmax(paddle.concat(scores, 1)), [0, 2, 1])
        return multiclass_nms3(boxes, likely)

    image = floats(1, 3, 32, 32, low=-1.0, high=1.0)
    return build_model(build, (image,)), {"x0": image}
