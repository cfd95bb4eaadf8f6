"""Networks of full size to measure: float, with random weights unless said otherwise, and one input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import qcc
from qcc._paddle import paddle
from qcc.calibrate.activations import largest_magnitudes
from qcc.model import Model
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.train.config import DetectorConfig, load_config
from qcc.train.data.cache import dataset
from qcc.train.models.detector import IM_SIZE, IMAGE
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.mobilenet_v2 import MobileNetV2
from qcc.train.models.resnet import ResNet
from qcc.train.programs.weights import initialise
from qcc.train.tasks.architectures import detector_network

paddle.enable_static()

CLASSIFIER_SIDE, DETECTOR_SIDE = 224, 320
_DETECTOR = Path(__file__).resolve().parent.parent / "configs" / "yolov3_mobilenet_v1_voc.yml"
# The score threshold of that configuration, and how many boxes of a picture of DETECTOR_SIDE reach it.
_LEAST_SCORE, _BOXES = 0.01, 300
_SCHEME = "weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max"

Inputs = dict[str, np.ndarray]


def classifier(net: MobileNetV1 | MobileNetV2 | ResNet, side: int = CLASSIFIER_SIDE) -> tuple[Model, Inputs]:
    """A classifier for 1,000 classes."""
    main, startup, scope = paddle.static.Program(), paddle.static.Program(), paddle.static.Scope()
    startup.random_seed = 1
    with paddle.utils.unique_name.guard(), paddle.static.program_guard(main, startup):
        image = paddle.static.data("image", [-1, 3, side, side])
        logits = net.logits(image, 1000)
        test = main.clone(for_test=True)
    paddle.static.Executor().run(startup, scope=scope)
    settle_norms(test, scope, [{"image": picture} for picture in _pictures(side)])
    model = qcc.from_program(test, scope, ["image"], [logits.name], for_test=True)
    return model, {"image": _picture(side, side)}


def detector() -> tuple[Model, Inputs]:
    """PaddleDetection's YOLOv3-MobileNetV1 for VOC's 20 classes, all of its width."""
    config = load_config(_DETECTOR)
    assert isinstance(config, DetectorConfig)
    network, scope = detector_network(config), paddle.static.Scope()
    initialise(network, scope, 1)
    sides = np.array([[DETECTOR_SIDE] * 2], np.int32)
    batches = [
        {IMAGE: pictures, IM_SIZE: np.repeat(sides, len(pictures), 0)}
        for pictures in _pictures(DETECTOR_SIDE)
    ]
    settle_norms(network.test, scope, batches)
    settle_objectness(network.test, scope, batches[0])
    model = qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)
    return model, {IMAGE: _picture(DETECTOR_SIDE, DETECTOR_SIDE), IM_SIZE: sides}


def settle_norms(test: Any, scope: Any, batches: Sequence[Inputs]) -> None:
    """Set the statistics of the batch norms of a test program to their means over some batches.

    With those that a new network has, mean 0 and variance 1, the activations of a deep one shrink or grow by
    a factor a layer: MobileNetV1 of all its width would give 1e-15, and zeros when it is quantized.
    """
    for number, batch in enumerate(batches):
        program = test.clone()
        block = program.global_block()
        for op in block.ops:
            if op.type == "batch_norm":
                op._set_attr("is_test", False)
                op._set_attr("momentum", number / (number + 1))
                # A test program lacks it; the kernels of training want it.
                op.desc.set_output("ReserveSpace", [block.create_var(dtype="float32").name])
        paddle.static.Executor().run(program, feed=batch, scope=scope)


def settle_objectness(test: Any, scope: Any, batch: Inputs) -> None:
    """Lower the objectness of a detector's outputs until as many boxes reach non-maximum suppression as a
    trained detector has: of the pixels of the repository's detector of trees at 320, 155 to 359 of 6,300
    boxes. With random weights 3,800 do, with all of their classes, and suppression takes a third of the time.
    """
    block = test.global_block()
    decoders = [op for op in block.ops if op.type == "yolo_box"]
    found = paddle.static.Executor().run(
        test, feed=batch, fetch_list=[block.var(op.output("Scores")[0]) for op in decoders], scope=scope
    )
    best = np.concatenate([scores.max(axis=2).reshape(-1) for scores in found])
    boxes = _BOXES * len(batch[IMAGE])
    # A small sigmoid grows with the exponential of its argument.
    shift = np.log(_LEAST_SCORE / np.partition(best, -boxes)[-boxes])
    for op in decoders:
        anchors = len(op.attr("anchors")) // 2
        [bias] = [adder.input("Y")[0] for adder in block.ops if op.input("X")[0] in adder.output_arg_names]
        tensor = scope.find_var(bias).get_tensor()
        values = np.array(tensor).reshape(anchors, -1)
        values[:, 4] += shift
        tensor.set(values.reshape(-1), paddle.CPUPlace())


def text_network(folder: str, height: int, width: int) -> tuple[Model, Inputs]:
    """One of the three networks of PP-OCR, as published."""
    model = qcc.load(dataset("pp-ocr") / folder)
    return model, {model.feeds[0]: _picture(height, width)}


def frozen(model: Model, inputs: Inputs, weight_bits: int = 8) -> Model:
    """The model, quantized with the largest magnitudes on one input as activation scales."""
    transform = f"transform{{{_SCHEME},weight_bits={weight_bits}}}"
    transformed = qcc.PassManager.parse(transform).run(model)
    quantizers = [op for op in transformed.graph.ops if op.type in QUANTIZE_OPS and "InScale" in op.inputs]
    scales = largest_magnitudes(model, [op.input("X").name for op in quantizers], [inputs])
    for op in quantizers:
        scale = scales[op.input("X").name]
        transformed.weights[op.input("InScale").name] = np.array([scale], np.float32)
    return qcc.PassManager.parse("freeze,prune").run(transformed)


def _pictures(side: int) -> list[np.ndarray]:
    """Three batches of four pictures."""
    random = np.random.default_rng(2)
    return [random.standard_normal((4, 3, side, side)).astype(np.float32) for _ in range(3)]


def _picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, height, width)).astype(np.float32)
