"""--calibrate: what it measures, what it shows meanwhile, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nets
import numpy as np
import pytest
from PIL import Image

import qcc
from qcc.calibrate.data.batches import Batches
from qcc.cli import calibration
from qcc.cli.main import run
from qcc.quantization import scheme, state

TRANSFORM = "transform{weight_type=channel_wise_abs_max,activation_type=moving_average_abs_max}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """float/, untrained/ (transformed), frozen/ (with fixed scales), and data/ of 3 batches."""
    folder = tmp_path_factory.mktemp("calibration")
    model = nets.build(nets.residual_net)["test"]
    qcc.save(model, folder / "float", check=False)
    untrained = qcc.PassManager.parse(TRANSFORM).run(model)
    qcc.save(untrained, folder / "untrained", check=False)
    for name in untrained.weights:
        if name.endswith("@scale"):
            untrained.weights[name] = untrained.weights[name] * 0 + 2
    qcc.save(qcc.PassManager.parse("freeze").run(untrained), folder / "frozen", check=False)
    (folder / "data").mkdir()
    for seed in range(3):
        image = np.random.default_rng(seed).standard_normal((1, 3, 12, 12))
        np.save(folder / "data" / f"{seed}.npy", image.astype(np.float32))
    return folder


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run([str(word) for word in arguments]) == 0
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run([str(word) for word in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_freeze_of_what_was_never_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze = ("freeze", folder / "untrained", "--save", tmp_path / "forms")
    assert "measure its scales with `qcc freeze --calibrate`" in refusal(capsys, *freeze)
    assert not (tmp_path / "forms").exists()
    text = said(capsys, *freeze, "--calibrate", folder / "data")
    assert text.splitlines() == [
        f"calibrated 3 activation scales on 3 batches of {folder / 'data'}.",
        f"saved the frozen form in {tmp_path / 'forms/float'}.",
        f"saved the int8 form in {tmp_path / 'forms/int8'}.",
        f"saved the qdq form in {tmp_path / 'forms/qdq'}.",
        f"{tmp_path / 'forms/report.html'} has what was quantized, and what stays float.",
    ]
    frozen = qcc.load(tmp_path / "forms/float", model_filename="model", params_filename="weights")
    assert scheme(frozen.graph)["activation_type"] == ["moving_average_abs_max"]
    largest = max(float(np.abs(np.load(file)).max()) for file in (folder / "data").iterdir())
    assert frozen.weights["image@scale"] == np.float32(largest)
    assert any(f'"image={largest!r}"' in text for text in frozen.provenance.pipelines)


def test_what_is_zero_on_all_of_the_data_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "black.npy", np.zeros((1, 3, 12, 12), np.float32))
    freeze = ("freeze", folder / "untrained", "--save", tmp_path / "forms")
    text = said(capsys, *freeze, "--calibrate", tmp_path / "black.npy")
    assert "notice: 'image' is zero on all of the data, the first of 3 that are: whatever else it is" in text


def test_images_are_prepared_as_stands_beside_the_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `apply` takes along is found; what --preprocess says counts instead."""
    source, photos = tmp_path / "source", tmp_path / "photos"
    shutil.copytree(folder / "float", source)
    photos.mkdir()
    for name, value in (("a.png", 51), ("b.png", 102)):
        Image.fromarray(np.full((20, 30, 3), value, np.uint8)).save(photos / name)
    steps = "Preprocess: [{type: Resize, target_size: [12, 12], keep_ratio: false}, {type: Permute}]\n"
    (source / "infer_cfg.yml").write_text(steps)
    transform = "transform{activation_type=abs_max}"
    said(capsys, "apply", source, "-p", transform, "-o", tmp_path / "transformed")
    freeze = ("freeze", tmp_path / "transformed", "--calibrate", photos, "--save", tmp_path / "forms")
    assert "calibrated 3 activation scales on 2 batches" in said(capsys, *freeze)
    assert qcc.load(tmp_path / "forms/float").weights["image@scale"] == 102
    own = tmp_path / "own.yml"
    own.write_text("steps: [{type: Resize, size: [12, 12]}]\n")
    said(capsys, *freeze, "--preprocess", own)
    assert qcc.load(tmp_path / "forms/float").weights["image@scale"] == pytest.approx(0.4)


