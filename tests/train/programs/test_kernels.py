"""Which kernels programs run with, and how."""

from __future__ import annotations

from pathlib import Path

import nets
import pytest
from tiny_detector import write_detector_config

from qcc._paddle import paddle
from qcc.train.config.detection import DetectorConfig
from qcc.train.config.load import load_config
from qcc.train.programs.kernels import choose_kernels, running
from qcc.train.tasks.architectures import detector_network

SERIAL = "FLAGS_new_executor_serial_run"


@pytest.mark.parametrize("one_size", [True, False])
def test_convolutions_use_onednn_for_batches_of_one_size(one_size: bool) -> None:
    program = nets.build(nets.residual_net)["train"].to_program()
    choose_kernels(program, paddle.CPUPlace(), one_size=one_size)
    chosen = {
        op.type: op.attr("use_mkldnn") for op in program.global_block().ops if op.has_attr("use_mkldnn")
    }
    for kind in ("conv2d", "conv2d_grad", "relu", "relu_grad"):
        assert chosen[kind] == one_size
    assert not chosen["batch_norm"]


def test_what_another_op_may_write_over_is_not_read_by_onednn() -> None:
    program = paddle.static.Program()
    with paddle.static.program_guard(program):
        image = paddle.static.data("image", [-1, 4, 8, 8])
        added = paddle.static.nn.conv2d(image, 4, 3, padding=1) + 1.0
        waiting = added + paddle.static.nn.conv2d(added, 4, 3, padding=1)
        shown = paddle.nn.functional.relu(waiting)
        assert shown.shape == (waiting - 1.0).shape
    choose_kernels(program, paddle.CPUPlace())
    chosen = [(op.type, op.attr("use_mkldnn")) for op in program.global_block().ops if "2d" in op.type]
    assert chosen == [("conv2d", True), ("conv2d", True)]
    (relu,) = (op for op in program.global_block().ops if op.type == "relu")
    assert not relu.attr("use_mkldnn")


@pytest.mark.parametrize(("sizes", "one_size"), [("[32, 64]", False), ("[64]", True)])
def test_a_detector_trained_at_several_sizes_does_not(sizes: str, one_size: bool, tmp_path: Path) -> None:
    config = load_config(write_detector_config(tmp_path), [f"YoloTrainFeed.random_shapes={sizes}"])
    assert isinstance(config, DetectorConfig)
    assert detector_network(config).one_size == one_size


def test_a_cpu_runs_one_op_at_a_time() -> None:
    """Otherwise every thread keeps what it has run with oneDNN."""
    assert not paddle.get_flags([SERIAL])[SERIAL]
    with running(paddle.CPUPlace()):
        assert paddle.get_flags([SERIAL])[SERIAL]
    assert not paddle.get_flags([SERIAL])[SERIAL]
