"""Reading and writing the variables of a `paddle.static.Scope`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcc._paddle import VarType, core
from qcc.train.parallel.device import is_cpu

Arrays = dict[str, NDArray[Any]]
_CPU = core.CPUPlace()


def persistable_names(program: Any) -> list[str]:
    """Sorted names of what outlives a run: weights, statistics, optimizer and quantizer state."""
    return sorted(
        var.name for var in program.list_vars() if var.persistable and var.type == VarType.LOD_TENSOR
    )


def read_scope(scope: Any, names: list[str]) -> Arrays:
    """Copies of the named variables, which must have values."""
    return {name: np.array(scope.find_var(name).get_tensor()) for name in names}


def write_scope(scope: Any, arrays: Mapping[str, NDArray[Any]], device: Any = _CPU) -> None:
    """Set the named variables, creating those that are not there, in the memory of a device."""
    for name, array in arrays.items():
        scope.var(name).get_tensor().set(array, device)


def move_scope(scope: Any, program: Any, device: Any) -> None:
    """Move what outlives a run of `program` to a device, so that not every run copies it there."""
    if not is_cpu(device):
        write_scope(scope, read_scope(scope, persistable_names(program)), device)
