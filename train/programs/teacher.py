"""Where a distillation's teacher comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qcc.errors import ConfigError
from qcc.train.config import DistillationStrategy, load_config
from qcc.train.config.inputs import check_there, refuse_address
from qcc.train.models.network import Network
from qcc.train.programs.scope import Arrays
from qcc.train.programs.weights import fitting_weights, load_weights
from qcc.train.tasks.build import build_task

FirstWeights = Callable[[], tuple[Arrays, Path]]
"""The weights that training starts from, and the path that they come from."""


@dataclass(frozen=True)
class OwnNetwork:
    """The student: `network` starts from `first_weights`, and has their shapes where it was pruned;
    `configured` makes the network anew as the configuration describes it."""

    network: Network
    configured: Callable[[], Network]
    first_weights: FirstWeights


@dataclass(frozen=True)
class Teacher:
    """`network`, whose test program teaches, and what reads its weights.

    `trained`: whether these are the student's first weights, which may have to be trained yet.
    """

    network: Network
    read: FirstWeights
    trained: bool

    def weights(self) -> Arrays:
        """The test program's weights. Raises CheckpointError when they are those of another network."""
        weights, source = self.read()
        return fitting_weights(self.network, weights, source)


def find_teacher(strategy: DistillationStrategy, own: OwnNetwork) -> Teacher:
    """The teacher that a strategy names, by default the student's own float network; reads no weights.

    Raises ConfigError when there is no such configuration, it has no weights, or they are not there.
    """
    path, where = strategy.teacher_weights, strategy.where("teacher_weights")
    if strategy.teacher_config is not None:
        check_there(strategy.where("teacher_config"), strategy.teacher_config)
        config = load_config(strategy.teacher_config)
        if path is None:
            path, where = config.pretrain_weights, config.where("pretrain_weights")
        if path is None:
            raise ConfigError(
                f"{strategy.where('teacher_config')}: the teacher has no weights: give teacher_weights, or"
                f" pretrain_weights in {strategy.teacher_config}."
            )
        network = build_task(config).network()
    elif path is None:
        return Teacher(own.network, own.first_weights, trained=True)
    else:
        network = own.configured()
    source = path
    refuse_address(source, where)
    check_there(where, source)
    return Teacher(network, lambda: (load_weights(source), source), trained=False)
