"""The training program of each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import qcc
from qcc.train.config.optimization import OptimizerBuilder
from qcc.train.config.slim import Distillation
from qcc.train.models.network import Network
from qcc.train.programs.distillation import add_distillation, teacher_values
from qcc.train.programs.optimizer import add_optimizer, restart_optimizer
from qcc.train.programs.scope import write_scope
from qcc.train.programs.teacher import Teacher


@dataclass(frozen=True)
class Stage:
    """What the training program of an epoch depends on. `distiller_optimizer`: whether its optimizer is that
    of DistillerOptimizer."""

    quantized: bool = False
    distillation: Distillation | None = None
    norms_frozen: bool = False
    distiller_optimizer: bool = False


@dataclass(frozen=True)
class TrainingProgram:
    """`network.train` with gradients and updates, and `network.startup`, which also gives a first value to
    the optimizer's state; `learning_rate`: name of its variable; `parts`: names of what the loss is made of,
    by what people call it."""

    network: Network
    learning_rate: str
    parts: Mapping[str, str] = field(default_factory=dict)


class TrainingPrograms:
    """Makes the training program of a stage from a network that has no backward part.

    All stages keep the same state from step to step, but for that of the quantizers, and of the optimizer
    where `distiller_optimizer` is of another kind. `pipeline`: inserts quantization.
    """

    def __init__(
        self,
        network: Network,
        optimizer: OptimizerBuilder,
        pipeline: str,
        teacher: Callable[[Distillation], Teacher],
        distiller_optimizer: OptimizerBuilder,
        processes: int = 1,
    ) -> None:
        self._network = network
        self._optimizers = {False: optimizer, True: distiller_optimizer}
        self._pipeline = pipeline
        self._teacher = teacher
        self._processes = processes

    def plain(self) -> TrainingProgram:
        """The program that trains in float."""
        return self._with_optimizer(self._copy(), Stage(), {})

    def check(self, distillation: Distillation) -> None:
        """Raise what `build` would, for the teacher and the feature maps of `distillation`.

        Of weights, only those that a file holds already are looked at.
        """
        teacher = self._teacher(distillation)
        add_distillation(self._copy(), teacher.network.test, distillation.distillers)
        if not teacher.trained:
            teacher.weights()

    def build(self, stage: Stage, scope: Any, before: Stage) -> TrainingProgram:
        """The program of `stage`, which comes after `before`.

        What `scope` lacks for it, quantizers and teacher, is put there; another optimizer starts anew.
        """
        network, parts = self._copy(), {}
        if stage.norms_frozen:
            _freeze_norms(network.train)
        if stage.distillation is not None:
            teacher = self._teacher(stage.distillation)
            distillers = stage.distillation.distillers
            network, parts["distillation"] = add_distillation(network, teacher.network.test, distillers)
            write_scope(scope, teacher_values(network.train, teacher.weights()))
        built = self._with_optimizer(network, stage, parts)
        if stage.distiller_optimizer != before.distiller_optimizer:
            restart_optimizer(built.network, scope)
        return self._quantized(built, scope) if stage.quantized else built

    def _copy(self) -> Network:
        network = self._network
        return replace(network, train=network.train.clone(), startup=network.startup.clone())

    def _with_optimizer(self, network: Network, stage: Stage, parts: Mapping[str, str]) -> TrainingProgram:
        optimizer = self._optimizers[stage.distiller_optimizer]
        return TrainingProgram(network, add_optimizer(network, optimizer, self._processes), parts)

    def _quantized(self, built: TrainingProgram, scope: Any) -> TrainingProgram:
        network = built.network
        fetches = [network.loss, *network.train_outputs, *built.parts.values()]
        model = qcc.from_program(network.train, scope, network.train_feeds, fetches, for_test=False)
        transformed = qcc.PassManager.parse(self._pipeline).run(model)
        transformed.write_weights(scope, overwrite=False)
        return replace(built, network=replace(network, train=transformed.to_program()))


def _freeze_norms(program: Any) -> None:
    """Let batch norms use their moving statistics, and leave them as they are."""
    for op in program.global_block().ops:
        if op.type == "batch_norm":
            op._set_attr("use_global_stats", True)
