"""Training on data without labels: what it makes, goes on with, keeps and refuses."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import nets
import numpy as np
import pytest
from rich.console import Console
from saved_models import MAJOR

import qcc
import qcc.train
from qcc._paddle import paddle
from qcc.backends.onnx.form import unmeasured
from qcc.calibrate.choose import Quantized, choose
from qcc.calibrate.collect import Collector, numbered
from qcc.calibrate.data.batches import Batches
from qcc.calibrate.data.sources import array_source
from qcc.calibrate.plan import Plan, make_plan
from qcc.calibrate.report import Section
from qcc.cli.main import run
from qcc.cli.trained import forget, is_trained, training_data
from qcc.errors import CheckpointError, ConfigError, DataError, ModelFormatError
from qcc.interrupts import StopRequest
from qcc.model import Model
from qcc.passes.manager import PassManager
from qcc.passes.out_thresholds import thresholds
from qcc.passes.static_scales import StaticScales
from qcc.quantization import state
from qcc.targets.table import find_target
from qcc.train import unlabelled
from qcc.train.config.schedule import Schedule
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.loop.interrupt import Interrupted
from qcc.train.loop.stepper import Step, Stepper
from qcc.train.metrics.likeness import Likeness
from qcc.train.programs.imitation import Lesson, Student, training_program
from qcc.train.programs.learnable import learnable
from qcc.train.programs.programs import TrainingProgram
from qcc.train.programs.trainable import as_training_graph
from qcc.train.tasks.imitation import Samples
from qcc.train.tasks.task import Feeds
from qcc.train.unlabelled import Budget, Rates, TrainedResult, origin_of, train_unlabelled

SIZE, STEPS = 12, 60


def image(number: int) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(number).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)}


SAMPLES = Samples(Batches(range(400), image), ["400"])
RATES = Rates(peak=3e-4)


def calibrated(model: Model) -> tuple[Plan, Quantized]:
    plan = make_plan(model)
    statistics = plan.statistics()
    collector = Collector(plan.folded, statistics)
    for batch in numbered(map(image, range(8))):
        collector.run(batch, batch.read())
    return plan, choose(plan, statistics, "mse").freeze()


@pytest.fixture(scope="module")
def small() -> tuple[Plan, Quantized]:
    """A small network, calibrated."""
    return calibrated(nets.build(nets.residual_net)["test"])


def trained(
    made: tuple[Plan, Quantized],
    folder: Path,
    rates: Rates = RATES,
    stop: Callable[[int], bool] = lambda step: False,
    samples: Samples = SAMPLES,
) -> TrainedResult:
    asked = StopRequest()
    steps = 0

    def read(number: int) -> dict[str, np.ndarray]:
        nonlocal steps
        steps += 1
        asked.requested = asked.requested or stop(steps)
        return image(number)

    watched = replace(samples, batches=Batches(samples.batches.items, read))
    console = Console(file=io.StringIO())
    return train_unlabelled(*made, watched, folder, console, asked, Budget(STEPS), rates)


@pytest.fixture(scope="module")
def result(small: tuple[Plan, Quantized], tmp_path_factory: pytest.TempPathFactory) -> TrainedResult:
    return trained(small, tmp_path_factory.mktemp("whole"))


def test_the_student_comes_nearer_to_its_teacher(
    small: tuple[Plan, Quantized], result: TrainedResult
) -> None:
    assert result.best is not None
    assert result.best["snr"] > result.before["snr"] + 0.5
    assert (result.steps, result.batch_size, result.trained_on, result.held_back) == (STEPS, 16, 350, 50)
    plan, before = small
    assert state(result.model.graph) == "frozen"
    new = [image(number) for number in range(100, 116)]
    wanted = [plan.model.run(one)[0] for one in new]
    error = {
        name: np.square([model.run(one)[0] - other for one, other in zip(new, wanted, strict=True)]).sum()
        for name, model in (("calibrated", before.model), ("trained", result.model))
    }
    assert error["trained"] < error["calibrated"]
    assert [str(op) for op in result.model.graph.ops] == [str(op) for op in before.model.graph.ops]


def test_it_goes_on_where_it_was_interrupted(
    small: tuple[Plan, Quantized], result: TrainedResult, tmp_path: Path
) -> None:
    # In the middle of an epoch, of which each reads 6 x 16 samples, and 50 to compare.
    with pytest.raises(Interrupted):
        trained(small, tmp_path, stop=lambda read: read > 230)
    assert (tmp_path / "interrupted").exists()
    again = trained(small, tmp_path)
    assert [record["snr"] for record in again.records] == [record["snr"] for record in result.records]
    for name, value in result.model.weights.items():
        np.testing.assert_array_equal(again.model.weights[name], value)


def test_another_training_does_not_go_on_with_it(
    small: tuple[Plan, Quantized], result: TrainedResult, tmp_path: Path
) -> None:
    """The same architecture with other weights, data or rates: nothing would tell them apart later."""
    console = Console(file=io.StringIO())
    batches = [image(number) for number in range(16)]
    qcc.train.quantize_unlabelled(small[0].model, batches, tmp_path, steps=10, console=console)
    other = small[0].model.copy()
    name = min(small[0].weights)
    other.weights[name] = other.weights[name] * np.float32(1.5)
    with pytest.raises(CheckpointError, match=r"has the checkpoints of another training \(model: .* ->"):
        qcc.train.quantize_unlabelled(other, batches, tmp_path, steps=10, console=console)
    with pytest.raises(CheckpointError, match=r"\(samples: .*; scales: .*give another folder"):
        qcc.train.quantize_unlabelled(small[0].model, batches[1:], tmp_path, steps=10, console=console)
    with pytest.raises(CheckpointError, match=r"training \(budget\.steps: 10 -> 20\)"):
        qcc.train.quantize_unlabelled(small[0].model, batches, tmp_path, steps=20, console=console)
    same = qcc.train.quantize_unlabelled(small[0].model, batches, tmp_path, steps=10, console=console)
    assert "is finished" in console.file.getvalue()  # type: ignore[attr-defined]
    assert len(same.records) == 10


def test_ctrl_c_from_python_keeps_everything(
    small: tuple[Plan, Quantized], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Stepper.step

    def interrupted(self: Stepper, feeds: Feeds, number: int) -> Step:
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, feeds, number)

    monkeypatch.setattr(Stepper, "step", interrupted)
    folder = tmp_path / "run[/b]"  # which rich would take for an end of bold text
    batches, console = [image(number) for number in range(16)], Console(file=io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        qcc.train.quantize_unlabelled(small[0].model, batches, folder, steps=20, console=console)
    assert CheckpointStore(folder).started()
    monkeypatch.undo()
    again = qcc.train.quantize_unlabelled(small[0].model, batches, folder, steps=20, console=console)
    assert len(again.records) == 10
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "stopped after batch 1 of epoch 1" in said
    assert f"going on from {folder}: epoch 1 (2 of 10), batch 2 of 2" in said


def test_the_files_that_are_trained_on_tell_one_run_from_another(
    small: tuple[Plan, Quantized], tmp_path: Path
) -> None:
    for number in range(4):
        np.save(tmp_path / f"{number}.npy", image(number)["image"])

    def origin() -> dict[str, Any]:
        model = small[0].model
        drawn = training_data(model, lambda count: array_source(model, tmp_path, count), 4, False)
        return origin_of(*small, drawn, Budget(10))

    with click.Context(click.Command("quantize")):
        before = origin()
        assert origin() == before
        os.utime(tmp_path / "3.npy", (1, 1))
        assert {key for key, value in origin().items() if value != before[key]} == {"samples"}


@pytest.mark.skipif(MAJOR >= 3, reason="argmax takes no name in Paddle 3's programs of the old IR")
def test_names_in_notices_are_no_markup(tmp_path: Path) -> None:
    def net() -> tuple[list[str], paddle.static.Variable, paddle.static.Variable]:
        feeds, output, loss = nets.residual_net()
        return feeds, paddle.argmax(output, axis=-1, name="a[/b]\x1b"), loss

    made, out = calibrated(nets.build(net)["test"]), io.StringIO()
    console, samples = Console(file=out, soft_wrap=True), Samples(Batches(range(8), image), ["8"])
    train_unlabelled(*made, samples, tmp_path, console, StopRequest(), Budget(10))
    assert "a[/b]\\x1b" in out.getvalue()


@pytest.mark.parametrize("broken", ["none can be read", "not finite"])
def test_nothing_to_compare_on_is_told(small: tuple[Plan, Quantized], tmp_path: Path, broken: str) -> None:
    held = Samples(Batches(range(16), image), ["16"]).held_back

    def read(number: int) -> dict[str, np.ndarray]:
        if number not in held:
            return image(number)
        if broken == "none can be read":
            raise DataError(f"{number} is broken.")
        return {"image": np.full_like(image(number)["image"], 3e38)}

    samples = Samples(Batches(range(16), read), ["16"], skip_bad=True)
    wanted = "none of the 2 samples that are held back" if broken == "none can be read" else "are not finite"
    with pytest.raises(DataError, match=wanted):
        train_unlabelled(*small, samples, tmp_path, Console(file=io.StringIO()), StopRequest(), Budget(10))


def test_the_command_leaves_alone_what_another_process_trains_in(tmp_path: Path) -> None:
    root = tmp_path / ".training"
    busy, idle = CheckpointStore(root / "busy"), CheckpointStore(root / "idle")
    with idle.lock():
        pass
    with busy.lock():
        forget(tmp_path)
        assert [path.name for path in root.iterdir()] == ["busy"]
    forget(tmp_path)
    assert not root.exists()


def test_what_is_worse_than_calibration_is_not_kept(small: tuple[Plan, Quantized], tmp_path: Path) -> None:
    worse = trained(small, tmp_path, Rates(peak=1.0))
    assert worse.best is None
    assert worse.model is small[1].model
    assert worse.record()["kept"] == "calibrated"
    best = max(record["snr"] for record in worse.records)
    assert f"trained {best:.2f} dB" in worse.told()[1]
    assert worse.told()[-1] == "no epoch surely beats calibration alone, so the calibrated model is kept."


@pytest.mark.parametrize(("kept", "is_it"), [("calibrated", False), (0, True)])
def test_the_report_tells_what_was_trained_from_what_was_not(kept: str | int, is_it: bool) -> None:
    assert is_trained(Section("Training", [], "training", {"kept": kept})) == is_it
    assert not is_trained(Section("Budget", [], "budget", {}))


def test_ops_without_a_gradient_are_named_and_what_they_read_is_compared() -> None:
    def net() -> tuple[list[str], paddle.static.Variable, paddle.static.Variable]:
        feeds, output, loss = nets.residual_net()
        return feeds, paddle.argmax(output, axis=-1), loss

    plan, made = calibrated(nets.build(net)["test"])
    lesson = Student(plan.folded, transformed((plan, made))).lesson()
    assert [op.type for op in lesson.reach.without] == ["arg_max"]
    (end,) = lesson.reach.ends
    assert lesson.reach.without[0].input("X").name == end
    assert lesson.inner == lesson.reach.inner[:2]


def boxes_and_scores() -> tuple[list[str], paddle.static.Variable, paddle.static.Variable]:
    """A network whose one output holds numbers of hundreds and scores of 0 to 1."""
    feeds, features, loss = nets.residual_net()
    scores = paddle.nn.functional.sigmoid(paddle.static.nn.fc(features * 10, 4))
    return feeds, paddle.concat([features * 300, scores], axis=-1), loss


def test_scores_beside_boxes_in_pixels_are_trained_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = calibrated(nets.build(boxes_and_scores)["test"])
    folded, programs = made[0].folded, list[Model]()
    lesson = Student(folded, transformed(made)).lesson()
    assert len(lesson.reach.ends) == 1

    def noting(student: Student, lesson: Lesson, scope: Any) -> TrainingProgram:
        programs.append(student.teacher)
        compared = lesson.reach.ends
        assert [folded.graph.var(name).producer.type for name in compared] == ["concat", "sigmoid"]
        return training_program(student, lesson, scope)

    monkeypatch.setattr(unlabelled, "training_program", noting)
    found = trained(made, tmp_path)
    assert programs
    assert found.best is not None
    assert found.best["snr"] > found.before["snr"]


def test_from_python(small: tuple[Plan, Quantized], tmp_path: Path) -> None:
    model, console = small[0].model, Console(file=io.StringIO())
    batches = [image(number) for number in range(16)]
    found = qcc.train.quantize_unlabelled(model, batches, tmp_path, steps=10, console=console)
    assert (found.steps, found.trained_on, found.held_back) == (10, 14, 2)
    alone = [{"image": one["image"][0]} for one in batches]
    again = qcc.train.quantize_unlabelled(model, alone, tmp_path / "alone", steps=10, console=console)
    assert [one["train_loss"] for one in again.records] == [one["train_loss"] for one in found.records]
    with pytest.raises(ConfigError, match=r"call qcc\.train\.quantize_unlabelled"):
        qcc.quantize(model, batches, "trained")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"skip_vars: no variable of the model is called 'fc_9\*'"):
        qcc.train.quantize_unlabelled(model, batches, tmp_path, skip_vars=["fc_9*"])


def transformed(made: tuple[Plan, Quantized]) -> Model:
    plan, quantized = made
    scales = tuple(f"{one.name}={one.scale!r}" for one in quantized.choices)
    return PassManager((plan.transform, StaticScales(scales=scales))).run(plan.folded)


def test_learnable_quantization_computes_the_same(small: tuple[Plan, Quantized]) -> None:
    start = transformed(small)
    program = Model(learnable(start.graph))
    assert {"clip", "elementwise_div"} <= {op.type for op in program.graph.ops}
    for number in range(3):
        found, wanted = (model.run(image(number))[0] for model in (program, start))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_is_trained_is_what_is_frozen(small: tuple[Plan, Quantized]) -> None:
    """The loss of the training program, of other weights and scales than at first, is that of the files."""
    teacher, start = small[0].folded, transformed(small)
    student, scope = Student(teacher, start), paddle.static.Scope()
    stepper = Stepper(training_program(student, student.lesson(), scope), scope, Schedule(3e-3))
    feeds = {"image": np.concatenate([image(number)["image"] for number in range(16)])}
    for step in range(20):
        stepper.step(feeds, step)
    stepper.follow(Schedule(0.0))
    loss = stepper.step(feeds, 0).parts["outputs"]
    model = start.copy()
    model.read_weights(scope)
    assert model.weights["image@scale"] != start.weights["image@scale"]
    found, wanted = PassManager.parse("freeze,prune").run(model).run(feeds)[0], teacher.run(feeds)[0]
    assert 100 * np.square(found - wanted).sum() / np.square(wanted).sum() == pytest.approx(loss, rel=1e-2)


@pytest.mark.parametrize("sides", [SIZE, -1])
def test_images_of_any_size_are_trained_with_kernels_that_keep_none(
    sides: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, onednn, sizes = nets.build(nets.residual_net)["test"], set(), (SIZE, SIZE + 1, SIZE + 2)
    model.graph.var("image").desc.set_shape([-1, 3, sides, sides])
    step = Stepper.step

    def seen(stepper: Stepper, feeds: Feeds, number: int) -> Step:
        ops = stepper.program.global_block().ops
        onednn.add(any(op.has_attr("use_mkldnn") and op.attr("use_mkldnn") for op in ops))
        return step(stepper, feeds, number)

    monkeypatch.setattr(Stepper, "step", seen)
    images = [image(number)["image"] for number in range(6)]
    if sides < 0:
        images = [np.resize(one, (1, 3, *2 * (size,))) for one, size in zip(images, 2 * sizes, strict=True)]
    qcc.train.quantize_unlabelled(
        model, [{"image": one} for one in images], tmp_path, steps=10, console=Console(file=io.StringIO())
    )
    assert onednn == {sides == SIZE}


def test_loops_are_refused() -> None:
    with pytest.raises(ModelFormatError, match=r"while.* holds ops of its own"):
        as_training_graph(nets.several_blocks().graph)


def test_one_sample_is_too_few(small: tuple[Plan, Quantized], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is only 1 sample to train on"):
        trained(small, tmp_path, samples=Samples(Batches([0], image), ["1"]))


def test_the_command(
    small: tuple[Plan, Quantized], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    qcc.save(small[0].model, tmp_path / "model", check=False)
    (tmp_path / "arrays").mkdir()
    for number in range(64):
        np.save(tmp_path / f"arrays/{number:02}.npy", image(number)["image"])
    words = ["quantize", str(tmp_path / "model"), "--data", str(tmp_path / "arrays"), "--no-check"]
    out = tmp_path / "out"
    before = CheckpointStore(out / ".training" / "other")
    with before.lock():
        before.write("0", lambda folder: None)
    # What it leaves is much, so that training gains.
    badly = ["--calibrator", "kl"]
    assert run([*words, "-o", str(out), *badly, "--effort", "trained", "--steps", "51"]) == 0
    said = capsys.readouterr().out
    assert "begins anew, as the options or the data are others than before" in said
    assert "trained 60 steps of 16 samples, on 56 samples; on 8 held back" in said
    record = json.loads((out / "qcc.json").read_text())
    assert record["effort"] == "trained"
    assert record["training"]["kept"] in range(10)
    learned, measured = record["training"]["scales"], record["activations"]
    assert learned.keys() == measured.keys()
    assert all(learned[name] != one["scale"] for name, one in measured.items())
    assert "signal to noise: calibrated " in (out / "report.md").read_text()
    names = sorted(path.name for path in out.iterdir())
    assert names == ["float", "int8", "qcc.json", "qdq", "report.html", "report.md"]
    for form, name in (("float", "frozen"), ("int8", "int8"), ("qdq", "qdq")):
        assert state(qcc.load(out / form).graph) == name
    assert run([*words, "-o", str(out), "--steps", "20"]) == 2
    assert "--steps says how long to train, and --effort calibrated does not" in capsys.readouterr().err
    both = ["--effort", "trained", "--steps", "20", "--minutes", "1"]
    assert run([*words, "-o", str(out), *both]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert run([*words, "-o", str(out), "--effort", "trained", "--minutes", "nan"]) == 2
    assert "Invalid value for '--minutes': nan is no finite number." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"steps": 0}, "steps is 0, where a whole number from 1 on is wanted"),
        ({"steps": 2.5}, r"steps is 2\.5, where"),
        ({"minutes": 0.0}, r"minutes is 0\.0, where a number above 0 is wanted"),
        ({"minutes": float("inf")}, "minutes is inf, where"),
        ({"minutes": "5"}, "minutes is '5', where"),
        ({"minutes": float("nan")}, "minutes is nan, where"),
    ],
)
def test_budgets_in_which_nothing_is_trained(
    small: tuple[Plan, Quantized], tmp_path: Path, budget: Any, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        qcc.train.quantize_unlabelled(small[0].model, [image(0), image(1)], tmp_path, **budget)


@pytest.mark.slow
def test_minutes_are_turned_into_steps_once(small: tuple[Plan, Quantized], tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    budget = Budget(minutes=0.1)
    first = train_unlabelled(*small, SAMPLES, tmp_path, console, StopRequest(), budget)
    again = train_unlabelled(*small, SAMPLES, tmp_path, console, StopRequest(), budget)
    assert first.steps >= 10
    assert again.steps == first.steps
    assert again.records == first.records


def test_what_a_target_rounds_is_rounded_in_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # There is little to be gained here, and what is trained is looked at all the same.
    monkeypatch.setattr(Likeness, "beats", lambda self, other: True)
    model = nets.build(nets.residual_net)["test"]
    batches = [image(number) for number in range(40)]
    before = qcc.quantize(model, batches, calibrator="abs_max", target="onnxruntime")
    console = Console(file=io.StringIO())
    result = qcc.train.quantize_unlabelled(
        model, batches, tmp_path, steps=60, calibrator="abs_max", target="onnxruntime", console=console
    )
    assert result.best is not None
    noted, first = thresholds(result.model.graph), thresholds(before.graph)
    assert set(unmeasured(before, find_target("onnxruntime"))) <= set(noted) <= set(first)
    # They are learned, too.
    assert all(noted[name] != first[name] for name in noted)
    assert [op.type for op in result.model.graph.ops] == [op.type for op in before.graph.ops]


def facts_model() -> Model:
    """A network of an image and some facts about it, each with layers of its own."""
    main, startup, scope = paddle.static.Program(), paddle.static.Program(), paddle.static.Scope()
    with paddle.utils.unique_name.guard(), paddle.static.program_guard(main, startup):
        given = paddle.static.data("image", [-1, 3, 12, 12]), paddle.static.data("facts", [-1, 5])
        maps = paddle.nn.functional.relu(paddle.static.nn.conv2d(given[0], 8, 3))
        pooled = paddle.flatten(paddle.nn.functional.adaptive_avg_pool2d(maps, 1), 1)
        known = paddle.nn.functional.relu(paddle.static.nn.fc(given[1], 16))
        output = paddle.static.nn.fc(paddle.concat([pooled, known], 1), 4)
    paddle.seed(1)
    with paddle.static.scope_guard(scope):
        paddle.static.Executor(paddle.CPUPlace()).run(startup)
    return qcc.from_program(main, scope, ["image", "facts"], [output.name], for_test=True)


def test_what_is_compared_in_front_of_a_relu_is_not_changed_for_it(tmp_path: Path) -> None:
    """From the second step on, oneDNN's relu read the difference to the teacher, written over its input."""
    random = np.random.default_rng(0)
    batches = [image(number) | {"facts": random.standard_normal((1, 5), np.float32)} for number in range(32)]
    console = Console(file=io.StringIO())
    result = qcc.train.quantize_unlabelled(facts_model(), batches, tmp_path, steps=20, console=console)
    assert max(record["train_loss"] for record in result.records) < 1
