"""A program: train some steps, alone or as one of several processes, and write the state after each.

parallel_steps.py CONFIG SLIM FOLDER STEPS [KEY=VALUE ...]  writes FOLDER/RANK_STEP.npz
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

from rich.console import Console

from qcc._paddle import paddle
from qcc.train.config import load_config, load_slim
from qcc.train.parallel.group import join
from qcc.train.programs.scope import Arrays, persistable_names, read_scope
from qcc.train.programs.weights import initialise, save_arrays
from qcc.train.quantize import QuantizationPhase
from qcc.train.tasks.build import build_task


def main(config_path: str, slim_path: str, folder: str, steps: str, *overrides: str) -> None:
    config, slim = load_config(Path(config_path), overrides), load_slim(Path(slim_path))
    task = build_task(config, group=join(config.use_gpu))

    def first_weights() -> tuple[Arrays, Path]:
        network, scope = task.network(), paddle.static.Scope()
        initialise(network, scope, config.seed)
        return read_scope(scope, persistable_names(network.test)), Path("first values")

    phase = QuantizationPhase(task, config, slim, first_weights, Console())
    phase.start(None)
    stepper = phase.begin_epoch(0)
    for step, feeds in enumerate(islice(task.train_batches(0, 0), int(steps))):
        stepper.step(feeds, step)
        save_arrays(Path(folder) / f"{task.group.rank}_{step}.npz", stepper.state())


if __name__ == "__main__":
    paddle.enable_static()
    main(*sys.argv[1:])
