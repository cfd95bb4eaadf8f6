"""The training program of a quantized student that is to compute what its own float model does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qcc._paddle import paddle, static_mode
from qcc.backends.heads import ValuesOf, with_small_parts
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.train.config.optimization import Adam, OptimizerBuilder
from qcc.train.models.network import Network, is_one_size
from qcc.train.programs.appending import appending
from qcc.train.programs.distillation import TEACHER_PREFIX, append_teacher
from qcc.train.programs.learnable import learnable, scales_of
from qcc.train.programs.optimizer import add_optimizer
from qcc.train.programs.programs import TrainingProgram
from qcc.train.programs.relative import UNIT, step_in_units
from qcc.train.programs.scope import Arrays, write_scope
from qcc.train.programs.trainable import (
    Reach,
    as_training_graph,
    make_parameters,
    reach,
    spread_over,
    weights_and_units,
)

INNER = 3
"""How many inner layers are compared with the teacher's."""
_TINY = 1e-12
_SCALES_FASTER = 10.0
"""How much further than a weight a scale of activations moves in a step, relative to its value."""


@dataclass(frozen=True)
class Student:
    """`teacher`: a float test model without norms to fold; `start`: the same transformed, with the scales
    that calibration has chosen, from which training starts."""

    teacher: Model
    start: Model

    @property
    def has_one_size(self) -> bool:
        """Whether a sample is of one size, whatever the data."""
        graph = self.teacher.graph
        return is_one_size(graph.versions(name)[0].shape for name in graph.feeds)

    def lesson(self) -> Lesson:
        """What can be trained, and by what. Raises ModelFormatError when nothing can."""
        graph = as_training_graph(self.teacher.graph)
        scales = scales_of(self.start.graph)
        units = weights_and_units(graph, {name: float(scale[0]) for name, (_, scale) in scales.items()})
        reached = reach(graph, units)
        units |= {weight: scale * np.float32(_SCALES_FASTER) for weight, scale in scales.values()}
        first = {weight: float(scale[0]) for weight, scale in scales.values()}
        return Lesson(learnable(as_training_graph(self.start.graph)), units, first, reached)


@dataclass(frozen=True)
class Lesson:
    """`graph`: the student's, ready for a backward pass; `units`: of what is trained, by name, `scales` among
    it, which have their first values; see `weights_and_units` and `Reach`."""

    graph: Graph
    units: Arrays
    scales: Mapping[str, float]
    reach: Reach

    def with_parts(self, teacher: Graph, run: ValuesOf) -> Lesson:
        """The same, with those parts of its ends among these that are small beside the rest, by what `run`
        gives for names: of boxes in pixels and scores that one output holds, the squares of the boxes would
        be all of the loss."""
        reached = self.reach
        if not reached.parts:
            return self
        found = with_small_parts(teacher, reached.ends, run)
        ends = tuple(name for name in found if name in reached.ends or name in reached.parts)
        return replace(self, reach=replace(reached, ends=ends))

    @property
    def inner(self) -> tuple[str, ...]:
        """The inner layers that are compared."""
        found = tuple(name for name in self.reach.inner if name not in self.reach.ends)
        return tuple(dict.fromkeys(spread_over(found, INNER)))


@static_mode()
def training_program(student: Student, lesson: Lesson, scope: Any) -> TrainingProgram:
    """The program, with everything that it keeps in `scope`.

    The loss is the mean relative error of the ends, and that of the inner layers, added; see
    `relative_error`. Steps are measured in units of each weight: with a learning rate of 1, a step of Adam
    would move a weight by the largest one of its channel, whatever their size is.

    Scales of activations are learned as in LSQ (Esser et al. 2020, arXiv:1902.08153).
    """
    trained = tuple(lesson.units)
    program, startup = lesson.graph.to_program(), paddle.static.Program()
    make_parameters(program, trained)
    block, compared = program.global_block(), (*lesson.reach.ends, *lesson.inner)
    append_teacher(block, student.teacher.to_program().global_block(), compared, student.teacher.feeds)
    with appending(program, startup, "imitation/"):
        parts = {"outputs": _mean_error(block, lesson.reach.ends)}
        if lesson.inner:
            parts["inner"] = _mean_error(block, lesson.inner)
        loss = paddle.add_n(list(parts.values()))
    network = Network(
        train=program,
        test=None,
        startup=startup,
        train_feeds=student.teacher.feeds,
        loss=loss.name,
        train_outputs=(parts["outputs"].name,),
        test_feeds=student.teacher.feeds,
        outputs=student.teacher.fetches,
        one_size=student.has_one_size,
    )
    learning_rate = add_optimizer(network, OptimizerBuilder(optimizer=Adam(type="Adam")))
    step_in_units(program, lesson.units, lesson.scales)
    weights = student.teacher.weights.items()
    write_scope(scope, {TEACHER_PREFIX + name: value for name, value in weights})
    write_scope(scope, dict(lesson.graph.weights.items()))
    write_scope(scope, {name + UNIT: value for name, value in lesson.units.items()})
    paddle.static.Executor(paddle.CPUPlace()).run(startup, scope=scope)
    return TrainingProgram(network, learning_rate, {name: var.name for name, var in parts.items()})


# ---------------------------------------------------------------------- the loss


def _mean_error(block: Any, names: Sequence[str]) -> Any:
    errors = [relative_error(block.var(name), block.var(TEACHER_PREFIX + name)) for name in names]
    return paddle.add_n(errors) / float(len(errors))


def relative_error(student: Any, teacher: Any) -> Any:
    """Sum of the squared differences over the sum of the squares of `teacher`, in percent, float32 []: the
    inverse of the signal-to-noise ratio, which is the same for outputs of any size and number."""
    noise, signal = paddle.mean(paddle.square(student - teacher)), paddle.mean(paddle.square(teacher))
    return noise / (signal + _TINY) * 100.0
