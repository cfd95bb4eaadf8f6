"""From float weights to saved forms."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tiny import write_config, write_slim

import qcc
from qcc._paddle import core, paddle
from qcc.backends.lite.file import read_naive_buffer
from qcc.errors import CheckpointError, ConfigError, DataError, OutputError
from qcc.interrupts import StopRequest
from qcc.passes.scales import fresh_weight_scales
from qcc.train.config import load_config, load_slim
from qcc.train.evaluation.evaluate import ModelRunner, evaluate
from qcc.train.freeze import best_epoch, freeze_checkpoint
from qcc.train.loop.checkpoint import CheckpointStore
from qcc.train.programs.weights import initialise
from qcc.train.quantize import QuantizeResult, quantize
from qcc.train.tasks.classifier import ClassifierTask

CPU = core.CPUPlace()
# Within the range that training has seen: below it, qdq clips one step lower than the other forms.
IMAGES = {"image": np.random.default_rng(0).uniform(-0.8, 1.6, (8, 1, 28, 28)).astype(np.float32)}


def run(config_path: Path, slim_path: Path, overrides: tuple[str, ...] = ()) -> tuple[QuantizeResult, str]:
    config, output = load_config(config_path, overrides), io.StringIO()
    task, console = ClassifierTask(config), Console(file=output, width=200)
    return quantize(task, config, load_slim(slim_path), console, StopRequest()), output.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """A run of a float epoch and two quantized ones, in run/, and what it printed, in printed.txt."""
    folder = tmp_path_factory.mktemp("quantize")
    slim = write_slim(
        folder / "run",
        3,
        start_epoch=1,
        end_epoch=2,
        weight_quantize_type="channel_wise_abs_max",
        activation_quantize_type="moving_average_abs_max",
        weight_bits=8,
        activation_bits=7,
        float_model_save_path=folder / "float",
        int8_model_save_path=folder / "int8",
        mobile_model_save_path=folder / "mobile",
        save_in_nodes="[image]",
        save_out_nodes="[fc_0.tmp_1, fc_0.tmp_2]",
    )
    _, printed = run(write_config(folder, tiny_images), slim)
    (folder / "printed.txt").write_text(printed)
    return folder


def test_every_epoch_has_a_checkpoint_with_its_metrics_and_scheme(folder: Path) -> None:
    assert CheckpointStore(folder / "run").epochs() == [0, 1, 2]
    for epoch in range(3):
        metrics = json.loads((folder / "run" / str(epoch) / "metrics.json").read_text())
        assert metrics["quantized"] == (epoch >= 1)
        assert 0 <= metrics["top1"] <= metrics["top5"] <= 1
    assert json.loads((folder / "run" / "0" / "scheme.json").read_text()) is None
    scheme = json.loads((folder / "run" / "2" / "scheme.json").read_text())
    assert scheme["weight_quantize_type"] == "channel_wise_abs_max"
    assert scheme["activation_bits"] == 7
    assert "activation_bits=7" in scheme["pipeline"]


def test_eval_model_is_what_was_evaluated(folder: Path) -> None:
    checkpoint = folder / "run" / "2"
    model = qcc.load(checkpoint / "eval_model")
    assert (model.feeds, model.fetches) == (("image",), ("fc_0.tmp_2",))
    metrics = json.loads((checkpoint / "metrics.json").read_text())
    assert evaluate(model, ClassifierTask(load_config(folder / "tiny.yml")))["top1"] == metrics["top1"]
    for name, scale in fresh_weight_scales(model.graph).items():
        np.testing.assert_array_equal(model.weights[name], scale)


def test_best_epoch_is_the_best_quantized_one(folder: Path) -> None:
    records = [json.loads((folder / "run" / name / "metrics.json").read_text()) for name in ("1", "2")]
    best = max(records, key=lambda record: record["top1"])
    assert best_epoch(CheckpointStore(folder / "run")) == best["epoch"]


def test_forms_are_saved_at_the_end_under_the_old_names(folder: Path) -> None:
    for form in ("float", "int8"):
        assert {path.name for path in (folder / form).iterdir()} == {"model", "weights", "qcc.json"}
        model = qcc.load(folder / form)
        assert (model.feeds, model.fetches) == (("image",), ("fc_0.tmp_1", "fc_0.tmp_2"))


def test_a_mobile_form_that_cannot_be_written_ends_no_run(folder: Path) -> None:
    assert not (folder / "mobile").exists()
    assert "mobile_model_save_path: nothing is written there: " in (folder / "printed.txt").read_text()


def test_the_mobile_form_is_what_paddle_lite_loads(tiny_config: Path, tmp_path: Path) -> None:
    file = tmp_path / "mobile" / "model.nb"
    options = {"activation_quantize_type": "moving_average_abs_max", "mobile_model_save_path": file.parent}
    _, printed = run(tiny_config, write_slim(tmp_path / "run", 1, **options))
    kernels = [str(op.attr("__@kernel_type_attr@__")) for op in read_naive_buffer(file).ops]
    assert any("conv2d" in kernel and "int8" in kernel for kernel in kernels), kernels
    assert f"saved the mobile form in {file}, as Paddle Lite loads it on ARM." in printed


def test_all_forms_compute_what_the_transformed_network_does(folder: Path, tmp_path: Path) -> None:
    transformed = ModelRunner(qcc.load(folder / "run" / "2" / "eval_model"), CPU).run(IMAGES)[0]
    saved = freeze_checkpoint(CheckpointStore(folder / "run"), 2, tmp_path)
    assert [report.form for report in saved] == ["float", "int8", "qdq"]
    outputs = [ModelRunner(qcc.load(tmp_path / report.form), CPU).run(IMAGES)[0] for report in saved]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    for output in outputs:
        # An activation on the border between two integers may fall to either side.
        assert np.mean(np.abs(output - transformed) > 1e-5) < 0.1
        np.testing.assert_allclose(output, transformed, atol=0.02)
    kept = qcc.load(folder / "int8")
    np.testing.assert_array_equal(kept.weights["conv1_weights.int8"].dtype, np.int8)


@pytest.mark.slow
def test_dynamic_activations_have_no_qdq_form(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, write_slim(tmp_path / "run", 1, activation_quantize_type="abs_max"))
    saved = freeze_checkpoint(CheckpointStore(tmp_path / "run"), None, tmp_path / "forms")
    assert [report.form for report in saved] == ["float", "int8"]


def test_wide_weights_have_the_frozen_form_alone(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, write_slim(tmp_path / "run", 1, weight_bits=16))
    saved = freeze_checkpoint(CheckpointStore(tmp_path / "run"), None, tmp_path / "forms")
    assert [report.form for report in saved] == ["float"]


def test_weight_type_can_be_overridden(folder: Path, tmp_path: Path) -> None:
    freeze_checkpoint(CheckpointStore(folder / "run"), 2, tmp_path, weight_type="abs_max")
    types = {op.type for op in qcc.load(tmp_path / "float").graph.ops}
    assert "fake_dequantize_max_abs" in types
    assert "fake_channel_wise_dequantize_max_abs" not in types


def test_a_checkpoint_from_before_quantization_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="0 comes from before quantization was inserted"):
        freeze_checkpoint(CheckpointStore(folder / "run"), 0, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_evaluation_every_second_epoch_and_after_the_last(tiny_config: Path, tmp_path: Path) -> None:
    slim = write_slim(tmp_path / "run", 4, end_epoch=3)
    slim.write_text(slim.read_text().replace("compressor:\n", "compressor:\n  eval_epoch: 2\n"))
    result, _ = run(tiny_config, slim)
    assert ["top1" in record for record in result.records] == [True, False, True, True]


def change_compressor(slim: Path, text: str) -> Path:
    slim.write_text(slim.read_text().replace("compressor:\n", f"compressor:\n  {text}\n"))
    return slim


def test_without_eval_models_there_is_nothing_to_freeze(tiny_config: Path, tmp_path: Path) -> None:
    slim = change_compressor(write_slim(tmp_path / "run", 1), "save_eval_model: False")
    result, _ = run(tiny_config, slim)
    assert result.best is not None
    assert not (tmp_path / "run" / "0" / "eval_model").exists()
    with pytest.raises(CheckpointError, match="0 holds no eval_model, since it was trained with"):
        freeze_checkpoint(CheckpointStore(tmp_path / "run"), None, tmp_path / "forms")


@pytest.mark.slow
def test_epochs_without_a_model_are_told(tiny_config: Path, tmp_path: Path, capfd: Any) -> None:
    from qcc.cli.main import run as command

    run(tiny_config, change_compressor(write_slim(tmp_path / "run", 1), "save_eval_model: False"))
    words = ["eval", str(tmp_path / "run"), "-c", str(tiny_config), "--all-epochs"]
    assert command(words) == 2
    assert "holds no eval_model" in capfd.readouterr().err
    run(tiny_config, write_slim(tmp_path / "run", 2))
    assert command(words) == 0
    shown = capfd.readouterr().out
    assert "1 (best)" in shown
    assert "epoch 0 holds no eval_model" in shown


def test_pruned_program_beside_the_parameters(tiny_config: Path, tmp_path: Path) -> None:
    slim = write_slim(tmp_path / "run", 1)
    run(tiny_config, change_compressor(slim, "prune_infer_model: [[image], [fc_0.tmp_1]]"))
    folder = tmp_path / "run" / "0" / "eval_model"
    pruned = qcc.load(folder, model_filename="__model__.infer", params_filename="__params__")
    assert (pruned.feeds, pruned.fetches) == (("image",), ("fc_0.tmp_1",))
    whole = qcc.load(folder, model_filename="__model__")
    (logits,), (probabilities,) = (ModelRunner(model, CPU).run(IMAGES) for model in (pruned, whole))
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponents / exponents.sum(axis=1, keepdims=True), probabilities, rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            "[[image], [nothing]]",
            r"run\.yaml, line \d: compressor\.prune_infer_model\[1\]\[0\]: .* has no variable 'nothing'",
        ),
        ("[[label], [fc_0.tmp_1]]", r"compressor\.prune_infer_model\[0\]\[0\]: .* is not fed by 'label'"),
        (
            "[[image], [batch_norm_0.tmp_2]]",
            r"prune_infer_model\[1\]: batch_norm_0\.tmp_2 does not depend on 1\d\d of the network's param",
        ),
    ],
)
def test_pruned_programs_that_cannot_be(tiny_config: Path, tmp_path: Path, nodes: str, message: str) -> None:
    slim = change_compressor(write_slim(tmp_path / "run", 1), f"prune_infer_model: {nodes}")
    with pytest.raises(ConfigError, match=message):
        run(tiny_config, slim)


def test_images_that_the_model_does_not_take(folder: Path) -> None:
    model = qcc.load(folder / "run" / "0" / "eval_model", model_filename="__model__")
    with pytest.raises(
        DataError, match="does not run on the data set's images: The fed Variable 'image' sho"
    ):
        ModelRunner(model, CPU).run({"image": np.zeros((1, 3, 28, 28), np.float32)})


def test_folders_that_cannot_be_are_refused_before_training(tiny_config: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    slim = write_slim(tmp_path / "run", 1, int8_model_save_path=tmp_path / "plain" / "int8")
    with pytest.raises(OutputError, match=r"plain/int8 cannot be written to: .*plain is no folder\."):
        run(tiny_config, slim)
    assert CheckpointStore(tmp_path / "run").epochs() == []


def test_forms_need_folders_of_their_own(tiny_config: Path, tmp_path: Path) -> None:
    form = tmp_path / "form"
    slim = write_slim(tmp_path / "run", 1, float_model_save_path=form, int8_model_save_path=form)
    with pytest.raises(
        ConfigError,
        match=r"line 5: strategies\.q\.int8_model_save_path: .*form is that of float_model_save_path",
    ):
        run(tiny_config, slim)


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"best": 7}', '{"best": {"epoch": "x"}}'])
def test_a_damaged_summary(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"metrics\.json is damaged: it does not say which epoch"):
        best_epoch(CheckpointStore(tmp_path))


def test_the_folder_of_one_epoch_is_not_that_of_all(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"run/2 is one checkpoint, .*: give .*/run\."):
        CheckpointStore(folder / "run" / "2")


def test_a_damaged_eval_model_is_not_frozen(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    params = tmp_path / "run/2/eval_model/__params__"
    content = bytearray(params.read_bytes())
    content[-1] ^= 1
    params.write_bytes(content)
    with pytest.raises(CheckpointError, match="__params__ is not what was written there"):
        freeze_checkpoint(CheckpointStore(tmp_path / "run"), 2, tmp_path / "forms")


def test_all_epochs_are_compared(folder: Path, capfd: Any) -> None:
    from qcc.cli.main import run as command

    assert command(["eval", str(folder / "run"), "-c", str(folder / "tiny.yml"), "--all-epochs"]) == 0
    rows = [re.findall(r"[\w.()]+", line) for line in capfd.readouterr().out.splitlines()]
    shown = {row[0]: row for row in rows if row and row[0].isdigit()}
    records = [json.loads((folder / "run" / str(epoch) / "metrics.json").read_text()) for epoch in range(3)]
    assert list(shown) == ["0", "1", "2"]
    for record in records:
        row = shown[str(record["epoch"])]
        assert f"{record['top1']:.4f}" in row
        assert str(record["quantized"]) in row
    (best,) = [epoch for epoch, row in shown.items() if "(best)" in row]
    assert int(best) == best_epoch(CheckpointStore(folder / "run"))
    assert command(["eval", str(folder), "-c", str(folder / "tiny.yml"), "--all-epochs"]) == 2


def test_checkpoints_are_thinned_out_but_for_the_best(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.4, 0.5, 0.9, 0.2, 0.3, 0.1])  # the first one is that of the float network
    monkeypatch.setattr(ClassifierTask, "evaluate", lambda self, run: {"top1": next(accuracies)})
    slim = write_slim(tmp_path / "run", 5, end_epoch=4)
    result, _ = run(tiny_config, slim, ("keep_checkpoints=2",))
    assert CheckpointStore(tmp_path / "run").epochs() == [1, 3, 4]
    assert len(result.records) == 5
    assert best_epoch(CheckpointStore(tmp_path / "run")) == 1


@pytest.mark.parametrize("activation", ["abs_max", "range_abs_max"])
def test_every_activation_type_trains_and_freezes(tiny_config: Path, tmp_path: Path, activation: str) -> None:
    options = {"activation_quantize_type": activation, "float_model_save_path": tmp_path / "float"}
    result, _ = run(tiny_config, write_slim(tmp_path / "run", 1, **options))
    assert result.best is not None
    assert f"fake_quantize_{activation}" in {op.type for op in qcc.load(tmp_path / "float").graph.ops}


def test_pretrained_weights_are_where_training_starts(
    tiny_config: Path, tmp_path: Path, folder: Path
) -> None:
    """With a learning rate too small to move anything, the result is the weights that it started from."""
    source = folder / "run" / "2" / "eval_model"
    overrides = ("LearningRate.base_lr=1e-30", f"pretrain_weights={source}")
    run(tiny_config, write_slim(tmp_path / "run", 1), overrides)
    assert not (tmp_path / "run" / "float").exists()
    trained = qcc.load(tmp_path / "run" / "0" / "eval_model").weights
    np.testing.assert_array_equal(trained["conv1_weights"], qcc.load(source).weights["conv1_weights"])


def test_init_model_takes_precedence(tiny_config: Path, tmp_path: Path, folder: Path) -> None:
    slim = write_slim(tmp_path / "run", 1)
    source = folder / "run" / "2" / "eval_model"
    slim.write_text(slim.read_text().replace("compressor:\n", f"compressor:\n  init_model: {source}\n"))
    run(tiny_config, slim, ("LearningRate.base_lr=1e-30", "pretrain_weights=nowhere.npz"))
    trained = qcc.load(tmp_path / "run" / "0" / "eval_model").weights
    np.testing.assert_array_equal(trained["fc7_weights"], qcc.load(source).weights["fc7_weights"])


def test_no_weights_and_no_way_to_train_them(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither pretrain_weights nor FloatTraining is given"):
        run(tiny_config, write_slim(tmp_path / "run", 1), ("FloatTraining=null",))


def test_the_whole_flow_on_the_command_line(folder: Path, tmp_path: Path, capfd: Any) -> None:
    from qcc.cli.main import run as command

    config, slim = folder / "tiny.yml", write_slim(tmp_path / "run", 1)
    own = "DistillerOptimizer={LearningRate: {base_lr: 0.1}}"
    overrides = ["-o", "seed=4", "epochs=9", own, "freeze_norm_epoch=1"]
    assert command(["quantize", "-c", str(config), "-s", str(slim), *overrides]) == 0
    printed = capfd.readouterr().out
    assert f"epochs is 9, but {slim} says 1, which counts." in printed
    assert "DistillerOptimizer has no effect: there is no DistillationStrategy." in printed
    assert "freeze_norm_epoch is 1 and has no effect: the last epoch is 0." in printed
    assert "checkpoints are in" in printed
    forms = tmp_path / "forms"
    assert command(["freeze", "--checkpoint", str(tmp_path / "run"), "--save", str(forms)]) == 0
    assert f"saved the int8 form in {forms / 'int8'}." in capfd.readouterr().out
    assert command(["eval", str(forms / "int8"), "-c", str(config)]) == 0
    metrics = json.loads((tmp_path / "run" / "0" / "metrics.json").read_text())
    top1 = float(capfd.readouterr().out.split()[1])
    assert top1 == pytest.approx(metrics["top1"], abs=0.051)  # one image of 20 may sit on a tie
    assert f"<b>top1</b><strong>{metrics['top1']:.4g}</strong>" in (forms / "report.html").read_text()
    assert command(["freeze", "--checkpoint", str(tmp_path), "--save", str(forms)]) == 2


@pytest.mark.slow
def test_two_epochs_are_compared_and_one_is_analyzed(folder: Path, tmp_path: Path, capfd: Any) -> None:
    from qcc.cli.main import run as command

    config, slim = folder / "tiny.yml", write_slim(tmp_path / "run", 2)
    assert command(["quantize", "-c", str(config), "-s", str(slim)]) == 0
    first, second = (str(tmp_path / "run" / epoch) for epoch in "01")
    more = ["--data", str(config), "--samples", "2"]
    assert command(["compare", first, second, *more]) == 0
    assert "on equal inputs" in capfd.readouterr().out
    page = str(tmp_path / "report.html")
    metric = ["--top", "1", "--eval", str(config)]
    assert command(["analyze", f"{second}/eval_model", "-o", page, *metric, *more]) == 0
    told = capfd.readouterr().out
    top1 = json.loads((tmp_path / "run/1/metrics.json").read_text())["top1"]
    assert f"{config} gives {top1:.4f}, and " in told
    assert "costs most of the 1 measured: alone it puts the output off by" in told
    assert "give the float model" not in told


def test_a_runner_goes_on_with_other_weights(tiny_config: Path) -> None:
    task = ClassifierTask(load_config(tiny_config))
    models = []
    for seed in (1, 2):
        network, scope = task.network(), paddle.static.Scope()
        initialise(network, scope, seed)
        models.append(
            qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)
        )
    runner = ModelRunner(models[0], CPU)
    runner.run(IMAGES)

    runner.take_weights(models[1])

    np.testing.assert_array_equal(runner.run(IMAGES)[0], ModelRunner(models[1], CPU).run(IMAGES)[0])
