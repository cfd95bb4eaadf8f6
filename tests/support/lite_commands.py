"""A small model, and qcc's commands on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from lite_case import F, build_model, conv, floats
from lite_nets import frozen

from qcc._paddle import paddle
from qcc.cli.main import cli
from qcc.errors import (
    QccError,
)
from qcc.model import Model


def small(
    activation_type: str = "moving_average_abs_max", weight_type: str = "abs_max"
) -> tuple[Model, dict[str, np.ndarray]]:
    """Two convolutions and a classifier, frozen."""

    def build(x: object) -> object:
        y = conv(8, 1)(F.relu(conv(8, 3, padding=1)(x)))
        return paddle.nn.Linear(8, 3)(paddle.flatten(F.adaptive_avg_pool2d(y, 1), 1))

    inputs = {"x0": floats(2, 4, 8, 8)}
    return frozen(build_model(build, tuple(inputs.values())), inputs, weight_type, activation_type), inputs


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=True)


def outcome(*arguments: str | Path) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def refusal(*arguments: str | Path) -> str:
    """The sentence with which a command line is refused."""
    result = invoke(*arguments)
    assert isinstance(result.exception, QccError), result.output
    return str(result.exception)
