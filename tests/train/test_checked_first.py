"""What is wrong with the files that a command is given is told before any data is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
from quantized_net import quantized_net
from tiny import distilling_slim, write_config, write_slim
from tiny_detector import write_detector_config

import qcc
from qcc._paddle import paddle
from qcc.cli.main import run
from qcc.model import Model
from qcc.train.config import default_slim, load_config
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.programs.weights import initialise, save_arrays
from qcc.train.quantize import check_start
from qcc.train.tasks import classifier, detector
from qcc.train.tasks.classifier import ClassifierTask
from qcc.train.tasks.detector import DetectorTask


def untrained(task: Any) -> Model:
    network, scope = task.network(), paddle.static.Scope()
    initialise(network, scope, 0)
    return qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """tiny.yml; its network, untrained, in float/, frozen/ and five/ (for five classes), wide.npz; and
    detector.yml, with a network for three classes in three/."""
    folder = tmp_path_factory.mktemp("given")
    config = write_config(folder, tiny_images)
    model = untrained(ClassifierTask(load_config(config)))
    qcc.save(model, folder / "float", check=False)
    frozen = qcc.PassManager.parse("transform{activation_type=abs_max},freeze").run(model)
    qcc.save(frozen, folder / "frozen", check=False)
    wide = untrained(ClassifierTask(load_config(config, ["MobileNetV1.scale=0.1"])))
    save_arrays(folder / "wide.npz", wide.weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "NUM_CLASSES", 5)
        five = untrained(ClassifierTask(load_config(config, ["num_classes=5"])))
    qcc.save(five, folder / "five", check=False)
    three = untrained(DetectorTask(load_config(write_detector_config(folder), ["num_classes=3"])))
    qcc.save(three, folder / "three", check=False)
    return folder


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> NoReturn:
        raise AssertionError("data was read")

    monkeypatch.setattr(classifier, "read_fashion_mnist", read)
    monkeypatch.setattr(detector, "read_voc", read)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "quantize -o pretrain_weights=absent.npz",
            "option -o pretrain_weights=absent.npz: pretrain_weights: absent.npz does not exist.",
        ),
        ("quantize -o pretrain_weights=absent/folder", "pretrain_weights: absent/folder does not exist."),
        (
            "quantize -o pretrain_weights=http://a/b",
            "come from the web address http://a/b, and qcc fetches none",
        ),
        ("quantize -o pretrain_weights={}/wide.npz", "where the network has ["),
        (
            "quantize -o pretrain_weights={}/five",
            "5] where the network has [",
        ),
        ("quantize -o pretrain_weights={}/frozen", "is in the form frozen, whose weights are integers"),
        (
            "quantize -o FloatTraining=null",
            "pretrain_weights: neither pretrain_weights nor FloatTraining is given",
        ),
        (
            "quantize -o FloatTraining.backbone_weights=absent.npz",
            "FloatTraining.backbone_weights: absent.npz does not exist.",
        ),
        (
            "train --save {}/out.npz -o FloatTraining.backbone_weights=absent",
            "option -o FloatTraining.backbone_weights=absent: FloatTraining.backbone_weights: absent",
        ),
        (
            "train --save {}/out.npz -o FloatTraining=null",
            "option -o FloatTraining=null: FloatTraining is missing",
        ),
        ("eval {}/five", "tiny.yml, line 2: num_classes is 10, but the model has 5 classes."),
        ("eval {}/three", "the model is fed by 'im_size', but the data set gives ['image']"),
        ("freeze {}/float", "the model is float, so there is nothing to freeze"),
    ],
)
def test_a_classifier(folder: Path, words: str, message: str, capfd: Any) -> None:
    assert run([*words.format(folder, folder).split(), "-c", str(folder / "tiny.yml")]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("eval {}/three", "detector.yml, line 4: num_classes is 2, but the model has 3 classes."),
        ("eval {}/float", "is [-1, 10], and detections are [M, 6]: it is no detector."),
        ("infer {}/three --infer_img absent.png", "num_classes is 2, but the model has 3 classes."),
    ],
)
def test_a_detector(folder: Path, words: str, message: str, capfd: Any) -> None:
    assert run([*words.format(folder).split(), "-c", str(folder / "detector.yml")]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize(("key", "line"), [("init_model", 6), ("teacher_weights", 4), ("teacher_config", 4)])
def test_files_of_the_slim_file_are_named_with_their_line(
    folder: Path, tmp_path: Path, key: str, line: int, capfd: Any
) -> None:
    if key == "init_model":
        slim = write_slim(tmp_path / "run", 1)
        slim.write_text(slim.read_text().replace("compressor:\n", "compressor:\n\n  init_model: absent\n"))
        where = "compressor"
    else:
        slim = distilling_slim(tmp_path / "run", f", {key}: absent")
        where = "strategies.d"
    assert run(["quantize", "-c", str(folder / "tiny.yml"), "-s", str(slim)]) == 2
    error = capfd.readouterr().err
    assert error == f"qcc: error: {slim}, line {line}: {where}.{key}: absent does not exist.\n"


def test_what_a_run_that_goes_on_does_not_need_may_be_missing(folder: Path, tmp_path: Path) -> None:
    config = load_config(folder / "tiny.yml", [f"save_dir={tmp_path}", "pretrain_weights=absent.npz"])
    (tmp_path / "checkpoints").mkdir()
    CheckpointStore(tmp_path / "checkpoints").write("0", lambda folder: None)
    check_start(ClassifierTask(config), config, default_slim(1))


def test_a_form_that_is_written_for_openvino_is_not_frozen(tmp_path: Path, capfd: Any) -> None:
    """Its activations that are never negative are 9 bits here, of which no engine makes int8."""
    qcc.save(quantized_net().frozen, tmp_path / "form", target="openvino", check=False)
    assert run(["freeze", "-m", str(tmp_path / "form"), "--save", str(tmp_path / "out")]) == 2
    assert "a form that is written for OpenVINO" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