def test_how_images_are_prepared_is_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(tmp_path / "a.png")
    own = tmp_path / "own.yml"
    own.write_text("steps: []\n")
    freeze = ("freeze", folder / "untrained", "--save", tmp_path / "forms")
    assert "say" in (text := refusal(capsys, *freeze, "--calibrate", tmp_path))
    assert "give --preprocess FILE.yml" in text
    assert "there is no --calibrate" in refusal(capsys, *freeze, "--preprocess", own)
    arrays = ("--calibrate", folder / "data", "--preprocess", own)
    assert "--preprocess says how images are prepared" in refusal(capsys, *freeze, *arrays)


@pytest.mark.parametrize("command", ["export", "freeze"])
def test_float_model_has_nothing_to_calibrate(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    output = ("-o", tmp_path / "a.nb") if command == "export" else ("--save", tmp_path / "forms")
    text = refusal(capsys, command, folder / "float", "--calibrate", folder / "data", *output)
    assert "float" in text
    assert "qcc quantize" in text
    assert not list(tmp_path.iterdir())


def test_float_model_is_told_what_to_do(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that the error names leads to a model that can be exported."""
    data, out = folder / "data", tmp_path / "out"
    text = refusal(capsys, "export", folder / "float", "--calibrate", data, "-o", tmp_path / "a.nb")
    assert "`qcc quantize MODEL --data PHOTOS -o OUT`" in text
    said(capsys, "quantize", folder / "float", "--data", data, "-o", out, "--no-check")
    said(capsys, "export", out / "float", "-o", tmp_path / "a.nb", "--no-check")
    assert json.loads((tmp_path / "a.nb.json").read_text())["state"] == "frozen"


def test_fixed_scales_are_not_calibrated_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = refusal(capsys, "export", folder / "frozen", "--calibrate", "nowhere", "-o", tmp_path / "a.nb")
    assert "the model is frozen and its activation scales are fixed" in text
    assert "leave out --calibrate" in text
    assert not list(tmp_path.iterdir())


def test_a_frozen_model_is_written_for_a_target_and_run_on_the_data(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("freeze", folder / "frozen", "--target", "paddle-x86", "--calibrate", folder / "data")
    text = said(capsys, *words, "--save", tmp_path / "forms")
    assert f"there are no scales to measure; what is written is run on {folder / 'data'}." in text
    assert (tmp_path / "forms/qdq/model.pdmodel").exists()
    # Without a check nothing would be done with the data.
    text = refusal(capsys, *words, "--save", tmp_path / "more", "--no-check")
    assert "leave out --calibrate" in text


@pytest.mark.parametrize(
    ("command", "model", "words"),
    [
        ("export", "untrained", "the model is transformed, and what can be exported is"),
        ("freeze", "frozen", "the model is frozen and its activation scales are fixed"),
    ],
)
def test_models_in_the_wrong_form_are_refused_before_the_data_is_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, model: str, words: str
) -> None:
    output = ("-o", tmp_path / "a.nb") if command == "export" else ("--save", tmp_path / "forms")
    assert words in refusal(capsys, command, folder / model, "--calibrate", "nowhere", *output)


BATCHES = Batches([1, 2, 3], lambda number: {"x": np.full(1, number)})


def test_batches_are_told_of_when_they_are_used() -> None:
    told: list[int] = []
    used = [(int(batch["x"][0]), list(told)) for batch in calibration.used(BATCHES, told.append)]
    assert used == [(1, []), (2, [1]), (3, [1, 2])]
    assert told == [1, 2, 3]


def test_states(folder: Path) -> None:
    assert [state(qcc.load(folder / name).graph) for name in ("float", "untrained", "frozen")] == [
        "float",
        "transformed",
        "frozen",
    ]
