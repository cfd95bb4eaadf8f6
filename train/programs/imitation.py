"""The training program of a quantized student that is to compute what its own float model does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import qcc
from qcc._paddle import paddle, static_mode
from qcc.ir.graph import Graph
from qcc.model import Model
from qcc.passes.base import Pass
from qcc.train.config.optimization import Adam, OptimizerBuilder
from qcc.train.models.network import Network
from qcc.train.programs.distillation import TEACHER_PREFIX, append_teacher
from qcc.train.programs.optimizer import add_optimizer
from qcc.train.programs.programs import TrainingProgram
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
_UNIT = "@unit"


@dataclass(frozen=True)
class Student:
    """What is to be trained: `model`, a float test model without norms to fold; `quantize`, the pass that
    inserts quantization, and the `scales` of its activations by their names."""

    model: Model
    quantize: Pass
    scales: Mapping[str, float]

    def lesson(self) -> Lesson:
        """What can be trained, and by what. Raises ModelFormatError when nothing can."""
        graph = as_training_graph(self.model.graph)
        units = weights_and_units(graph, self.scales)
        return Lesson(graph, units, reach(graph, units))


@dataclass(frozen=True)
class Lesson:
    """`graph`: the student's, ready for a backward pass; `units`: of what is trained, by name; see
    `weights_and_units` and `Reach`."""

    graph: Graph
    units: Arrays
    reach: Reach

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

    Activation scales stay as they are: they were chosen by the error that they cause.
    """
    trained = tuple(lesson.units)
    program, startup = lesson.graph.to_program(), paddle.static.Program()
    make_parameters(program, trained)
    block, compared = program.global_block(), (*lesson.reach.ends, *lesson.inner)
    append_teacher(block, student.model.to_program().global_block(), compared, student.model.feeds)
    with (
        paddle.static.program_guard(program, startup),
        paddle.utils.unique_name.guard("imitation/"),
    ):
        parts = {"outputs": _mean_error(block, lesson.reach.ends)}
        if lesson.inner:
            parts["inner"] = _mean_error(block, lesson.inner)
        loss = paddle.add_n(list(parts.values()))
    network = Network(
        train=program,
        test=None,
        startup=startup,
        train_feeds=student.model.feeds,
        loss=loss.name,
        train_outputs=(parts["outputs"].name,),
        test_feeds=student.model.feeds,
        outputs=student.model.fetches,
    )
    learning_rate = add_optimizer(network, OptimizerBuilder(optimizer=Adam(type="Adam")))
    _step_in_units(program, lesson.units)
    weights = dict(student.model.weights)
    write_scope(scope, weights | {TEACHER_PREFIX + name: value for name, value in weights.items()})
    write_scope(scope, {name + _UNIT: value for name, value in lesson.units.items()})
    paddle.static.Executor(paddle.CPUPlace()).run(startup, scope=scope)
    names = {name: var.name for name, var in parts.items()}
    quantized = _quantized(student, program, scope, (loss.name, *names.values()))
    return TrainingProgram(Network(**{**vars(network), "train": quantized}), learning_rate, names)


def _quantized(student: Student, program: Any, scope: Any, fetches: Sequence[str]) -> Any:
    """The program with quantization in the student, whose activation scales are fixed."""
    model = qcc.from_program(program, scope, student.model.feeds, fetches, for_test=False)
    graph = qcc.PassManager((student.quantize,)).run(model)
    for op in graph.graph.ops:
        if op.type == "fake_quantize_moving_average_abs_max":
            graph.graph.set_flag(op, "is_test", True)
            scale = np.full(1, student.scales[op.input("X").name], np.float32)
            graph.weights[op.input("InScale").name] = scale
    graph.write_weights(scope, overwrite=False)
    return graph.to_program()


# ---------------------------------------------------------------------- the loss


def _mean_error(block: Any, names: Sequence[str]) -> Any:
    errors = [relative_error(block.var(name), block.var(TEACHER_PREFIX + name)) for name in names]
    return paddle.add_n(errors) / float(len(errors))


def relative_error(student: Any, teacher: Any) -> Any:
    """Sum of the squared differences over the sum of the squares of `teacher`, in percent, float32 []: the
    inverse of the signal-to-noise ratio, which is the same for outputs of any size and number."""
    noise, signal = paddle.mean(paddle.square(student - teacher)), paddle.mean(paddle.square(teacher))
    return noise / (signal + _TINY) * 100.0


# ---------------------------------------------------------------------- the steps


def _step_in_units(program: Any, units: Mapping[str, np.ndarray]) -> None:
    """Multiply what the optimizer changes a parameter by with its unit:

    w' = adam(w)  ->  before = w;  w' = adam(w);  w = before + (w' - before) * w@unit
    """
    block = program.global_block()
    with program._optimized_guard([]):
        for index in reversed(range(len(block.ops))):
            op = block.ops[index]
            if op.type != "adam":
                continue
            (name,) = op.input("Param")
            weight, unit = block.var(name), units[name]
            kept, moved = (
                block.create_var(name=f"{name}{suffix}", shape=weight.shape, dtype=weight.dtype)
                for suffix in ("@before", "@moved")
            )
            scale = block.create_var(
                name=name + _UNIT, shape=unit.shape, dtype=weight.dtype, persistable=True, stop_gradient=True
            )
            for kind, x, y, out in reversed(
                [
                    ("elementwise_sub", weight, kept, moved),
                    ("elementwise_mul", moved, scale, moved),
                    ("elementwise_add", kept, moved, weight),
                ]
            ):
                block._insert_op(index + 1, type=kind, inputs={"X": x, "Y": y}, outputs={"Out": out})
            block._insert_op(index, type="assign", inputs={"X": weight}, outputs={"Out": kept})
