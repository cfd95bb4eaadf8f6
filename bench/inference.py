"""Measures what int8 gains in `paddle.inference` with oneDNN on networks of full size.

`make bench-inference` runs this. Weights and images are random, so times and sizes mean something and
accuracy does not. Writes docs/records/inference-bench.json and from it docs/inference.md. All forms of a
network take turns.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import qcc
from qcc._paddle import paddle
from qcc.backends.predictor import Engine, Predictor
from qcc.files import atomic_file, write_json
from qcc.model import Model, Runner
from qcc.passes.fake_quant import QUANTIZE_OPS
from qcc.train.config import DetectorConfig, load_config
from qcc.train.models.architectures import detector_network
from qcc.train.models.detector import IM_SIZE, IMAGE
from qcc.train.models.mobilenet_v1 import MobileNetV1
from qcc.train.report import command_line, environment
from qcc.train.timing import milliseconds
from qcc.train.weights import initialise

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "records" / "inference-bench.json"
PAGE = ROOT / "docs" / "inference.md"
DETECTOR = ROOT / "configs" / "yolov3_mobilenet_v1_voc.yml"
CLASSIFIER_SIDE, DETECTOR_SIDE = 224, 320
TRANSFORM = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"
FLOAT, INT8 = Engine(onednn=True), Engine(onednn=True, int8=True)


@dataclass(frozen=True)
class Subject:
    """A float network of random weights, and one input."""

    name: str
    model: Model
    feeds: dict[str, np.ndarray]


def classifier(scale: float) -> Subject:
    """MobileNetV1 for 1,000 classes."""
    main, startup, scope = paddle.static.Program(), paddle.static.Program(), paddle.static.Scope()
    startup.random_seed = 1
    with paddle.utils.unique_name.guard(), paddle.static.program_guard(main, startup):
        image = paddle.static.data("image", [-1, 3, CLASSIFIER_SIDE, CLASSIFIER_SIDE])
        logits = MobileNetV1(scale).logits(image, 1000)
        test = main.clone(for_test=True)
    paddle.static.Executor().run(startup, scope=scope)
    model = qcc.from_program(test, scope, ["image"], [logits.name], for_test=True)
    name = f"MobileNetV1 x{scale}, {CLASSIFIER_SIDE} px"
    return Subject(name, model, {"image": _image(CLASSIFIER_SIDE)})


def detector() -> Subject:
    """PaddleDetection's YOLOv3-MobileNetV1 for VOC's 20 classes, all of its width."""
    config = load_config(DETECTOR)
    assert isinstance(config, DetectorConfig)
    network, scope = detector_network(config), paddle.static.Scope()
    initialise(network, scope, 1)
    model = qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)
    feeds = {IMAGE: _image(DETECTOR_SIDE), IM_SIZE: np.array([[DETECTOR_SIDE] * 2], np.int32)}
    return Subject(f"YOLOv3-MobileNetV1, {DETECTOR_SIDE} px", model, feeds)


def _image(side: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, side, side)).astype(np.float32)


def observed(subject: Subject) -> Model:
    """The transformed model, with the largest magnitudes on one image as activation scales."""
    transformed = qcc.PassManager.parse(TRANSFORM).run(subject.model)
    quantizers = [op for op in transformed.graph.ops if op.type in QUANTIZE_OPS and "InScale" in op.inputs]
    values = Runner(subject.model).run(subject.feeds, tuple(op.input("X").name for op in quantizers))
    for op, value in zip(quantizers, values, strict=True):
        transformed.weights[op.input("InScale").name] = np.array([np.abs(value).max()], np.float32)
    return transformed


def measure(subject: Subject, folder: Path) -> dict[str, Any]:
    """Sizes in bytes and milliseconds per image of one network."""
    frozen = qcc.PassManager.parse("freeze,prune").run(observed(subject))
    forms = {"float": subject.model, "frozen": frozen, "int8": frozen, "qdq": frozen}
    for form, source in forms.items():
        qcc.save(source, folder / form, form="float" if form == "frozen" else form, check=False)
    predictors = {
        name: Predictor.open(folder / form, engine)
        for name, form, engine in (
            ("float", "float", FLOAT),
            ("frozen, fp32 kernels", "frozen", FLOAT),
            ("frozen, int8 kernels", "frozen", INT8),
            ("qdq, int8 kernels", "qdq", INT8),
        )
    }
    runs = {name: partial(predictor.run, subject.feeds) for name, predictor in predictors.items()}
    sizes = {form: sum(path.stat().st_size for path in (folder / form).glob("model.*")) for form in forms}
    return {"name": subject.name, "milliseconds": milliseconds(runs), "bytes": sizes}


def page(record: dict[str, Any]) -> str:
    """The page for a record."""
    where = record["environment"]
    rows = []
    for network in record["networks"]:
        base, times, sizes = network["milliseconds"]["float"], network["milliseconds"], network["bytes"]
        for name, value in times.items():
            rows.append(f"| {network['name']} | {name} | {value:.2f} | {value / base:.2f} |")
        rows.append(
            f"| {network['name']} | size of float, int8, qdq: {sizes['float'] / 1e6:.2f},"
            f" {sizes['int8'] / 1e6:.2f}, {sizes['qdq'] / 1e6:.2f} MB | |"
            f" {sizes['int8'] / sizes['float']:.2f}, {sizes['qdq'] / sizes['float']:.2f} |"
        )
    table = "\n".join(["| network | form and kernels | ms | ratio to float |", "|---|---|---|---|", *rows])
    return f"""# What int8 gains at full size

{table}

Random weights and image: the times and sizes are those of the real networks (1,000 classes; 20 of VOC),
accuracy is not measured here. `paddle.inference` with oneDNN, batch 1, one
thread, medians of 100 runs after 10, in turns. Made by `{record["command"]}` from
`docs/records/inference-bench.json` on {where["processor"]}, Paddle {where["paddle"]}; another processor has
other ratios.
"""


def main() -> None:
    networks = []
    for subject in (classifier(1.0), classifier(0.5), detector()):
        with tempfile.TemporaryDirectory(prefix="qcc-bench-") as folder:
            networks.append(measure(subject, Path(folder)))
    record = {"command": command_line(), "environment": environment(), "networks": networks}
    write_json(RECORD, record)
    with atomic_file(PAGE) as stream:
        stream.write(page(json.loads(RECORD.read_text())).encode())
    print(page(record))


if __name__ == "__main__":
    main()
