"""The whole way of a detector on the command line, at a tiny size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from full_disk import SENTENCE, run_on_full_disk
from tiny import write_slim
from tiny_detector import write_detector_config

import qcc
from qcc.backends.engines.onnxruntime import onnxruntime_missing
from qcc.backends.lite.file import read_naive_buffer
from qcc.cli.main import run
from qcc.train.config import load_config
from qcc.train.programs.weights import float_model, load_weights
from qcc.train.tasks.build import build_task

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float epoch and two quantized ones, with the original's names of feeds and fetches."""
    folder = tmp_path_factory.mktemp("detector")
    slim = write_slim(
        folder / "run",
        2,
        end_epoch=1,
        weight_quantize_type="channel_wise_abs_max",
        activation_quantize_type="moving_average_abs_max",
        float_model_save_path=folder / "float",
        int8_model_save_path=folder / "int8",
        mobile_model_save_path=folder / "mobile",
        save_in_nodes="[image, im_size]",
        save_out_nodes="[multiclass_nms_0.tmp_0]",
    )
    config = write_detector_config(folder)
    assert run(["quantize", "-c", str(config), "-s", str(slim), "max_iters=3"]) == 0
    return folder


def test_every_epoch_is_evaluated(folder: Path) -> None:
    for epoch in (0, 1):
        metrics = json.loads((folder / "run" / str(epoch) / "metrics.json").read_text())
        assert metrics["quantized"]
        assert 0 <= metrics["box_ap"] <= 1


@pytest.mark.parametrize("form", ["float", "int8"])
def test_saved_forms_have_the_originals_feeds_and_fetches(folder: Path, form: str) -> None:
    model = qcc.load(str(folder / form))

    assert model.feeds == ("image", "im_size")
    assert model.fetches == ("multiclass_nms_0.tmp_0",)


def test_the_mobile_form_is_a_file_for_paddle_lite(folder: Path) -> None:
    file = read_naive_buffer(folder / "mobile" / "model.nb")
    assert {"yolo_box", "multiclass_nms3"} <= {op.type for op in file.ops}


