"""Refusing to train when the processes were not started alike, as can happen on several machines.

Every process must call these at the same place. All raise the same error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import qcc
from qcc._paddle import paddle
from qcc.errors import ConfigError
from qcc.train.loop.differences import changed_settings
from qcc.train.parallel.group import Group
from qcc.train.programs.scope import Arrays

# Where things lie, and how many help to read them, is a machine's own affair.
OWN = frozenset(
    {
        "backbone_weights",
        "checkpoint_path",
        "dataset_dir",
        "float_model_save_path",
        "init_model",
        "int8_model_save_path",
        "mobile_model_save_path",
        "num_workers",
        "pretrain_weights",
        "save_dir",
        "teacher_config",
        "teacher_weights",
        "weights",
    }
)
_MOST_TOLD = 3


def check_settings(group: Group, settings: dict[str, Any], facts: Callable[[], dict[str, Any]]) -> None:
    """Raise ConfigError when a process has other settings, facts of its task (which tell of the training
    data, too) or versions of qcc and Paddle than process 0."""
    if group.size > 1:
        versions = {"qcc": qcc.__version__, "Paddle": paddle.__version__}
        told = _without_own({**facts(), **settings, "versions": versions})
        _check(group, told, "all need the same settings, training data and versions")


def check_weights(group: Group, arrays: Arrays) -> None:
    """Raise ConfigError when a process starts from other values than process 0."""
    if group.size > 1:
        digests = {name: hashlib.sha256(array.tobytes()).hexdigest()[:8] for name, array in arrays.items()}
        _check(group, {"values": digests}, "all need to start from the same weights")


def _without_own(settings: Any) -> Any:
    """`settings` with only whether there is a value under the keys that are a machine's own."""
    if isinstance(settings, dict):
        return {key: _given(value) if key in OWN else _without_own(value) for key, value in settings.items()}
    return [_without_own(value) for value in settings] if isinstance(settings, list) else settings


def _given(value: Any) -> str | None:
    return None if value is None else "given"


def _check(group: Group, facts: dict[str, Any], need: str) -> None:
    mine = json.dumps(facts)
    lines = changed_settings(json.loads(group.share(mine.encode())), json.loads(mine))
    told = "; ".join(lines[:_MOST_TOLD])
    if len(lines) > _MOST_TOLD:
        told += f"; and {len(lines) - _MOST_TOLD} more"
    for rank in range(1, group.size):
        if difference := group.share(told.encode(), source=rank).decode():
            raise ConfigError(
                f"process {rank} of {group.size} was not started as process 0 was: {difference}; {need}."
            )
