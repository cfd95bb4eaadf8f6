"""Trained networks in Paddle Lite files: calibrated by their configuration, with the same accuracy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import write_config, write_slim
from tiny_detector import write_detector_config

import qcc
from qcc.backends.lite.export import export
from qcc.calibrate.activations import calibrated
from qcc.cli.main import run as command
from qcc.ir.graph import Graph
from qcc.ir.nodes import Op
from qcc.measure.loaded import cases_of
from qcc.passes import PassManager
from qcc.passes.scales import fresh_weight_scales
from qcc.quantization import scheme
from qcc.train.config import load_config
from qcc.train.evaluation.evaluate import evaluate, evaluate_in
from qcc.train.programs.weights import float_model, load_weights
from qcc.train.tasks.build import build_task
from qcc.train.tasks.detector import DetectorTask

ROOT = Path(__file__).parents[2]

COMBINATIONS = [
    ("abs_max", "abs_max"),
    ("abs_max", "moving_average_abs_max"),
    ("channel_wise_abs_max", "abs_max"),
    ("channel_wise_abs_max", "moving_average_abs_max"),
]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What a command that succeeds prints."""
    capsys.readouterr()
    assert command([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert command([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """A folder with tiny.yml, and in dynamic/ a frozen network that measures its activations' scales."""
    folder = tmp_path_factory.mktemp("lite")
    freeze(folder, tiny_images, "channel_wise_abs_max", "abs_max", "dynamic")
    return folder


def freeze(folder: Path, images: Path, weights: str, activations: str, name: str) -> Path:
    config = write_config(folder, images)
    slim = write_slim(
        folder / f"{name}_run", 1, weight_quantize_type=weights, activation_quantize_type=activations
    )
    assert command(["quantize", "-c", str(config), "-s", str(slim)]) == 0
    saved = folder / name
    assert command(["freeze", "--checkpoint", str(folder / f"{name}_run"), "--save", str(saved)]) == 0
    return saved / "float"


@pytest.mark.slow
@pytest.mark.lite
@pytest.mark.parametrize(("weights", "activations"), COMBINATIONS)
def test_all_combinations_deploy(
    weights: str, activations: str, tmp_path: Path, tiny_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the original's table, and the one that Paddle's documents call the best."""
    frozen = freeze(tmp_path, tiny_images, weights, activations, "model")
    config, out = tmp_path / "tiny.yml", tmp_path / "a.nb"
    dynamic = activations == "abs_max"
    for arch in ("arm", "x86"):
        calibrate = ("--calibrate", config) if dynamic else ()
        printed(capsys, "export", frozen, "--arch", arch, "-o", out, *calibrate)
    if dynamic:
        assert "--calibrate DATA" in refusal(capsys, "export", frozen, "-o", tmp_path / "b.nb")
    else:
        # Nothing was measured anew, so the numbers are those of the frozen network.
        assert printed(capsys, "eval", out, "-c", config) == printed(capsys, "eval", frozen, "-c", config)
    assert printed(capsys, "eval", out, "-c", config).startswith("top1 ")


def test_calibrated_by_a_configuration(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen, config, out = classifier / "dynamic/float", classifier / "tiny.yml", classifier / "a.nb"
    text = printed(capsys, "export", frozen, "-o", out, "--calibrate", config, "--no-check")
    said, wrote, *_ = text.splitlines()
    assert said.startswith("calibrated ")
    assert said.endswith(f" activation scales on 64 batches of {config}.")
    assert wrote.startswith(f"wrote {out}")
    task = build_task(load_config(config, ()))
    images = np.concatenate([batch["image"] for batch in task.calibration_batches(1000)])
    assert images.shape == (64, 1, 28, 28)
    pipelines = json.loads((classifier / "a.nb.json").read_text())["pipelines"]
    assert f'"image={float(np.abs(images).max())!r}"' in pipelines[-2]


def test_a_dynamic_network_is_frozen_with_fixed_scales(
    classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --calibrate there is a qdq form, and oneDNN's int8 kernels compute what was trained."""
    checkpoints, saved = classifier / "dynamic_run", classifier / "fixed"
    freeze = ("freeze", "--checkpoint", checkpoints, "--save", saved)
    said = printed(capsys, *freeze, "--calibrate", classifier / "tiny.yml")
    assert said.count("saved the") == 3
    model = qcc.load(saved / "qdq")
    assert scheme(model.graph)["activation_type"] == ["static"]
    scales = [model.weights[op.input("Scale").name] for op in input_quantizers(model.graph, "image")]
    task = build_task(load_config(classifier / "tiny.yml", ()))
    largest = max(np.abs(batch["image"]).max() for batch in task.calibration_batches(1000))
    assert [scale.tolist() for scale in scales] == [[largest]]


def input_quantizers(graph: Graph, feed: str) -> list[Op]:
    return [op for op in graph.ops if op.type == "quantize_linear" and op.input("X").name == feed]


def test_saving_a_dynamic_network_tells_that_int8_kernels_are_not_for_it(
    classifier: Path, tmp_path: Path
) -> None:
    (warning,) = qcc.save(qcc.load(classifier / "dynamic/float"), tmp_path).warnings
    assert warning.what == "paddle.inference, oneDNN int8"
    assert "qcc freeze --calibrate" in warning.outcome


def test_samples_for_calibration_are_spread_over_the_training_set(classifier: Path) -> None:
    task = build_task(load_config(classifier / "tiny.yml", ()))
    all_images = [batch["image"] for batch in task.calibration_batches(64)]
    some = [batch["image"] for batch in task.calibration_batches(3)]
    assert [array.tolist() for array in some] == [all_images[index].tolist() for index in (0, 21, 42)]


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [
        ("missing", (), "missing does not exist"),
        ("empty", (), "empty holds no image"),
        ("empty", ("-c", "tiny.yml"), "describes a MobileNetV1, which is not trained on image files"),
        ("empty", ("-c", "detector.yml"), "empty holds no image"),
        ("broken.jpg", ("-c", "detector.yml"), "broken.jpg"),
        ("faces.jpg", ("-c", "detector.yml"), "has no array 'image'|batch 1 of the data: 'image' is"),
        ("broken.yml", (), "broken.yml"),
    ],
)
def test_calibration_data_that_does_not_fit(
    classifier: Path, data: str, more: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (classifier / "empty").mkdir(exist_ok=True)
    (classifier / "broken.jpg").write_bytes(b"no picture")
    (classifier / "broken.yml").write_text("architecture: [")
    cv2.imwrite(str(classifier / "faces.jpg"), np.zeros((20, 30, 3), np.uint8))
    if not (classifier / "detector.yml").exists():
        write_detector_config(classifier, 2, 2)
    options = [classifier / word if word.endswith(".yml") else word for word in more]
    out = classifier / "never.nb"
    said = refusal(
        capsys, "export", classifier / "dynamic/float", "-o", out, "--calibrate", classifier / data, *options
    )
    assert any(part in said for part in words.split("|")), said
    assert not out.exists()


def test_a_configuration_without_data(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = classifier / "tiny.yml"
    said = refusal(capsys, "export", classifier / "dynamic/float", "-o", "a.nb", "-c", config)
    assert "there is no --calibrate" in said


def test_detectors_are_calibrated_on_images(tmp_path: Path) -> None:
    """As their test program is fed with them, from the training set."""
    task = build_task(load_config(write_detector_config(tmp_path, 5, 2), ()))
    assert isinstance(task, DetectorTask)
    batches = list(task.calibration_batches(3))
    assert [{name: array.shape for name, array in batch.items()} for batch in batches] == [
        {"image": (1, 3, 64, 64), "im_size": (1, 2)}
    ] * 3
    names = [task.train_set.images[index].path.name for index in (0, 1, 3)]
    assert names == ["trainval_0.jpg", "trainval_1.jpg", "trainval_3.jpg"]


# ---------------------------------------------------------------------- qcc eval FILE.nb


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first pictures of the example's data set."""
    folder = tmp_path_factory.mktemp("clothes")
    compose = [sys.executable, str(ROOT / "examples/fashion_voc/compose.py"), str(folder)]
    subprocess.run([*compose, "--train", "48", "--test", "120"], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.lite
@pytest.mark.parametrize("weight_type", ["abs_max", "channel_wise_abs_max"])
def test_the_trained_detector_has_the_same_ap(weight_type: str, clothes: Path, tmp_path: Path) -> None:
    """The example's network with its weights, quantized on training pictures, on pictures of its test set."""
    config = load_config(ROOT / "configs/yolov3_mobilenet_v1_fashion_voc.yml", ())
    task = build_task(config, clothes)
    weights = ROOT / "configs/weights/yolov3_mobilenet_v1_x0_25_fashion_voc.npz"
    model = float_model(task.network(), load_weights(weights), weights)
    model = PassManager.parse(f"transform{{weight_type={weight_type},activation_type=abs_max}}").run(model)
    for name, scale in fresh_weight_scales(model.graph).items():
        model.weights[name] = scale
    frozen = calibrated(PassManager.parse("freeze,prune").run(model), task.calibration_batches(48))

    export(frozen, tmp_path / "a.nb", arch="x86")

    (case,) = cases_of("lite", tmp_path / "a.nb", tmp_path / "scratch")
    ap, lite_ap = evaluate(frozen, task)["box_ap"], evaluate_in(case, task)["box_ap"]
    assert ap > 0.4
    assert lite_ap == pytest.approx(ap, abs=0.001)


@pytest.mark.lite
def test_eval_of_a_file_that_cannot_be_run(classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = classifier / "tiny.yml"
    (classifier / "text.nb").write_text("nothing of the kind")
    assert "text.nb is not a Paddle Lite naive buffer" in refusal(
        capsys, "eval", classifier / "text.nb", "-c", config
    )
    assert "cannot be read" in refusal(capsys, "eval", classifier / "none.nb", "-c", config)
