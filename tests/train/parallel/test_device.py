"""Which device a process computes on, and what of a network runs there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gpus import needs_cuda_build, needs_gpus
from tiny import write_config

from qcc._paddle import core, paddle
from qcc.errors import ConfigError
from qcc.train.config import load_config
from qcc.train.config.optimization import OptimizerBuilder
from qcc.train.config.strategies import QuantizationStrategy
from qcc.train.loop.stepper import Stepper
from qcc.train.models.classifier import build_classifier
from qcc.train.models.detector import build_detector
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.models.mobilenet_v2 import MobileNetV2
from qcc.train.models.network import Network
from qcc.train.models.resnet import ResNet
from qcc.train.models.yolov3 import Yolov3Head
from qcc.train.parallel import device
from qcc.train.parallel.collectives import share_state
from qcc.train.parallel.device import choose_device, device_notes, is_cpu
from qcc.train.programs.programs import Stage, TrainingPrograms
from qcc.train.programs.scheme import transform_pipeline
from qcc.train.programs.weights import initialise
from qcc.train.tasks.build import build_task


def build(cuda: bool, gpus: int = 0) -> SimpleNamespace:
    """What `device` asks of a Paddle that is or is not built with CUDA, on a machine with GPUs."""
    return SimpleNamespace(
        CPUPlace=core.CPUPlace,
        CUDAPlace=lambda number: f"GPU {number}",
        is_compiled_with_cuda=lambda: cuda,
        get_cuda_device_count=lambda: gpus,
    )


def test_a_build_without_cuda_computes_on_the_cpu_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "core", build(cuda=False))

    assert is_cpu(choose_device(use_gpu=True))
    assert device_notes(use_gpu=False) == []
    assert device_notes(use_gpu=True) == [
        "use_gpu is true, but the Paddle here is built without CUDA, so the CPU is used; paddlepaddle-gpu is"
        " the one for GPUs."
    ]


def test_each_process_has_the_gpu_that_the_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "core", build(cuda=True, gpus=2))

    assert choose_device(use_gpu=True) == "GPU 0"
    monkeypatch.setenv("FLAGS_selected_gpus", "1")
    assert choose_device(use_gpu=True) == "GPU 1"
    assert is_cpu(choose_device(use_gpu=False))
    assert device_notes(use_gpu=True) == []


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "core", build(cuda=True, gpus=1))
    monkeypatch.setenv("FLAGS_selected_gpus", "1")

    with pytest.raises(ConfigError, match="Paddle finds 1 GPUs where this process needs number 1: start"):
        choose_device(use_gpu=True)
    monkeypatch.setenv("FLAGS_selected_gpus", "0,1")
    with pytest.raises(ConfigError, match="FLAGS_selected_gpus must be a whole number, not '0,1'"):
        choose_device(use_gpu=True)


def test_a_task_computes_where_its_configuration_says(
    tmp_path: Path, tiny_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "core", build(cuda=True, gpus=1))
    config = write_config(tmp_path, tiny_images)

    assert build_task(load_config(config, ["use_gpu=true"])).group.device == "GPU 0"
    assert is_cpu(build_task(load_config(config)).group.device)


# ---------------------------------------------------------------- what the CUDA build says without a GPU

# Paddle runs an op that has no CUDA kernel on the CPU, and copies what goes in and comes out.
WITHOUT_CUDA_KERNEL = {"yolov3_loss", "yolov3_loss_grad"}


def classifier(net: Any) -> Network:
    return build_classifier(lambda image: net.logits(image, 10), (3, 64, 64))


def detector(backbone: Any, maps: tuple[int, ...]) -> Network:
    anchors = tuple((8 * size, 8 * size) for size in range(1, 10))
    head = Yolov3Head(4, anchors, ((6, 7, 8), (3, 4, 5), (0, 1, 2)))
    return build_detector(lambda image: [backbone.features(image)[number] for number in maps], head, 10)


@needs_cuda_build
@pytest.mark.parametrize("activation", ["abs_max", "range_abs_max", "moving_average_abs_max"])
@pytest.mark.parametrize("weight", ["abs_max", "channel_wise_abs_max"])
@pytest.mark.parametrize(
    "network",
    [
        lambda: classifier(MobileNetV1(0.25)),
        lambda: classifier(MobileNetV2(0.25)),
        lambda: classifier(ResNet(50)),
        lambda: detector(MobileNetV1(0.25), (13, 11, 5)),
    ],
    ids=["MobileNetV1", "MobileNetV2", "ResNet50", "YOLOv3"],
)
def test_training_has_cuda_kernels(network: Callable[[], Network], weight: str, activation: str) -> None:
    built = network()
    strategy = QuantizationStrategy(weight_quantize_type=weight, activation_quantize_type=activation)
    optimizer = OptimizerBuilder(clip_grad_by_norm=1.0)
    programs = TrainingPrograms(
        built, optimizer, transform_pipeline(strategy), lambda _: None, optimizer, processes=2
    )
    scope = paddle.static.Scope()
    initialise(programs.plain().network, scope, 0)

    training = programs.build(Stage(quantized=True), scope, Stage()).network.train
    share_state(training, 2)

    types = {op.type for program in (training, built.test) for op in program.global_block().ops}
    kernels = core._get_all_register_op_kernels("all")
    without = {
        kind
        for kind in types - {"feed", "fetch"}
        if not any("float]" in key and "gpu" in key for key in kernels.get(kind, []))
    }
    assert without <= WITHOUT_CUDA_KERNEL


# ---------------------------------------------------------------- what needs a GPU


@needs_gpus(1)
def test_a_gpu_computes_what_the_cpu_does(tmp_path: Path, tiny_images: Path) -> None:
    config = load_config(write_config(tmp_path, tiny_images), ["use_gpu=true"])
    task = build_task(config)
    built = task.network()
    strategy = QuantizationStrategy(activation_quantize_type="moving_average_abs_max")
    losses = []
    for one in (task.group, build_task(load_config(tmp_path / "tiny.yml")).group):
        scope = paddle.static.Scope()
        pipeline = transform_pipeline(strategy)
        programs = TrainingPrograms(built, config.optimizer, pipeline, lambda _: None, config.optimizer)
        initialise(programs.plain().network, scope, 0)
        stepper = Stepper(
            programs.build(Stage(quantized=True), scope, Stage()),
            scope,
            config.learning_rate.schedule(),
            group=one,
        )
        losses.append([stepper.step(feeds, step).loss for step, feeds in enumerate(task.train_batches(0, 0))])

    np.testing.assert_allclose(*losses, rtol=1e-3)
