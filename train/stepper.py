"""Running a training program, one batch at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc._paddle import core, paddle
from qcc.errors import CheckpointError, TrainingError
from qcc.train.kernels import use_onednn
from qcc.train.schedule import Schedule
from qcc.train.scope import Arrays, persistable_names, read_scope, write_scope
from qcc.train.tasks.task import Feeds


class Stepper:
    """A training program with its scope. `program` is compiled at the first step and then belongs to this.

    `learning_rate`: name of the variable, float32 [1], that the optimizer reads; it is set before every step
    from `schedule`, so that the rate needs no state.
    """

    def __init__(
        self,
        program: Any,
        scope: Any,
        loss: str,
        outputs: tuple[str, ...],
        learning_rate: str,
        schedule: Schedule,
    ) -> None:
        self.scope = scope
        self._program = program
        self._fetches = [loss, *outputs]
        self._learning_rate = learning_rate
        self._schedule = schedule
        self._executor = paddle.static.Executor(core.CPUPlace())
        use_onednn(program)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self._schedule.rate(step)

    def step(self, feeds: Feeds, step: int) -> tuple[float, list[NDArray[Any]]]:
        """Train on one batch; returns its loss and the train outputs.

        Raises TrainingError when the loss is not finite.
        """
        write_scope(self.scope, {self._learning_rate: np.array([self.rate(step)], np.float32)})
        loss, *outputs = self._executor.run(
            self._program, feed=feeds, fetch_list=self._fetches, scope=self.scope
        )
        value = float(loss)
        if not math.isfinite(value):
            raise TrainingError(f"the loss of step {step} is {value}")
        return value, outputs

    def state(self) -> Arrays:
        """Copies of everything that the program keeps from step to step, the learning rate aside."""
        names = persistable_names(self._program)
        names.remove(self._learning_rate)
        return read_scope(self.scope, names)

    def set_state(self, arrays: Arrays) -> None:
        """Take over what `state` returned in an earlier run.

        Raises CheckpointError when it is the state of another network or quantization scheme.
        """
        present = self.state()
        other = sorted(present.keys() ^ arrays.keys()) or sorted(
            name for name in present if present[name].shape != arrays[name].shape
        )
        if other:
            raise CheckpointError(
                f"the checkpoint is that of another network or quantization scheme: {len(other)} variables"
                f" differ, the first is '{other[0]}'; choose another checkpoint_path to start anew."
            )
        write_scope(self.scope, arrays)
