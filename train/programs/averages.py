"""An exponential moving average of the weights, which is evaluated and saved in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qcc.train.programs.scope import Arrays, read_scope

_PREFIX = "ema/"


class Averages:
    """Averages of named float32 variables of a scope, by default of none.

    Each step moves them by the share 1 - d towards the present values, d = min(`decay`, (1 + step) /
    (10 + step)): values from long ago fade out by themselves, and the first ones sooner, as with the
    `ema_decay` of PaddleDetection.
    """

    def __init__(self, names: Sequence[str] = (), decay: float = 0.0) -> None:
        self._names = list(names)
        self._decay = decay
        self._arrays: Arrays = {}

    def start(self, scope: Any) -> None:
        """Begin with the values of now."""
        self._arrays = read_scope(scope, self._names)

    def update(self, scope: Any, step: int) -> None:
        """Take in the values after step number `step`, counted from 0."""
        share = np.float32(1 - min(self._decay, (1 + step) / (10 + step)))
        for name, array in self._arrays.items():
            array += share * (np.asarray(scope.find_var(name).get_tensor()) - array)

    def values(self) -> Arrays:
        """The averages, by the names of the variables; copies."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def resume(self, values: Arrays) -> None:
        """Go on from earlier `values`, as far as there are any."""
        self._arrays |= {name: values[name] for name in self._names if name in values}


def with_averages(state: Arrays, averages: Averages) -> Arrays:
    """A training state that holds the averages, too."""
    return state | {_PREFIX + name: array for name, array in averages.values().items()}


def split_averages(state: Arrays) -> tuple[Arrays, Arrays]:
    """What `with_averages` has put together."""
    rest = {name: array for name, array in state.items() if not name.startswith(_PREFIX)}
    averages = {name.removeprefix(_PREFIX): state[name] for name in state.keys() - rest.keys()}
    return rest, averages
