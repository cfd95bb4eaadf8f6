"""Made-up inputs on which a model can be run, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qcc.backends.engines.failures import PADDLE_FAILURES, reason
from qcc.errors import GraphError
from qcc.ir.dtypes import numpy_dtype
from qcc.ir.nodes import Var
from qcc.model import Model

# Height and width of images whose size the model leaves open, and other open lengths: small is fast,
# but strides and anchors may want more. All are multiples of 32 as detectors want them.
_SIZES = (64, 320, 224)
_SEED = 0


@dataclass(frozen=True)
class Sample:
    """Inputs of a model, and the arrays that `Model.run` fetches for them."""

    inputs: Mapping[str, np.ndarray]
    outputs: list[np.ndarray]


def find_sample(model: Model) -> Sample:
    """Inputs that the model runs on: noise for images, ones for identifiers and counts.

    Raises GraphError with Paddle's reason when it runs on none that were tried.
    """
    failure = ""
    for size in _SIZES:
        inputs = make_inputs(model, size)
        try:
            return Sample(inputs, model.run(inputs))
        except PADDLE_FAILURES as error:
            failure = reason(error)
    shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in inputs.items())
    raise GraphError(f"the model does not run on made-up inputs ({shapes} and smaller): {failure}")


def make_inputs(model: Model, size: int) -> dict[str, np.ndarray]:
    """One array per feed, with a batch of 1 and `size` for other open sizes."""
    variables = {name: model.graph.versions(name)[0] for name in model.feeds}
    shapes = {name: _shape(var, size) for name, var in variables.items()}
    image = next((shape[2:] for shape in shapes.values() if len(shape) == 4), (size, size))
    return {name: _values(var, shapes[name], image) for name, var in variables.items()}


def _shape(var: Var, size: int) -> tuple[int, ...]:
    shape = list(var.shape)
    if shape and shape[0] < 0:
        shape[0] = 1
    if len(shape) == 4 and shape[1] < 0:
        shape[1] = 3
    return tuple(size if length < 0 else length for length in shape)


def _values(var: Var, shape: tuple[int, ...], image: tuple[int, ...]) -> np.ndarray:
    dtype = numpy_dtype(var.dtype)
    name = var.name.lower()
    if len(shape) == 2 and shape[1] in (2, 3) and any(part in name for part in ("im_", "size", "shape")):
        # Height and width of the image, then a scale: what detectors ask for.
        return np.array([[*image, 1][: shape[1]]] * shape[0], dtype)
    if dtype.kind != "f" or "scale" in name:
        return np.ones(shape, dtype)
    return np.random.default_rng(_SEED).standard_normal(shape).astype(dtype)