def test_all_forms_have_the_same_ap(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(folder / "detector.yml")
    printed: list[Any] = []
    for model in (folder / "run/1/eval_model", folder / "float", folder / "int8"):
        capsys.readouterr()
        assert run(["eval", str(model), "-c", config]) == 0
        printed.append(capsys.readouterr().out)

    assert len(set(printed)) == 1
    assert printed[0].startswith("box_ap ")


@pytest.mark.lite
def test_files_for_paddle_lite_have_the_same_ap(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = str(folder / "detector.yml"), str(folder / "a.nb")
    assert run(["export", str(folder / "int8"), "--arch", "x86", "-o", out]) == 0
    printed = []
    for model in (str(folder / "int8"), out):
        capsys.readouterr()
        assert run(["eval", model, "-c", config]) == 0
        printed.append(capsys.readouterr().out)

    assert printed[0] == printed[1]

    # Export has said that the file is for square images, since the network's sizes are open.
    assert run(["eval", out, "-c", config, "-o", "YoloEvalFeed.image_shape=[3,64,96]"]) == 2
    assert "images of 64 x 96 get boxes in the wrong place" in capsys.readouterr().err


def test_infer_writes_pictures_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "seen"
    arguments = ["infer", str(folder / "float"), "-c", str(folder / "detector.yml"), "--output_dir", str(out)]

    assert run([*arguments, "--infer_dir", str(folder / "data/JPEGImages"), "--draw_threshold", "0"]) == 0

    assert "ms per image (median of 100 runs" in capsys.readouterr().out
    record = json.loads((out / "test_0.json").read_text())
    assert (record["width"], record["height"]) == (64, 64)
    assert len(list(out.glob("*.png"))) == 20
    scores = [found["score"] for found in record["objects"]]
    assert np.isfinite(scores).all()


@pytest.mark.skipif(onnxruntime_missing() is not None, reason=str(onnxruntime_missing()))
def test_engines_find_and_rate_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the float network in ONNX Runtime, since what is rounded may be on either side of a tie."""
    given, weights = ["-c", str(folder / "detector.yml")], folder / "weights.npz"
    assert run(["train", *given, "--save", str(weights)]) == 0
    network = build_task(load_config(folder / "detector.yml", ())).network()
    qcc.save(float_model(network, load_weights(weights), weights), folder / "trained", check=False)
    seen: list[Any] = []
    rated: list[str] = []
    for engine in ([], ["--engine", "onnxruntime"], ["--engine", "paddle"]):
        out = folder / f"seen by {''.join(engine[1:])}"
        looked = ["--infer_img", str(folder / "data/JPEGImages/test_0.jpg"), "--draw_threshold", "0"]
        words = [str(folder / "trained"), *given, *engine]
        assert run(["infer", *words, *looked, "--output_dir", str(out)]) == 0
        seen.append(json.loads((out / "test_0.json").read_text())["objects"])
        capsys.readouterr()
        assert run(["eval", *words]) == 0
        rated.append(capsys.readouterr().out.splitlines()[-1])
    assert len(set(rated)) == 1
    for objects in seen[1:]:
        assert [one["class_name"] for one in objects] == [one["class_name"] for one in seen[0]]
        scores = [[one["score"] for one in found] for found in (objects, seen[0])]
        np.testing.assert_allclose(*scores, rtol=1e-3)


def test_infer_does_not_draw_over_what_it_reads(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "seen.png"
    image.write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    before = image.read_bytes()
    words = ["infer", str(folder / "float"), "-c", str(folder / "detector.yml"), "--infer_img", str(image)]

    assert run([*words, "--output_dir", str(tmp_path)]) == 2

    assert (
        "seen.png would be overwritten by its drawing: give another --output_dir." in capsys.readouterr().err
    )
    assert image.read_bytes() == before

    # Nor among the images of a folder, where the next run would look at its drawings.
    words = [*words[:4], "--infer_dir", str(tmp_path), "--output_dir", f"{tmp_path}/."]
    assert run(words) == 2
    assert "is the folder of the images: give another one" in capsys.readouterr().err


def test_a_test_set_without_images_is_told_before_training(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(folder / "data", data)
    (data / "test.txt").write_text("")
    words = [
        "quantize",
        "-c",
        str(folder / "detector.yml"),
        "-d",
        str(data),
        "-o",
        f"save_dir={tmp_path}/out",
    ]

    assert run(words) == 2

    assert "test.txt gives no image" in capsys.readouterr().err
    assert not (tmp_path / "out/checkpoints/metrics.jsonl").exists()


def test_feeds_that_do_not_suffice(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slim = write_slim(tmp_path / "run", 1, save_in_nodes="[image]", save_out_nodes="[multiclass_nms_0.tmp_0]")

    assert run(["quantize", "-c", str(folder / "detector.yml"), "-s", str(slim)]) == 2

    assert (
        f"{slim}, line 4: strategies.q.save_in_nodes: multiclass_nms_0.tmp_0 cannot be computed without"
        " 'im_size'."
    ) in capsys.readouterr().err


def test_infer_on_a_full_disk(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = next((folder / "data/JPEGImages").iterdir())
    words = ["infer", str(folder / "float"), "-c", str(folder / "detector.yml"), "--infer_img", str(image)]
    assert run_on_full_disk([*words, "--output_dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == SENTENCE


def test_classifiers_find_no_boxes(tiny_config: Path) -> None:
    assert run(["infer", "model", "-c", str(tiny_config), "--infer_img", "x.jpg"]) == 2


def test_outputs_are_distilled(folder: Path, tmp_path: Path) -> None:
    """The student starts as the teacher, whose three outputs it is to keep."""
    slim = write_slim(tmp_path / "run", 1)
    outputs = [f"conv2d_{number}.tmp_1" for number in (20, 28, 36)]
    distillers = "".join(
        f"  d{number}: {{class: L2Distiller, student_feature_map: {name}, teacher_feature_map: {name}}}\n"
        for number, name in enumerate(outputs)
    )
    strategy = "  d: {class: DistillationStrategy, distillers: [d0, d1, d2], end_epoch: 1}\n"
    text = slim.read_text().replace("strategies:\n", f"strategies:\n{strategy}", 1).replace("[q]", "[d, q]")
    slim.write_text(f"distillers:\n{distillers}{text}")
    weights = f"pretrain_weights={folder / 'run' / '1' / 'eval_model'}"
    command = ["quantize", "-c", str(folder / "detector.yml"), "-s", str(slim), "max_iters=2", weights]
    assert run(command) == 0
    metrics = json.loads((tmp_path / "run" / "0" / "metrics.json").read_text())
    assert 0 < metrics["train_distillation"] < metrics["train_loss"]
