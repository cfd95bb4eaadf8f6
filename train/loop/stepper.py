"""Running a training program, one batch at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc._paddle import paddle
from qcc.errors import CheckpointError, TrainingError
from qcc.failures import PADDLE_FAILURES, reason
from qcc.train.config.schedule import Schedule
from qcc.train.parallel.collectives import share_state
from qcc.train.parallel.group import ALONE, Group
from qcc.train.programs.averages import Averages, split_averages, with_averages
from qcc.train.programs.distillation import TEACHER_PREFIX
from qcc.train.programs.drawing import drawing
from qcc.train.programs.kernels import choose_kernels, running
from qcc.train.programs.optimizer import OPTIMIZER_PREFIX
from qcc.train.programs.programs import TrainingProgram
from qcc.train.programs.scope import Arrays, move_scope, persistable_names, read_scope, write_scope
from qcc.train.tasks.task import Feeds


@dataclass(frozen=True)
class Step:
    """What a batch has given: `loss`, what it is made of by name, and the network's train outputs."""

    loss: float
    parts: dict[str, float]
    outputs: list[NDArray[Any]]


class Stepper:
    """A training program with its scope. The program is compiled at the first step and then belongs to this.
    Every variable must have a value by now.

    The learning rate is set before every step from `schedule`, so that it needs no state. `averages` take in
    what every step leaves in the scope, and are part of the state. After every step, all variables have the
    same values in every process of `group`. What a step draws, such as a dropout, depends on `seed`, its
    number and the process alone, so that a run that goes on draws the same.
    """

    def __init__(
        self,
        training: TrainingProgram,
        scope: Any,
        schedule: Schedule,
        averages: Averages | None = None,
        group: Group = ALONE,
        seed: int = 0,
    ) -> None:
        network = training.network
        self.scope = scope
        self.program = network.train
        self._parts = list(training.parts)
        self._fetches = [network.loss, *training.parts.values(), *network.train_outputs]
        self._learning_rate = training.learning_rate
        self._schedule = schedule
        self._averages = averages or Averages()
        self._group = group
        self._seed = seed
        self._device = group.device
        self._executor = paddle.static.Executor(self._device)
        if group.size > 1:
            share_state(self.program, group.size)
        choose_kernels(self.program, self._device, one_size=network.one_size)
        move_scope(scope, self.program, self._device)

    def follow(self, schedule: Schedule) -> None:
        """Take the learning rates of `schedule` from now on."""
        self._schedule = schedule

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self._schedule.rate(step)

    def step(self, feeds: Feeds, step: int) -> Step:
        """Train on one batch. Raises TrainingError when Paddle does not compute it, such as for a label that
        is no class, and when the loss is not finite."""
        rate = np.array([self.rate(step)], np.float32)
        write_scope(self.scope, {self._learning_rate: rate}, self._device)
        try:
            with self._group.exchange(), running(self._device), drawing(self._seed, step, self._group.rank):
                loss, *others = self._executor.run(
                    self.program, feed=feeds, fetch_list=self._fetches, scope=self.scope
                )
        except PADDLE_FAILURES as error:
            raise TrainingError(f"Paddle cannot compute step {step}: {reason(error)}") from error
        count = len(self._parts)
        # The means over all processes, so that a loss that is not finite ends all of them.
        value, *parts = self._group.mean([one.item() for one in (loss, *others[:count])])
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss of step {step} is {value}; the learning rate was {self.rate(step):g}"
            )
        self._averages.update(self.scope, step)
        return Step(value, dict(zip(self._parts, parts, strict=True)), others[count:])

    def check_finite(self, step: int) -> None:
        """Raise TrainingError when a variable is not finite after `step`; relus can hide it from the loss."""
        arrays = self._variables()
        broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if broken:
            raise TrainingError(
                f"{len(broken)} of {len(arrays)} variables are not finite any more, though the loss is, the"
                f" first is '{broken[0]}'; the learning rate was {self.rate(step):g}"
            )

    def state(self) -> Arrays:
        """Copies of everything that changes from step to step, the learning rate aside."""
        return with_averages(self._variables(), self._averages)

    def set_state(self, arrays: Arrays) -> None:
        """Take over what `state` returned in an earlier run, which may have kept no averages.

        Raises CheckpointError when it is the state of another network, quantization scheme or optimizer.
        """
        arrays, averages = split_averages(arrays)
        present = self._variables()
        other = sorted(present.keys() ^ arrays.keys()) or sorted(
            name for name in present if present[name].shape != arrays[name].shape
        )
        if other:
            of_optimizer = all(name.startswith(OPTIMIZER_PREFIX) for name in other)
            what = "optimizer" if of_optimizer else "network or quantization scheme"
            raise CheckpointError(
                f"the checkpoint is that of another {what}: {len(other)} variables differ, the first is"
                f" '{other[0]}'; train on with that {what}, or start anew in another folder."
            )
        write_scope(self.scope, arrays, self._device)
        self._averages.start(self.scope)
        self._averages.resume(averages)

    def _variables(self) -> Arrays:
        names = [name for name in persistable_names(self.program) if not name.startswith(TEACHER_PREFIX)]
        names.remove(self._learning_rate)
        return read_scope(self.scope, names)
