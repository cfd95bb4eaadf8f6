"""Biases that Paddle's oneDNN passes do not take for biases where they have more than one dimension."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from lite_case import F, build_model, floats, static
from onnx_files import frozen, without_step

import qcc
from qcc._paddle import core, paddle
from qcc.backends import deploy
from qcc.model import Model

_OPTIMIZE = """
import sys
from paddle.inference import Config, create_predictor
config = Config(sys.argv[1] + "/model.pdmodel", sys.argv[1] + "/model.pdiparams")
config.enable_mkldnn()
config.enable_mkldnn_int8()
config.set_optim_cache_dir(sys.argv[2])
config.enable_save_optim_model(True)
create_predictor(config)
"""


def as_x2paddle_writes_it(x: Any) -> Any:
    """A convolution without a bias, and one that is added to the four dimensions of what it gives."""
    convolved = static.nn.conv2d(x, 8, 3, padding=1, bias_attr=False)
    return F.hardswish(convolved + paddle.assign(floats(1, 8, 1, 1)))


def given() -> tuple[Model, dict[str, np.ndarray]]:
    x = floats(1, 3, 8, 8)
    return frozen(build_model(as_x2paddle_writes_it, (x,)), {"x0": x}), {"x0": x}


def optimized(model: Path, place: Path) -> list[str]:
    """The ops that Paddle Inference makes of a model with oneDNN in int8."""
    place.mkdir()
    subprocess.run([sys.executable, "-c", _OPTIMIZE, model, place], check=True, capture_output=True)
    program = core.ProgramDesc((place / "_optimized.pdmodel").read_bytes())  # the block is its own
    block = program.block(0)
    return [block.op(number).type() for number in range(block.op_size())]


def test_the_bias_and_the_activation_go_into_the_convolution(tmp_path: Path) -> None:
    model, inputs = given()
    qcc.save(model, tmp_path / "with", target="paddle-x86", check=inputs)
    assert "elementwise_add" in "".join(op.type for op in qcc.load(tmp_path / "with").graph.ops)
    assert not [
        kind for kind in optimized(tmp_path / "with", tmp_path / "a") if "add" in kind or "swish" in kind
    ]


def test_neither_does_without_it(tmp_path: Path) -> None:
    model, inputs = given()
    deploy.save(
        model, tmp_path / "without", without_step("paddle-x86", "flat-biases"), None, None, None, inputs
    )
    kinds = "".join(optimized(tmp_path / "without", tmp_path / "b"))
    assert "elementwise_add" in kinds
    assert "hard_swish" in kinds
