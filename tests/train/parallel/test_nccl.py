"""Processes with a GPU each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gpus import needs_cuda_build, needs_gpus
from tiny import write_config, write_slim

from qcc.train.parallel.environment import Place
from qcc.train.parallel.launch import launch
from qcc.train.parallel.nccl import communicator_program
from qcc.train.programs.weights import read_arrays

PROGRAM = str(Path(__file__).parents[2] / "support/parallel_steps.py")


@needs_cuda_build
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fleet_makes_the_communicator_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(1, 2, ("127.0.0.1:6170", "127.0.0.1:6171"))
    for name, value in place.variables().items():
        monkeypatch.setenv(name, value)

    ops = communicator_program().global_block().ops

    (made,) = (op for op in ops if op.type == "c_comm_init")
    assert [made.attr(name) for name in ("ring_id", "nranks", "rank")] == [0, 2, 1]
    assert "c_gen_nccl_id" in [op.type for op in ops]


@needs_gpus(2)
def test_two_gpus_hold_equal_values_after_every_step(tmp_path: Path, tiny_images: Path) -> None:
    slim = write_slim(tmp_path / "run", 1, activation_quantize_type="moving_average_abs_max")
    config = write_config(tmp_path, tiny_images)

    command = [sys.executable, PROGRAM, str(config), str(slim), str(tmp_path), "2", "use_gpu=true"]
    assert launch(command, 2, tmp_path) == 0

    for step in range(2):
        first, second = (read_arrays(tmp_path / f"{rank}_{step}.npz") for rank in range(2))
        assert first.keys() == second.keys()
        assert [name for name, array in first.items() if array.tobytes() != second[name].tobytes()] == []
