"""`qcc quantize --nproc 2` from its start to its end, interrupted and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import write_config, write_slim
from tiny_detector import write_detector_config

from qcc.train.data.randomness import epoch_order
from qcc.train.loop.checkpoint import CheckpointStore, TrainingState

pytestmark = pytest.mark.slow
EPOCHS = 6
SCHEME = {"start_epoch": 1, "end_epoch": EPOCHS - 1, "activation_quantize_type": "moving_average_abs_max"}


def command(folder: Path, images: Path) -> list[str]:
    slim, config = write_slim(folder / "run", EPOCHS, **SCHEME), write_config(folder, images)
    return [sys.executable, "-m", "qcc", "quantize", "-c", str(config), "-s", str(slim), "--nproc", "2"]


def final_state(folder: Path) -> TrainingState:
    state = CheckpointStore(folder / "run").newest()
    assert state is not None
    assert state.position.epoch == EPOCHS
    return state


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path, tiny_images: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    done = subprocess.run(command(whole, tiny_images), capture_output=True, text=True, cwd=whole)
    assert done.returncode == 0, done.stderr

    with subprocess.Popen(
        command(parts, tiny_images), cwd=parts, stdout=subprocess.PIPE, text=True
    ) as process:
        while not (parts / "run/0/complete.json").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate()
    assert process.returncode == 130
    assert "stopped after batch" in printed or not (parts / "run/interrupted").exists()
    resumed = subprocess.run(command(parts, tiny_images), capture_output=True, text=True, cwd=parts)
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from" in resumed.stdout

    one, other = final_state(whole), final_state(parts)
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name
    assert [record["top1"] for record in one.history] == [record["top1"] for record in other.history]
    logs = {path.name for path in (parts / "output/log").iterdir()}
    assert logs == {"workerlog.1"}
    assert {path.name for path in parts.iterdir()} == {"run", "run.yaml", "tiny.yml", "output"}


def test_a_killed_process_loses_no_epoch(tmp_path: Path, tiny_images: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    assert subprocess.run(command(whole, tiny_images), capture_output=True, cwd=whole).returncode == 0

    with subprocess.Popen(
        command(parts, tiny_images), cwd=parts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (parts / "run/1/complete.json").exists():
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(second_process(process.pid), signal.SIGKILL)
        _, error = process.communicate()
    assert process.returncode == 2
    last = CheckpointStore(parts / "run").epochs()[-1]
    told = error.splitlines()[-1]
    assert told.startswith("qcc: error: process 1 of 2 was ended by SIGKILL")
    assert told.endswith(f"workerlog.1; the last good checkpoint is {parts / 'run' / str(last)}.")
    resumed = subprocess.run(command(parts, tiny_images), capture_output=True, text=True, cwd=parts)
    assert resumed.returncode == 0, resumed.stderr
    one, other = final_state(whole), final_state(parts)
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name


def test_bad_data_in_one_process_costs_no_step(tmp_path: Path) -> None:
    config, slim = write_detector_config(tmp_path), write_slim(tmp_path / "run", 1)
    # Process 1 takes the second half of each batch of 4, and no other image where none are blended.
    bad = tmp_path / f"data/JPEGImages/trainval_{epoch_order(5, 0, 14)[4 + 2]}.jpg"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-300])
    options = ["-o", "YoloTrainFeed.batch_size=2", "YoloTrainFeed.mixup_epoch=0"]
    words = ["quantize", "-c", str(config), "-s", str(slim), "--nproc", "2", *options]
    begin = [sys.executable, "-m", "qcc", *words]

    done = subprocess.run(begin, capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 2
    told = f"{done.stderr}{(tmp_path / 'output/log/workerlog.1').read_text()}"
    assert f"{bad} cannot be decoded" in told
    assert f"stopped after batch 1 of epoch 0; saved in {tmp_path}/run/float/interrupted, the" in done.stdout
    state = CheckpointStore(tmp_path / "run/float").newest()
    assert state is not None
    assert (state.position.epoch, state.position.batch) == (0, 1)
    bad.write_bytes(whole)
    done = subprocess.run(begin, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "epoch 0 (1 of 1), batch 2 of 3." in done.stdout


def second_process(launcher: int) -> int:
    """The process of rank 1 that a launcher has started."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    ranked = [
        pid for pid in children if b"PADDLE_TRAINER_ID=1\0" in Path(f"/proc/{pid}/environ").read_bytes()
    ]
    return int(ranked[0])
