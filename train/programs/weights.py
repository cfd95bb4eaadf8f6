"""Float weights: their first values, and files of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qcc
from qcc._paddle import core, paddle, static_mode
from qcc.array_files import ArraysError, load_arrays, write_arrays
from qcc.errors import CheckpointError
from qcc.files import atomic_file
from qcc.inputs import open_input
from qcc.ir.dtypes import numpy_dtype
from qcc.model import Model
from qcc.quantization import state
from qcc.train.config.inputs import refuse_address
from qcc.train.models.initial import kaiming_normal
from qcc.train.models.network import Network
from qcc.train.programs.scope import Arrays, persistable_names, write_scope


def initialise(network: Network, scope: Any, seed: int) -> None:
    """Give every variable of the training program its first value; kernels and matrices from `seed`."""
    paddle.static.Executor(core.CPUPlace()).run(network.startup, scope=scope)
    for parameter in network.train.all_parameters():
        if len(parameter.shape) > 1:
            write_scope(scope, {parameter.name: kaiming_normal(seed, parameter.name, parameter.shape)})


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as an uncompressed .npz file, atomically and without pickle."""
    with atomic_file(path) as stream:
        write_arrays(stream, arrays)


def read_arrays(path: Path) -> Arrays:
    """Read an .npz file. Raises CheckpointError that names it when it is missing or damaged."""
    try:
        with open_input(path) as stream:
            loaded = load_arrays(stream)
            if isinstance(loaded, np.ndarray):
                raise CheckpointError(f"{path} is no .npz file: it holds one array without a name.")
            return dict(loaded)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except (OSError, ArraysError) as error:
        raise CheckpointError(f"{path} is no whole .npz file: {error}.") from error


def load_weights(path: Path) -> Arrays:
    """Weights from an .npz file, or from a Paddle model's folder or prefix in any layout that qcc loads.

    Raises ConfigError for the address of a web page, which PaddleDetection's configurations give, and
    CheckpointError for a model whose weights are rounded already.
    """
    refuse_address(path)
    if path.suffix == ".npz":
        return read_arrays(path)
    model = qcc.load(str(path))
    form = state(model.graph)
    if form not in ("float", "transformed"):
        raise CheckpointError(
            f"{path} is in the form {form}, whose weights are integers: give the float model that it was made"
            " of, or the eval_model of a checkpoint."
        )
    return dict(model.weights)


@static_mode()
def float_model(network: Network, weights: Mapping[str, NDArray[Any]], source: Path) -> Model:
    """The network's test program with these weights, which `put_weights` checks."""
    scope = paddle.static.Scope()
    put_weights(network, scope, weights, source)
    return qcc.from_program(network.test, scope, network.test_feeds, network.outputs, for_test=True)


def put_weights(network: Network, scope: Any, weights: Mapping[str, NDArray[Any]], source: Path) -> None:
    """Write the test program's weights into `scope`, as `fitting_weights` finds them."""
    write_scope(scope, fitting_weights(network, weights, source))


def fitting_weights(network: Network, weights: Mapping[str, NDArray[Any]], source: Path) -> Arrays:
    """The network's weights out of `weights`, of the dtypes that they have there: all of the test program,
    and what else the training program has and `weights` give, such as those of a loss. What `source` holds
    beyond them is left out.

    Raises CheckpointError when one is missing or has another shape, or a dtype that loses what it holds.
    """
    check_complete(network, weights, source)
    wanted = {
        var.name: var
        for program in (network.train, network.test)
        for var in program.list_vars()
        if var.persistable and var.name in weights
    }
    for name, var in sorted(wanted.items()):  # so that the same one is named, whatever order Paddle has
        if weights[name].shape != tuple(var.shape):
            raise CheckpointError(
                f"{source}: '{name}' has shape {list(weights[name].shape)} where the network has"
                f" {list(var.shape)}; it belongs to another network, or to one of another width or number"
                " of classes."
            )
        dtype = numpy_dtype(var.dtype)
        if not np.can_cast(weights[name].dtype, dtype, "same_kind"):
            raise CheckpointError(
                f"{source}: '{name}' is {weights[name].dtype} where the network has {dtype}; it belongs to"
                " another network."
            )
    return {name: weights[name].astype(numpy_dtype(var.dtype)) for name, var in wanted.items()}


def check_complete(network: Network, weights: Mapping[str, NDArray[Any]], source: Path) -> None:
    """Raise CheckpointError unless `weights` holds all weights of the test program."""
    names = persistable_names(network.test)
    missing = [name for name in names if name not in weights]
    if missing:
        raise CheckpointError(
            f"{source} lacks {len(missing)} of the network's {len(names)} weights, the first is"
            f" '{missing[0]}'; it belongs to another network."
        )


def put_known_weights(
    network: Network, scope: Any, weights: Mapping[str, NDArray[Any]], source: Path
) -> list[str]:
    """Write into `scope` those of `weights` that the test program has under the same name and shape.

    Returns the names of the program's weights that `source` does not give. Raises CheckpointError when it
    gives none at all.
    """
    known = known_weights(network, weights, source)
    write_scope(scope, known)
    return sorted(set(persistable_names(network.test)) - known.keys())


def known_weights(network: Network, weights: Mapping[str, NDArray[Any]], source: Path) -> Arrays:
    """Those of `weights` that the test program has under the same name and shape, as float32.

    Raises CheckpointError when there is none.
    """
    shapes = {var.name: tuple(var.shape) for var in network.test.list_vars() if var.persistable}
    known = {
        name: array.astype(np.float32) for name, array in weights.items() if array.shape == shapes.get(name)
    }
    if not known:
        raise CheckpointError(f"{source} holds none of the network's weights; it belongs to another network.")
    return known
