"""Processes that train together hold equal values, and those of one process with the whole batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import write_config, write_slim

from qcc.train.parallel.launch import launch
from qcc.train.programs.scope import Arrays
from qcc.train.programs.weights import read_arrays

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parents[2] / "support"
PROGRAM = str(SUPPORT / "parallel_steps.py")
STEPS = 2


def command(config: Path, slim: Path, folder: Path, *overrides: str) -> list[str]:
    return [sys.executable, PROGRAM, str(config), str(slim), str(folder), str(STEPS), *overrides]


def together(folder: Path, config: Path, slim: Path, *overrides: str) -> list[tuple[Arrays, Arrays]]:
    """The state of both of two processes after each step."""
    assert launch(command(config, slim, folder, *overrides), 2, folder) == 0
    return [
        (read_arrays(folder / f"0_{step}.npz"), read_arrays(folder / f"1_{step}.npz"))
        for step in range(STEPS)
    ]


def alone(folder: Path, config: Path, slim: Path, *overrides: str) -> list[Arrays]:
    """The state of a process with the double batch after each step."""
    twice = command(config, slim, folder, *overrides, "ClassifierTrainFeed.batch_size=32")
    subprocess.run(twice, check=True)
    return [read_arrays(folder / f"0_{step}.npz") for step in range(STEPS)]


def test_quantized_training_keeps_everything_equal(tmp_path: Path, tiny_images: Path) -> None:
    slim = write_slim(tmp_path / "run", 1, activation_quantize_type="moving_average_abs_max")
    config = write_config(tmp_path, tiny_images)

    states = together(tmp_path / "together", config, slim, "OptimizerBuilder.clip_grad_by_norm=0.5")

    for first, second in states:
        assert first.keys() == second.keys()
        for name, array in first.items():
            assert array.tobytes() == second[name].tobytes(), name
    moved = [name for name, array in states[0][0].items() if (array != states[1][0][name]).any()]
    assert {"conv1_weights", "conv1_bn_mean", "image@scale"} <= set(moved)


def test_float_training_is_that_of_one_process_with_the_double_batch(
    tmp_path: Path, tiny_images: Path
) -> None:
    slim, config = (
        write_slim(tmp_path / "run", 2, start_epoch=1, end_epoch=1),
        write_config(tmp_path, tiny_images),
    )
    overrides = ("freeze_norm_epoch=0", "OptimizerBuilder.clip_grad_by_norm=0.5")

    states = together(tmp_path / "together", config, slim, *overrides)

    for (first, _), one in zip(states, alone(tmp_path / "alone", config, slim, *overrides), strict=True):
        assert first.keys() == one.keys()
        for name, array in first.items():
            np.testing.assert_allclose(array, one[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("activation", ["moving_average_abs_max", "range_abs_max"])
def test_quantizers_measure_what_one_process_would(
    tmp_path: Path, tiny_images: Path, activation: str
) -> None:
    slim = write_slim(tmp_path / "run", 1, activation_quantize_type=activation)
    config = write_config(tmp_path, tiny_images)

    states = together(tmp_path / "together", config, slim)

    for (first, _), one in zip(states, alone(tmp_path / "alone", config, slim), strict=True):
        names = [name for name in one if name.startswith("image@")]
        assert names
        for name in names:
            np.testing.assert_array_equal(first[name], one[name])


def test_dropouts_differ_between_processes_and_keep_the_rest_equal(tmp_path: Path) -> None:
    program = [sys.executable, str(SUPPORT / "parallel_dropouts.py")]
    for run in ("one", "again"):
        (tmp_path / run).mkdir()
        assert launch([*program, str(tmp_path / run), str(STEPS)], 2, tmp_path / run) == 0

    drawn = set()
    for step in range(STEPS):
        first, second = (read_arrays(tmp_path / "one" / f"{rank}_{step}.npz") for rank in range(2))
        again = [read_arrays(tmp_path / "again" / f"{rank}_{step}.npz") for rank in range(2)]
        for name, array in first.items():
            assert array.tobytes() == again[0][name].tobytes(), name
            assert second[name].tobytes() == again[1][name].tobytes(), name
            assert name == "dropped" or array.tobytes() == second[name].tobytes(), name
        drawn |= {first["dropped"].tobytes(), second["dropped"].tobytes()}
    assert len(drawn) == 2 * STEPS
