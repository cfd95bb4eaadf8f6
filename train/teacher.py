"""Where a distillation's teacher comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qcc.errors import ConfigError
from qcc.train.config import DistillationStrategy, load_config
from qcc.train.distillation import Teacher
from qcc.train.models.network import Network
from qcc.train.scope import Arrays
from qcc.train.tasks.build import build_task
from qcc.train.weights import fitting_weights, load_weights

FirstWeights = Callable[[], tuple[Arrays, Path]]
"""The weights that training starts from, and the path that they come from."""


@dataclass(frozen=True)
class OwnNetwork:
    """The student: `network` starts from `first_weights`, and has their shapes where it was pruned;
    `configured` makes the network anew as the configuration describes it."""

    network: Network
    configured: Callable[[], Network]
    first_weights: FirstWeights


def load_teacher(strategy: DistillationStrategy, own: OwnNetwork) -> Teacher:
    """The teacher that a strategy names, by default the student's own float network.

    Raises ConfigError when it has no weights, CheckpointError when they are those of another network.
    """
    path = strategy.teacher_weights
    if strategy.teacher_config is not None:
        config = load_config(strategy.teacher_config)
        network, path = build_task(config).network(), path or config.pretrain_weights
        if path is None:
            raise ConfigError(
                f"the teacher has no weights: give teacher_weights, or pretrain_weights in"
                f" {strategy.teacher_config}."
            )
    else:
        network = own.network if path is None else own.configured()
    weights, source = own.first_weights() if path is None else (load_weights(path), path)
    return Teacher(network.test, fitting_weights(network, weights, source))
