"""What a model of one operator is built from: variables, weights, inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from saved_models import MAJOR

import qcc
from qcc._paddle import paddle

F = paddle.nn.functional
static = paddle.static
paddle.enable_static()

# Cases that Paddle 3 builds no program of the old IR for, or another one.
_BARE = "appends the op to programs of the new IR alone"
_NOT_OF_PADDLE_3 = {
    "bilinear by a fraction": "takes that op's scale as the later op's",
    "expm1": _BARE,
    "fold": _BARE,
    "fold, overlapping": _BARE,
    "frobenius_norm": "builds paddle.norm from other ops",
    "lerp": _BARE,
    "nearest, by a factor of Paddle 1": "takes that op's scale as the later op's",
    "polygon_box_transform": "has no op polygon_box_transform",
    "soft_relu": "has no op soft_relu",
    "fro": "builds paddle.norm from other ops",
    "multiclass_nms2": "has no op multiclass_nms2",
    "normalize": "does not append the ops of normalize to programs of the old IR",
}


def skipped_on_paddle_3(name: str) -> bool:
    return MAJOR >= 3 and name in _NOT_OF_PADDLE_3


def by_name(names: Iterable[str]) -> list[Any]:
    """Parameters of a test: those that Paddle 3 does not build are skipped there."""
    return [
        pytest.param(name, marks=pytest.mark.skip(f"Paddle 3 {_NOT_OF_PADDLE_3[name]}"))
        if skipped_on_paddle_3(name)
        else name
        for name in names
    ]


@dataclass(frozen=True)
class Case:
    """A model: its inputs (the arrays that it is fed) and the function that builds it from variables."""

    name: str
    inputs: tuple[np.ndarray, ...]
    build: Callable[..., Any]
    exact: bool = False

    def feed(self) -> dict[str, np.ndarray]:
        """The arrays by the names under which they are fed."""
        return {f"x{index}": array for index, array in enumerate(self.inputs)}

    def model(self) -> qcc.Model:
        """The model, with weights drawn from a fixed seed."""
        if skipped_on_paddle_3(self.name):
            pytest.skip(f"Paddle 3 {_NOT_OF_PADDLE_3[self.name]}")
        return build_model(self.build, self.inputs)


def build_model(
    build: Callable[..., Any],
    inputs: Sequence[np.ndarray],
    seed: int = 7,
    batch: int = -1,
    *,
    any_size: bool = False,
) -> qcc.Model:
    """A test-mode model of what `build` makes of static variables like `inputs`; the batch is free, or so
    large, and with `any_size` height and width are free, too."""
    main, startup = static.Program(), static.Program()
    startup.random_seed = main.random_seed = seed
    with static.program_guard(main, startup), paddle.utils.unique_name.guard():
        variables = [
            static.data(
                f"x{index}",
                [batch, *array.shape[1:2], -1, -1] if any_size else [batch, *array.shape[1:]],
                str(array.dtype),
            )
            for index, array in enumerate(inputs)
        ]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The Attr.force_cpu. of Op")
            warnings.filterwarnings("ignore", message="When training, we now always track")
            outputs = build(*variables)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    scope = static.Scope()
    static.Executor(paddle.CPUPlace()).run(startup, scope=scope)
    scatter_weights(main, scope, seed)
    feeds = [variable.name for variable in variables]
    fetches = [output.name for output in outputs]
    return qcc.from_program(main.clone(for_test=True), scope, feeds, fetches, for_test=True)


def scatter_weights(program: Any, scope: Any, seed: int) -> None:
    """Give norms and biases values as after training, where they start as zeros and ones."""
    rng = np.random.default_rng(seed)
    for variable in program.list_vars():
        if not variable.persistable or variable.dtype != paddle.float32:
            continue
        tensor = scope.find_var(variable.name).get_tensor()
        value = np.array(tensor)
        if value.ndim == 1 and np.ptp(value) == 0:
            low, high = (0.5, 1.5) if value[0] == 1 else (-0.5, 0.5)
            tensor.set(rng.uniform(low, high, value.shape).astype(np.float32), paddle.CPUPlace())


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def floats(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return generator().uniform(low, high, shape).astype(np.float32)


def ints(*shape: int, low: int = 0, high: int = 10, dtype: str = "int64") -> np.ndarray:
    return generator().integers(low, high, shape).astype(dtype)


def append_op(
    op_type: str, inputs: dict[str, Any], outputs: dict[str, str], attrs: dict[str, Any]
) -> list[Any]:
    """An op that Paddle's Python functions do not make; outputs are slot -> dtype."""
    from paddle.base.layer_helper import LayerHelper

    helper = LayerHelper(op_type)
    made = {slot: helper.create_variable_for_type_inference(dtype) for slot, dtype in outputs.items()}
    helper.append_op(
        type=op_type,
        inputs={slot: value if isinstance(value, list) else [value] for slot, value in inputs.items()},
        outputs={slot: [variable] for slot, variable in made.items()},
        attrs=attrs,
    )
    return list(made.values())


def conv(channels: int, size: int, **options: Any) -> Callable[[Any], Any]:
    return lambda x: static.nn.conv2d(x, channels, size, **options)


OUT = {"Out": "float32"}
IMAGE = floats(2, 4, 9, 10)
MATRIX = floats(3, 8)


def slopes() -> Any:
    """What draws the slopes of a prelu, each another one."""
    return paddle.nn.initializer.Uniform(0.1, 0.4)


def parameter(*shape: int) -> Any:
    uniform = paddle.nn.initializer.Uniform(-1.0, 1.0)
    return paddle.create_parameter(list(shape), "float32", default_initializer=uniform)
