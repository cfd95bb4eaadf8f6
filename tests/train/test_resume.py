"""An interrupted run, gone on with, gives bit for bit the weights of a run that was never interrupted."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from broken_runs import StoppingTask, assert_equal_states, final_state, losing, run
from rich.console import Console
from tiny import distilling_slim, write_config, write_slim

import qcc
from qcc.errors import CheckpointError, ConfigError, OutputError, TrainingError, WorkerError
from qcc.interrupts import StopRequest
from qcc.train.config import load_config, load_slim
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.loop.stepper import Stepper
from qcc.train.quantize import quantize
from qcc.train.saving import Outputs
from qcc.train.tasks.classifier import ClassifierTask
from qcc.train.tasks.task import Feeds

SCHEME = {
    "weight_quantize_type": "channel_wise_abs_max",
    "activation_quantize_type": "moving_average_abs_max",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_images: Path) -> Path:
    """The checkpoints of three epochs, of which the first trains float weights."""
    folder = tmp_path_factory.mktemp("whole")
    slim = write_slim(folder / "run", 3, end_epoch=2, start_epoch=1, **SCHEME)
    run(write_config(folder, tiny_images), slim)
    return folder / "run"


@pytest.fixture
def uninterrupted(whole: Path) -> TrainingState:
    return final_state(whole)


def test_the_state_is_complete(uninterrupted: TrainingState) -> None:
    names = set(uninterrupted.arrays)
    assert {"conv1_weights", "conv1_bn_mean", "fc7_offset"} <= names
    assert "optimizer/conv1_weights_velocity_0" in names
    assert {"conv1_weights@scale", "image@scale", "image@state", "image@accum"} <= names
    assert uninterrupted.position.step == 12
    assert [record["quantized"] for record in uninterrupted.history] == [False, True, True]


def test_a_killed_process_that_loads_data_costs_no_step(
    uninterrupted: TrainingState, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slim = write_slim(tmp_path / "killed", 3, end_epoch=2, start_epoch=1, **SCHEME)
    batches = ClassifierTask.train_batches

    def killed(task: ClassifierTask, epoch: int, first: int) -> Iterator[Feeds]:
        for number, feeds in enumerate(batches(task, epoch, first), first):
            if (epoch, number) == (1, 2):
                raise WorkerError("a process that loads data was ended by SIGKILL.")
            yield feeds

    with monkeypatch.context() as patch:
        patch.setattr(ClassifierTask, "train_batches", killed)
        with pytest.raises(TrainingError, match=r"by SIGKILL; the last good checkpoint is .*killed/0\.$"):
            run(tiny_config, slim)
    state = CheckpointStore(tmp_path / "killed").newest()
    assert state is not None
    assert (state.position.epoch, state.position.batch) == (1, 2)
    run(tiny_config, slim)
    assert_equal_states(final_state(tmp_path / "killed"), uninterrupted)


def test_a_signal_to_all_processes_is_an_interruption(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM to the group ends those that load data, too."""
    slim = write_slim(tmp_path / "run", 3, end_epoch=2, start_epoch=1, **SCHEME)

    def killed(task: StoppingTask, epoch: int, first: int) -> Iterator[Feeds]:
        yield from itertools.islice(ClassifierTask.train_batches(task, epoch, first), 2 if epoch else None)
        if not epoch:
            return
        assert task.stop is not None
        task.stop.requested = True
        raise WorkerError("a process that loads data was ended by SIGTERM.")

    monkeypatch.setattr(StoppingTask, "train_batches", killed)
    printed = run(tiny_config, slim, (1, 2))
    assert f"stopped after batch 2 of epoch 1; saved in {tmp_path}/run/interrupted, the same" in printed


@pytest.mark.slow
def test_an_epoch_is_not_lost_when_what_comes_after_it_fails(
    uninterrupted: TrainingState, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slim = write_slim(
        tmp_path / "broken", 3, end_epoch=2, start_epoch=1, float_model_save_path=tmp_path / "f", **SCHEME
    )
    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "save_forms", _full)
        with pytest.raises(OutputError, match="disk is full"):
            run(tiny_config, slim)
    assert CheckpointStore(tmp_path / "broken").epochs() == [0, 1]

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "step", None)  # no batch is trained on again
        run(tiny_config, slim)

    assert_equal_states(uninterrupted, final_state(tmp_path / "broken"))
    assert (tmp_path / "f" / "model").exists()


