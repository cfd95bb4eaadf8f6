"""A program: train a network with a dropout for some steps, as one of several processes, and write the state
after each with what the dropout made of ones.

parallel_dropouts.py FOLDER STEPS  writes FOLDER/RANK_STEP.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from qcc._paddle import paddle
from qcc.train.config.optimization import OptimizerBuilder
from qcc.train.config.schedule import Schedule
from qcc.train.loop.stepper import Stepper
from qcc.train.models.network import Network
from qcc.train.parallel.group import join
from qcc.train.programs.programs import TrainingPrograms
from qcc.train.programs.weights import initialise, save_arrays


def network() -> Network:
    train, startup = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(train, startup):
        image = paddle.static.data("image", [None, 16])
        dropped = paddle.nn.functional.dropout(image, 0.5)
        loss = paddle.mean(paddle.static.nn.fc(dropped, 2) ** 2)
    outputs = (dropped.name,)
    return Network(train, train, startup, ("image",), loss.name, outputs, ("image",), outputs)


def main(folder: str, steps: str) -> None:
    group, scope, optimizer = join(), paddle.static.Scope(), OptimizerBuilder()
    programs = TrainingPrograms(network(), optimizer, "", lambda _: None, optimizer, group.size)
    training = programs.plain()
    initialise(training.network, scope, 0)
    stepper = Stepper(training, scope, Schedule(0.1), group=group, seed=1)
    for step in range(int(steps)):
        done = stepper.step({"image": np.ones((8, 16), np.float32)}, step)
        save_arrays(
            Path(folder) / f"{group.rank}_{step}.npz", {**stepper.state(), "dropped": done.outputs[0]}
        )


if __name__ == "__main__":
    paddle.enable_static()
    main(*sys.argv[1:])
