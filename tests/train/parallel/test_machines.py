"""Training on two machines under Paddle's launcher, with folders of their own."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import write_config, write_slim
from two_hosts import SECONDS, Host, missing, two_hosts

from qcc.train.loop.checkpoint import CheckpointStore, TrainingState
from qcc.train.programs.weights import read_arrays

pytestmark = pytest.mark.slow
STEPS = Path(__file__).parents[2] / "support/parallel_steps.py"
Hosts = tuple[Host, Host]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    if reason := missing():
        pytest.skip(reason)
    with two_hosts() as both:
        yield both


@pytest.fixture
def folders(tmp_path: Path, tiny_images: Path) -> tuple[Path, Path]:
    """One for each host, with a configuration that names no place outside of it but that of the images."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_config(tmp_path / name, tiny_images)
    command = tmp_path / "qcc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m qcc "$@"\n')
    command.chmod(0o755)
    return tmp_path / "first", tmp_path / "second"


def arguments(folder: Path, epochs: int, *more: str) -> list[str]:
    types = {"activation_quantize_type": "moving_average_abs_max"}
    slim = write_slim(folder / "run", epochs, start_epoch=1, end_epoch=epochs - 1, **types)
    return ["quantize", "-c", str(folder / "tiny.yml"), "-s", str(slim), *more]


def outputs(*launchers: subprocess.Popen[str]) -> tuple[str, ...]:
    return tuple(launcher.communicate(timeout=SECONDS)[0] for launcher in launchers)


def codes(*launchers: subprocess.Popen[str]) -> list[int]:
    return [launcher.returncode for launcher in launchers]


def newest(folder: Path) -> TrainingState:
    state = CheckpointStore(folder / "run").newest()
    assert state is not None
    return state


def check_equal(folder: Path, other: Path) -> None:
    """The newest states are equal, bit for bit."""
    one, two = newest(folder), newest(other)
    assert one.position == two.position
    assert one.arrays.keys() == two.arrays.keys()
    for name, array in one.arrays.items():
        assert array.tobytes() == two.arrays[name].tobytes(), name


def launch_both(
    hosts: Hosts, folders: tuple[Path, Path], tmp_path: Path, epochs: int
) -> list[subprocess.Popen[str]]:
    return [
        host.launch(folder, tmp_path / "qcc", arguments(folder, epochs))
        for host, folder in zip(hosts, folders, strict=True)
    ]


def train_on_one_machine(folder: Path, images: Path, epochs: int) -> None:
    folder.mkdir()
    write_config(folder, images)
    command = [sys.executable, "-m", "qcc", *arguments(folder, epochs), "--nproc", "2"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_two_machines_train_as_two_processes_of_one(
    hosts: Hosts, folders: tuple[Path, Path], tmp_path: Path, tiny_images: Path
) -> None:
    launchers = launch_both(hosts, folders, tmp_path, 3)
    first, second = outputs(*launchers)

    assert codes(*launchers) == [0, 0], first + second
    assert "epoch 2 done:" in first
    assert "epoch 2 done:" not in second
    assert {path.name for path in folders[1].iterdir()} == {"tiny.yml", "run.yaml", "log"}
    train_on_one_machine(tmp_path / "one", tiny_images, 3)
    check_equal(folders[0], tmp_path / "one")


def test_all_of_two_processes_on_each_hold_equal_weights(
    hosts: Hosts, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    launchers = [
        host.launch(
            folder,
            STEPS,
            [
                *(str(folder / "tiny.yml"), str(write_slim(folder / "run", 1)), str(tmp_path), "2"),
                "ClassifierTrainFeed.batch_size=8",
            ],
            processes=2,
        )
        for host, folder in zip(hosts, folders, strict=True)
    ]
    printed = outputs(*launchers)

    assert codes(*launchers) == [0, 0], printed
    for step in range(2):
        first, *others = [read_arrays(tmp_path / f"{rank}_{step}.npz") for rank in range(4)]
        for other in others:
            assert first.keys() == other.keys()
            assert all(array.tobytes() == other[name].tobytes() for name, array in first.items())


def test_a_killed_worker_ends_the_run_and_the_next_one_goes_on(
    hosts: Hosts, folders: tuple[Path, Path], tmp_path: Path, tiny_images: Path
) -> None:
    launchers = launch_both(hosts, folders, tmp_path, 1000)
    while not (folders[0] / "run/1/complete.json").exists():
        assert launchers[0].poll() is None, outputs(*launchers)
        time.sleep(0.02)
    hosts[1].kill_workers()
    first, second = outputs(*launchers)

    assert all(codes(*launchers))
    assert "process 0 of 2 cannot go on" in first
    assert "the output of that one, workerlog.N here or on 10.77.0.2, says why" in first
    assert "the last good checkpoint is" in first
    assert "log log/workerlog.0" in second  # by the launcher itself

    epochs = newest(folders[0]).position.epoch + 1
    assert not (folders[1] / "run").exists()
    launchers = launch_both(hosts, folders, tmp_path, epochs)
    first, second = outputs(*launchers)
    assert codes(*launchers) == [0, 0], first + second
    assert f"going on from {folders[0] / 'run'}" in first
    train_on_one_machine(tmp_path / "one", tiny_images, epochs)
    check_equal(folders[0], tmp_path / "one")


def test_machines_that_are_not_started_alike_do_not_train(
    hosts: Hosts, folders: tuple[Path, Path], tmp_path: Path, tiny_images: Path
) -> None:
    other_images = tmp_path / "images"
    shutil.copytree(tiny_images, other_images)
    labels = other_images / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(labels.read_bytes()))
    content[-1] += 1
    labels.write_bytes(gzip.compress(content))
    override, images = ["-o", "ClassifierTrainFeed.batch_size=8"], ["-d", str(other_images)]
    launchers = [
        hosts[0].launch(folders[0], tmp_path / "qcc", arguments(folders[0], 2)),
        hosts[1].launch(folders[1], tmp_path / "qcc", arguments(folders[1], 2, *override, *images)),
    ]
    printed = outputs(*launchers)

    assert codes(*launchers) == [2, 2], printed
    for told in printed:
        assert (
            "process 1 of 2 was not started as process 0 was: ClassifierTrainFeed.batch_size: 16 -> 8" in told
        )
        assert "training data.content: " in told
    assert not list((folders[0] / "run").glob("*/complete.json"))


def test_a_machine_that_the_others_know_by_its_inner_address(
    hosts: Hosts, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    launchers = [
        host.launch(folder, tmp_path / "qcc", arguments(folder, 2), told=told)
        for host, folder, told in zip(hosts, folders, (True, False), strict=True)
    ]
    printed = outputs(*launchers)

    assert codes(*launchers) == [2, 2], printed
    for told in printed:
        assert "where none but itself can reach it; start `paddle.distributed.launch` there" in told