def _full(*_: object) -> None:
    raise OutputError("the disk is full")


# While the float weights are trained, at the first quantized batch, and in the middle of a quantized epoch.
@pytest.mark.parametrize(
    ("where", "kill"),
    [
        pytest.param((0, 2), False, marks=pytest.mark.slow),
        pytest.param((1, 0), True, marks=pytest.mark.slow),
        pytest.param((2, 1), False, marks=pytest.mark.slow),
        ((2, 1), True),
    ],
    ids=str,
)
def test_resumed_equals_uninterrupted(
    uninterrupted: TrainingState,
    tiny_config: Path,
    tmp_path: Path,
    where: tuple[int, int],
    kill: bool,
) -> None:
    slim = write_slim(tmp_path / "broken", 3, end_epoch=2, start_epoch=1, **SCHEME)
    run(tiny_config, slim, where, kill=kill)
    assert CheckpointStore(tmp_path / "broken").epochs() == list(range(where[0]))
    printed = run(tiny_config, slim)
    if where[0] > 0 or not kill:
        batch = 1 if kill else where[1] + 2
        assert (
            f": epoch {where[0]} ({where[0] + 1} of {3 if where[0] else 1}), batch {batch} of 4." in printed
        )
    assert_equal_states(uninterrupted, final_state(tmp_path / "broken"))
    lines = [json.loads(line) for line in (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [0, 1, 2]


@pytest.mark.slow
def test_every_optimizer_state_is_kept(tiny_config: Path, tmp_path: Path) -> None:
    builder = "OptimizerBuilder:\n  optimizer: {type: Adam}"
    tiny_config.write_text(tiny_config.read_text().replace("OptimizerBuilder:", builder))
    whole = write_slim(tmp_path / "whole", 2, end_epoch=1, start_epoch=1, **SCHEME)
    broken = write_slim(tmp_path / "broken", 2, end_epoch=1, start_epoch=1, **SCHEME)
    run(tiny_config, whole)
    run(tiny_config, broken, (1, 2))
    run(tiny_config, broken)
    state = final_state(tmp_path / "whole")
    assert state.arrays["optimizer/conv1_weights_beta1_pow_acc_0"] == pytest.approx(0.9**9)
    assert_equal_states(state, final_state(tmp_path / "broken"))


# A float epoch, a quantized one and one with fixed batch norm statistics; a teacher in the first two.
OPTIONS = (
    "use_ema=true",
    "ema_decay=0.9",
    "freeze_norm_epoch=2",
    "OptimizerBuilder.optimizer={type: RMSProp}",
)


@pytest.mark.slow
def test_options_that_change_the_program_and_the_state(tiny_config: Path, tmp_path: Path) -> None:
    whole, broken = (distilling_slim(tmp_path / name) for name in ("whole", "broken"))
    run(tiny_config, whole, overrides=OPTIONS)
    run(tiny_config, broken, (0, 2), overrides=OPTIONS)
    run(tiny_config, broken, (1, 1), overrides=OPTIONS)
    run(tiny_config, broken, (2, 1), kill=True, overrides=OPTIONS)
    run(tiny_config, broken, overrides=OPTIONS)
    state = final_state(tmp_path / "whole")
    assert {"ema/conv1_weights", "ema/conv1_bn_variance"} <= state.arrays.keys()
    assert_equal_states(state, final_state(tmp_path / "broken"))


@pytest.mark.slow
# Kinds of which one, and equal kinds of which each, begins anew: with the teacher, and after it.
@pytest.mark.parametrize("kind", ["Adam", "RMSProp"])
def test_the_optimizer_of_the_distillers_is_kept(tiny_config: Path, tmp_path: Path, kind: str) -> None:
    own = f"{{LearningRate: {{base_lr: 0.002}}, OptimizerBuilder: {{optimizer: {{type: {kind}}}}}}}"
    overrides = (*OPTIONS, f"DistillerOptimizer={own}")
    whole, broken = (distilling_slim(tmp_path / name) for name in ("whole", "broken"))
    run(tiny_config, whole, overrides=overrides)
    for where, kill in (((1, 0), True), ((1, 2), False), ((2, 0), True)):
        run(tiny_config, broken, where, kill=kill, overrides=overrides)
        state = final_state(tmp_path / "broken")
        assert state.distiller_optimizer
        assert ("optimizer/fc7_offset_moment1_0" in state.arrays) == (kind == "Adam")
    run(tiny_config, broken, overrides=overrides)
    assert not final_state(tmp_path / "broken").distiller_optimizer
    assert_equal_states(final_state(tmp_path / "whole"), final_state(tmp_path / "broken"))


@pytest.mark.slow
def test_averages_may_be_turned_on_and_off(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, write_slim(tmp_path / "run", 1, **SCHEME))
    run(tiny_config, write_slim(tmp_path / "run", 2, **SCHEME), overrides=("use_ema=true",))
    assert "ema/conv1_weights" in final_state(tmp_path / "run").arrays
    run(tiny_config, write_slim(tmp_path / "run", 3, **SCHEME))
    assert "ema/conv1_weights" not in final_state(tmp_path / "run").arrays


@pytest.mark.slow
def test_finished_run_is_not_repeated(tiny_config: Path, tmp_path: Path) -> None:
    slim = write_slim(tmp_path / "run", 1, **SCHEME)
    run(tiny_config, slim)
    written = (tmp_path / "run" / "0" / "state.npz").stat().st_mtime_ns
    printed = run(tiny_config, slim)
    assert f"{tmp_path / 'run'} is finished: 1 of 1 epoch done, nothing is left to train." in printed
    assert (tmp_path / "run" / "0" / "state.npz").stat().st_mtime_ns == written


@pytest.mark.slow
def test_fewer_epochs_than_there_are(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, write_slim(tmp_path / "run", 2, end_epoch=1, **SCHEME))
    printed = run(tiny_config, write_slim(tmp_path / "run", 1, **SCHEME))
    assert f"{tmp_path / 'run'} has 2 epochs, more than the 1 asked for: none is trained." in printed


@pytest.mark.slow
def test_what_changed_since_the_checkpoint_is_printed(tiny_config: Path, tmp_path: Path) -> None:
    slim = write_slim(tmp_path / "run", 2, end_epoch=1, **SCHEME)
    run(tiny_config, slim, (1, 0), kill=True)
    tiny_config.write_text(tiny_config.read_text().replace("base_lr: 0.01", "base_lr: 0.02"))
    assert "changed since then: LearningRate.base_lr: 0.01 -> 0.02" in run(tiny_config, slim)


@pytest.mark.slow
def test_how_scales_are_measured_may_change(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, write_slim(tmp_path / "run", 1, moving_rate=0.5, **SCHEME))
    printed = run(tiny_config, write_slim(tmp_path / "run", 2, moving_rate=0.8, **SCHEME))
    assert "changed since then: slim.strategy.moving_rate: 0.5 -> 0.8" in printed
    for epoch, rate in ((0, 0.5), (1, 0.8)):
        scheme = json.loads((tmp_path / "run" / str(epoch) / "scheme.json").read_text())
        assert scheme["moving_rate"] == rate
        assert f"moving_rate={rate}" in scheme["pipeline"]
        graph = qcc.load(tmp_path / "run" / str(epoch) / "eval_model").graph
        rates = {op.attr("moving_rate") for op in graph.ops if "moving_average" in op.type}
        assert [*rates] == [pytest.approx(rate)]


@pytest.mark.parametrize(
    ("old", "new", "scheme", "variable"),
    [
        ("", "", {"quantize_op_types": "[conv2d]"}, "batch_norm_0.tmp_4@accum"),
        pytest.param("scale: 0.07", "scale: 0.1", {}, "conv1_bn_mean", marks=pytest.mark.slow),
        pytest.param(
            "", "", {"weight_quantize_type": "abs_max"}, "conv1_weights@scale", marks=pytest.mark.slow
        ),
    ],
)
def test_checkpoint_of_another_network_or_scheme_is_refused(
    tiny_config: Path,
    tmp_path: Path,
    old: str,
    new: str,
    scheme: dict[str, str],
    variable: str,
) -> None:
    run(tiny_config, write_slim(tmp_path / "run", 1, **SCHEME))
    tiny_config.write_text(tiny_config.read_text().replace(old, new))
    with pytest.raises(CheckpointError, match=rf"another network or quantization scheme: .* '{variable}'"):
        run(tiny_config, write_slim(tmp_path / "run", 2, **{**SCHEME, **scheme}))


def test_a_loss_that_is_not_finite_ends_the_run(tiny_config: Path, tmp_path: Path) -> None:
    decay = "!PiecewiseDecay {gamma: 1.0e+35, milestones: [5]}"
    config = load_config(tiny_config, [f"LearningRate.schedulers=[{decay}]"])
    slim = load_slim(write_slim(tmp_path / "run", 2, end_epoch=1, **SCHEME))
    with pytest.raises(TrainingError) as error:
        quantize(ClassifierTask(config), config, slim, Console(file=io.StringIO()), StopRequest())
    last_good = tmp_path / "run" / "0"
    assert str(error.value).endswith(f"the learning rate was 1e+33; the last good checkpoint is {last_good}.")
    assert CheckpointStore(tmp_path / "run").epochs() == [0]


@pytest.mark.slow
def test_weights_that_are_not_finite_end_the_run(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where relus turn what is not a number into zeros, the loss goes on to be one."""
    losing(monkeypatch, "conv1_bn_mean", size=2, number=7)
    slim = write_slim(tmp_path / "run", 2, end_epoch=1, **SCHEME)
    with pytest.raises(TrainingError) as error:
        run(tiny_config, slim)
    message = str(error.value)
    assert "variables are not finite any more, though the loss is, the first is 'conv1_bn_mean'" in message
    assert message.endswith(f"the last good checkpoint is {tmp_path / 'run' / '0'}.")
    assert CheckpointStore(tmp_path / "run").epochs() == [0]


def test_unknown_nodes_are_refused_before_training(tiny_config: Path, tmp_path: Path) -> None:
    slim = write_slim(tmp_path / "run", 1, save_out_nodes="['multiclass_nms_0.tmp_0']")
    with pytest.raises(ConfigError) as error:
        run(tiny_config, slim)
    assert str(error.value) == (
        f"{slim}, line 4: strategies.q.save_out_nodes[0]: the test program has no variable"
        " 'multiclass_nms_0.tmp_0'; its outputs are fc_0.tmp_2."
    )
    slim = write_slim(tmp_path / "run", 1, save_in_nodes="['image', 'im_size']")
    with pytest.raises(ConfigError) as error:
        run(tiny_config, slim)
    assert str(error.value) == (
        f"{slim}, line 4: strategies.q.save_in_nodes[1]: the test program is not fed by 'im_size', only by"
        " image."
    )
    assert not (tmp_path / "run" / "float").exists()


def command(config: Path, slim: Path) -> list[str]:
    return [sys.executable, "-m", "qcc.cli.main", "quantize", "-c", str(config), "-s", str(slim)]


def run_until(words: list[str], path: Path, number: signal.Signals) -> tuple[int, str]:
    """Run a command, send a signal to it and its children when `path` appears; exit code and output."""
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        while not path.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, number)
        output = process.communicate()[0]
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_the_command_survives_a_signal(
    tiny_config: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """With a worker process: 12 epochs, a signal somewhere in the middle, and the same command again."""
    tiny_config.write_text(
        tiny_config.read_text().replace("batch_size: 16", "batch_size: 16\n  num_workers: 1")
    )
    slim = write_slim(tmp_path / "whole", 12, end_epoch=11, **SCHEME)
    subprocess.run(command(tiny_config, slim), check=True, capture_output=True)

    broken = command(tiny_config, write_slim(tmp_path / "broken", 12, end_epoch=11, **SCHEME))
    returncode, output = run_until(broken, tmp_path / "broken" / "3", number)
    assert returncode == code, output
    assert "Traceback" not in output
    subprocess.run(broken, check=True, capture_output=True)
    assert_equal_states(final_state(tmp_path / "whole"), final_state(tmp_path / "broken"))
