"""The losses that a teacher adds, and training with them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from tiny import distilling_slim, write_config

import qcc
from qcc._paddle import core, paddle
from qcc.errors import CheckpointError, ConfigError
from qcc.interrupts import StopRequest
from qcc.train.config import load_config, load_slim
from qcc.train.config.strategies import (
    Distiller,
    FSPDistiller,
    L2Distiller,
    SoftLabelDistiller,
)
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.models.classifier import build_classifier
from qcc.train.models.network import Network
from qcc.train.programs.distillation import add_distillation, teacher_values
from qcc.train.programs.feature_maps import shapes_of
from qcc.train.programs.scope import Arrays, persistable_names, read_scope, write_scope
from qcc.train.programs.weights import initialise, save_arrays
from qcc.train.quantize import QuantizationPhase, QuantizeResult, quantize
from qcc.train.tasks.classifier import ClassifierTask

FEEDS = {
    "image": np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32),
    "label": np.array([[1], [2]]),
}


def network() -> Network:
    """Two feature maps, `one` and `two`, and logits, `fc_0.tmp_1`."""

    def logits(image: Any) -> Any:
        one = paddle.static.nn.conv2d(image, 2, 3, padding=1, name="one")
        two = paddle.static.nn.batch_norm(paddle.static.nn.conv2d(one, 3, 3, padding=1, name="two"))
        return paddle.static.nn.fc(two, 5)

    return build_classifier(logits, (1, 4, 4))


def weights_of(net: Network, seed: int) -> Arrays:
    scope = paddle.static.Scope()
    initialise(net, scope, seed)
    return read_scope(scope, persistable_names(net.test))


def run(program: Any, weights: Arrays, names: list[str]) -> list[NDArray[np.float32]]:
    scope = paddle.static.Scope()
    write_scope(scope, weights)
    feeds = {name: FEEDS[name] for name in FEEDS if program.global_block().has_var(name)}
    return paddle.static.Executor(core.CPUPlace()).run(program, feed=feeds, fetch_list=names, scope=scope)


def distance(distiller: Distiller) -> tuple[list[NDArray[Any]], list[NDArray[Any]], float, float]:
    """The maps of the student and the teacher, the distiller's loss, and what it adds to the network's."""
    net, other = network(), network()
    own, foreign = weights_of(net, 1), weights_of(other, 2)
    maps = ["one.tmp_1", "two.tmp_1", "fc_0.tmp_1"]
    own_maps = run(net.train, own, maps)
    foreign_maps = run(other.test, foreign, maps)
    both, part = add_distillation(net, other.test, [distiller])
    values = own | teacher_values(both.train, foreign)
    plain, total, added = run(both.train, values, [net.loss, both.loss, part])
    return own_maps, foreign_maps, float(added), float(total) - float(plain)


def test_l2() -> None:
    options = {"student_feature_map": "two.tmp_1", "teacher_feature_map": "two.tmp_1"}
    distiller = L2Distiller.model_validate({"class": "L2Distiller", **options, "distillation_loss_weight": 3})
    own, foreign, loss, added = distance(distiller)
    assert loss == pytest.approx(3 * np.mean((own[1] - foreign[1]) ** 2), rel=1e-5)
    assert added == pytest.approx(loss, rel=1e-4)


def test_soft_labels() -> None:
    options = {"student_feature_map": "fc_0.tmp_1", "teacher_feature_map": "fc_0.tmp_1"}
    temperatures = {"student_temperature": 2, "teacher_temperature": 4}
    distiller = SoftLabelDistiller.model_validate({"class": "SoftLabelDistiller", **options, **temperatures})
    own, foreign, loss, _ = distance(distiller)

    def log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    expected = -np.mean(np.sum(np.exp(log_softmax(foreign[2] / 4)) * log_softmax(own[2] / 2), axis=1))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_flow_matrices() -> None:
    pairs = [["one.tmp_1", "two.tmp_1"]]
    distiller = FSPDistiller.model_validate(
        {"class": "FSPDistiller", "student_pairs": pairs, "teacher_pairs": pairs}
    )
    own, foreign, loss, _ = distance(distiller)
    flows = [np.einsum("nihw,njhw->nij", maps[0], maps[1]) / 16 for maps in (own, foreign)]
    assert loss == pytest.approx(np.mean((flows[0] - flows[1]) ** 2), rel=1e-5)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ("three", "one.tmp_1", r"student_feature_map: the student's program has no variable 'three'\."),
        ("one.tmp_1", "three", r"teacher_feature_map: the teacher's program has no variable 'three'\."),
        (
            "one.tmp_1",
            "two.tmp_1",
            r"has shape \[-1, 2, 4, 4\], but the teacher's 'two\.tmp_1' has shape \[-1, 3",
        ),
    ],
)
def test_maps_that_are_not_there(student: str, teacher: str, message: str) -> None:
    options = {"student_feature_map": student, "teacher_feature_map": teacher}
    with pytest.raises(ConfigError, match=message):
        distance(L2Distiller.model_validate({"class": "L2Distiller", **options}))


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ("label", "fc_0.tmp_1", r"student_feature_map: 'label' is no feature map: it must be float32"),
        ("fc_0.tmp_1", "image", r"teacher_feature_map: 'image' is no feature map"),
        (
            "one.tmp_1",
            "one.tmp_1",
            r"student_feature_map: 'one\.tmp_1' has shape \[-1, 2, 4, 4\], but must be",
        ),
        ("fc_0.tmp_1", "two.tmp_1", r"'fc_0\.tmp_1' has shape \[-1, 5\], but the teacher's 'two"),
    ],
)
def test_maps_that_are_no_logits(student: str, teacher: str, message: str) -> None:
    options = {"student_feature_map": student, "teacher_feature_map": teacher}
    with pytest.raises(ConfigError, match=message):
        distance(SoftLabelDistiller.model_validate({"class": "SoftLabelDistiller", **options}))


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (
            ("one.tmp_1", "three"),
            ("one.tmp_1", "two.tmp_1"),
            r"student_pairs\[0\]\[1\]: the student's program has no",
        ),
        (
            ("one.tmp_1", "fc_0.tmp_1"),
            ("one.tmp_1", "two.tmp_1"),
            r"student_pairs\[0\]\[0\]: .* with one height and",
        ),
        (("fc_0.tmp_1", "fc_0.tmp_1"), ("one.tmp_1", "two.tmp_1"), r"a pair must be \[N, C, H, W\]"),
        (("one.tmp_1", "one.tmp_1"), ("one.tmp_1", "two.tmp_1"), r"have \[2, 2\] channels, but .* \[2, 3\]"),
    ],
)
def test_pairs_without_a_flow(student: tuple[str, str], teacher: tuple[str, str], message: str) -> None:
    pairs = {"student_pairs": [student], "teacher_pairs": [teacher]}
    with pytest.raises(ConfigError, match=message):
        distance(FSPDistiller.model_validate({"class": "FSPDistiller", **pairs}))


def test_shapes_where_images_have_any_size() -> None:
    def logits(image: Any) -> Any:
        coarse = paddle.static.nn.conv2d(image, 2, 3, stride=2, padding=1, name="coarse")
        return paddle.static.nn.fc(paddle.mean(coarse, axis=[2, 3]), 5)

    shapes = shapes_of(build_classifier(logits, (1, -1, -1)).train)
    assert shapes["coarse.tmp_1"] == (-1, 2, 48, 48)


# ---------------------------------------------------------------------- in a run


def train(config_path: Path, slim: Path) -> QuantizeResult:
    config = load_config(config_path)
    task, console = ClassifierTask(config), Console(file=io.StringIO())
    return quantize(task, config, load_slim(slim), console, StopRequest())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """A run in run/."""
    folder = tmp_path_factory.mktemp("distillation")
    train(write_config(folder, tiny_images), distilling_slim(folder / "run"))
    return folder


def state(root: Path, epoch: int | None = None) -> TrainingState:
    store = CheckpointStore(root)
    return TrainingState.read(store.epoch(store.epochs()[-1] if epoch is None else epoch))


def test_the_teachers_part_of_the_loss_is_told(folder: Path) -> None:
    records = state(folder / "run").history
    assert ["train_distillation" in record for record in records] == [True, True, False]
    # The student starts as the teacher, and then the batch norms and the training draw them apart.
    assert 0 < records[0]["train_distillation"] < records[0]["train_loss"]


def test_the_teacher_is_in_no_checkpoint_and_no_model(folder: Path) -> None:
    for epoch in range(3):
        assert not any("teacher_" in name for name in state(folder / "run", epoch).arrays)
        model = qcc.load(folder / "run" / str(epoch) / "eval_model")
        assert not any("teacher_" in var.name for var in model.graph.vars)


def test_the_teacher_stays_float_and_as_it_was(folder: Path) -> None:
    config, slim = load_config(folder / "tiny.yml"), load_slim(distilling_slim(folder / "other"))
    task = ClassifierTask(config)
    first = weights_of(task.network(), 7)
    phase = QuantizationPhase(task, config, slim, lambda: (first, Path("made-up")), Console())
    phase.start(None)
    stepper = phase.begin_epoch(1)
    ops = stepper.program.global_block().ops
    teachers = [op for op in ops if any(name.startswith("teacher_") for name in op.output_arg_names)]
    assert {"conv2d", "batch_norm", "mul"} <= {op.type for op in teachers}
    assert not any(op.type.endswith("_grad") or op.type.startswith("fake_") for op in teachers)
    assert all(op.attr("is_test") for op in teachers if op.type == "batch_norm")
    names = [name for op in teachers for name in op.input_arg_names]
    assert not any("quantized" in name for name in names)
    stepper.step(next(task.train_batches(0, 0)), 0)
    stepper.step(next(task.train_batches(0, 1)), 1)
    kept = read_scope(stepper.scope, ["teacher_conv1_weights", "teacher_conv1_bn_mean", "conv1_weights"])
    np.testing.assert_array_equal(kept["teacher_conv1_weights"], first["conv1_weights"])
    np.testing.assert_array_equal(kept["teacher_conv1_bn_mean"], first["conv1_bn_mean"])
    assert not np.array_equal(kept["conv1_weights"], first["conv1_weights"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Momentum", "Adam"])
def test_an_optimizer_while_there_is_a_teacher(folder: Path, tmp_path: Path, kind: str) -> None:
    """It has its own learning rate, and starts anew; so does the other one after it."""
    own = f"{{LearningRate: {{base_lr: 0.002}}, OptimizerBuilder: {{optimizer: {{type: {kind}}}}}}}"
    config = load_config(folder / "tiny.yml", [f"DistillerOptimizer={own}"])
    slim = distilling_slim(tmp_path / "run", ", start_epoch: 1")
    slim.write_text(slim.read_text().replace("compressor:\n  epoch: 3", "compressor:\n  epoch: 4"))
    task = ClassifierTask(config)
    first = weights_of(task.network(), 7)
    phase = QuantizationPhase(task, config, load_slim(slim), lambda: (first, Path("made-up")), Console())
    phase.start(None)
    batch = next(task.train_batches(0, 0))
    rates, anew, kinds, teachers = [], [], [], []
    for epoch in range(4):
        stepper = phase.begin_epoch(epoch)
        state = stepper.state()
        moments = [name for name in state if name.endswith(("velocity_0", "moment1_0"))]
        anew.append(all(not state[name].any() for name in moments))
        kinds.append({op.type for op in stepper.program.global_block().ops} & {"momentum", "adam"})
        teachers.append(any(name.startswith("teacher_") for name in stepper.program.global_block().vars))
        rates.append(stepper.rate(0))
        stepper.step(batch, epoch)
    assert teachers == [False, True, False, False]
    assert rates == [0.01, 0.002, 0.01, 0.01]
    assert kinds == [{"momentum"}, {kind.lower()}, {"momentum"}, {"momentum"}]
    assert anew == [True, True, True, False]


def test_later_epochs_are_checked_before_the_first(folder: Path, tmp_path: Path) -> None:
    slim = distilling_slim(tmp_path / "run", ", start_epoch: 1")
    slim.write_text(
        slim.read_text().replace("teacher_feature_map: fc_0.tmp_1", "teacher_feature_map: absent")
    )
    with pytest.raises(ConfigError) as error:
        train(folder / "tiny.yml", slim)
    assert str(error.value) == (
        f"{slim}, line 2: distillers.l2.teacher_feature_map: the teacher's program has no variable 'absent'."
    )
    assert CheckpointStore(tmp_path / "run").epochs() == []


@pytest.fixture
def no_float_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def spent(*_: Any) -> None:
        raise AssertionError("the float network is trained")

    monkeypatch.setattr("qcc.train.quantize.train_float", spent)


@pytest.fixture(scope="module")
def wide(folder: Path) -> dict[str, Path]:
    """A wider network than that of the run: its configuration and its weights."""
    config, weights = folder / "wide.yml", folder / "wide.npz"
    config.write_text((folder / "tiny.yml").read_text().replace("scale: 0.07", "scale: 0.1"))
    save_arrays(weights, weights_of(ClassifierTask(load_config(config)).network(), 5))
    return {"config": config, "weights": weights}


@pytest.mark.parametrize("teacher", ["", ", teacher_config: {config}, teacher_weights: {weights}"])
@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (("absent", "fc_0.tmp_1"), "student_feature_map: the student's program has no variable 'absent'."),
        (("fc_0.tmp_1", "absent"), "teacher_feature_map: the teacher's program has no variable 'absent'."),
        (
            ("conv2d_0.tmp_0", "fc_0.tmp_1"),
            "student_feature_map: 'conv2d_0.tmp_0' has shape [-1, 2, 14, 14], but the teacher's 'fc_0.tmp_1'"
            " has shape [-1, 10].",
        ),
    ],
)
@pytest.mark.usefixtures("no_float_training")
def test_slips_are_found_before_float_training(
    folder: Path, tmp_path: Path, wide: dict[str, Path], maps: tuple[str, str], message: str, teacher: str
) -> None:
    slim = distilling_slim(tmp_path / "run", teacher.format(**wide))
    text = slim.read_text().replace("student_feature_map: fc_0.tmp_1", f"student_feature_map: {maps[0]}")
    slim.write_text(text.replace("teacher_feature_map: fc_0.tmp_1", f"teacher_feature_map: {maps[1]}"))
    with pytest.raises(ConfigError) as error:
        train(folder / "tiny.yml", slim)
    assert str(error.value) == f"{slim}, line 2: distillers.l2.{message}"


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (
            ", teacher_config: {config}",
            r"run\.yaml, line 4: strategies\.d\.teacher_config: .* no weights",
        ),
        (", teacher_config: absent.yml", r"absent\.yml does not exist"),
        (", teacher_weights: absent.npz", r"absent\.npz does not exist"),
        (", teacher_weights: {weights}", r"wide\.npz: .* has shape .* another width"),
    ],
)
@pytest.mark.usefixtures("no_float_training")
def test_teachers_without_weights_are_found_before_float_training(
    folder: Path, tmp_path: Path, wide: dict[str, Path], teacher: str, message: str
) -> None:
    with pytest.raises((ConfigError, CheckpointError), match=message):
        train(folder / "tiny.yml", distilling_slim(tmp_path / "run", teacher.format(**wide)))


@pytest.mark.slow
def test_a_teacher_of_its_own(folder: Path, tmp_path: Path, wide: dict[str, Path]) -> None:
    """A wider network as the teacher, whose logits the student's are to be like."""
    keys = ", teacher_config: {config}, teacher_weights: {weights}".format(**wide)
    result = train(folder / "tiny.yml", distilling_slim(tmp_path / "two", keys))
    assert result.records[0]["train_distillation"] > 0
