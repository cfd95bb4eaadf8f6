"""Functions that in Paddle 3 no longer build programs of the old IR, for the networks of the tests.

They are C++ functions there, which take values of the new IR alone. `restore` lets them do again what they do
in Paddle 2.6 with a variable of a `paddle.static.Program`: append an op.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial, wraps
from types import BuiltinFunctionType
from typing import Any

from qcc._paddle import MAJOR, LayerHelper, paddle

Build = Callable[..., Any]

_UNARY = (
    *("abs", "ceil", "cos", "exp", "floor", "log", "log10", "log1p", "log2", "logical_not", "round", "rsqrt"),
    *("sigmoid", "sign", "sin", "sqrt", "tanh", "isfinite", "isinf", "isnan"),
)
_BINARY = {
    "maximum": "elementwise_max",
    "minimum": "elementwise_min",
    "multiply": "elementwise_mul",
    "greater_than": "greater_than",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
    "bmm": "bmm",
    "dot": "dot",
}
_REDUCING = ("all", "amax", "amin", "any", "max", "min", "sum")
_TRUTHS = ("all", "any", "greater_than", "logical_and", "logical_not", "logical_or", "logical_xor")


def restore() -> None:
    """Put functions that append ops in the places of those that do not, wherever Paddle keeps them."""
    if MAJOR < 3:
        return
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "paddle"]
    for name, build in _builders().items():
        original = getattr(paddle._C_ops, name)
        if not isinstance(original, BuiltinFunctionType):  # it is restored already
            return
        replacement = _either(original, build)
        for home in (*modules, paddle.static.Variable):
            if vars(home).get(name) is original:
                setattr(home, name, replacement)


def _builders() -> dict[str, Build]:
    return {
        **{name: partial(_unary, name) for name in _UNARY},
        **{name: partial(_binary, kind) for name, kind in _BINARY.items()},
        **{name: partial(_reduce, f"reduce_{name}") for name in _REDUCING},
        "argmax": partial(_arg, "arg_max"),
        "argmin": partial(_arg, "arg_min"),
        "expand_as": _expand_as,
        "gelu": _gelu,
        "grid_sample": _grid_sample,
        "matmul": _matmul,
        "roll": _roll,
        "softplus": _softplus,
        "tril": partial(_triangle, True),
        "triu": partial(_triangle, False),
    }


def _either(original: Any, build: Build) -> Build:
    @wraps(original, assigned=("__name__", "__doc__"))
    def function(x: Any, *args: Any, **options: Any) -> Any:
        # In dynamic mode Paddle calls its eager tensors variables as well.
        if not paddle.in_dynamic_mode() and isinstance(x, paddle.static.Variable):
            return build(x, *args, **options)
        return original(x, *args, **options)

    return function


def _append(kind: str, inputs: dict[str, Any], result: Any = None, slot: str = "Out", /, **attrs: Any) -> Any:
    """`result`: the output's dtype; by default that of the input."""
    helper = LayerHelper(kind)
    out = helper.create_variable_for_type_inference(dtype=result or inputs["X"].dtype)
    helper.append_op(type=kind, inputs=inputs, outputs={slot: out}, attrs=attrs)
    return out


def _unary(kind: str, x: Any, name: str | None = None) -> Any:
    if kind.startswith("is"):
        return _append(f"{kind}_v2", {"X": x}, "bool")
    return _append(kind, {"X": x}, "bool" if kind in _TRUTHS else None)


def _binary(kind: str, x: Any, y: Any, name: str | None = None) -> Any:
    return _append(kind, {"X": x, "Y": y}, "bool" if kind in _TRUTHS else None)


def _reduce(kind: str, x: Any, axis: Any = None, *_: Any, keepdim: bool = False) -> Any:
    axes = [] if axis is None else [axis] if isinstance(axis, int) else list(axis)
    attrs = {"dim": axes or [0], "keep_dim": keepdim, "reduce_all": len(axes) in (0, len(x.shape))}
    return _append(kind, {"X": x}, "bool" if kind.removeprefix("reduce_") in _TRUTHS else None, **attrs)


def _arg(kind: str, x: Any, axis: int | None = None, keepdim: bool = False, dtype: str = "int64") -> Any:
    number = paddle.base.framework.convert_np_dtype_to_dtype_(dtype)
    attrs = {"keepdims": keepdim, "axis": axis or 0, "flatten": axis is None, "dtype": number}
    return _append(kind, {"X": x}, dtype, **attrs)


def _matmul(x: Any, y: Any, transpose_x: bool = False, transpose_y: bool = False) -> Any:
    return _append("matmul_v2", {"X": x, "Y": y}, trans_x=transpose_x, trans_y=transpose_y)


def _expand_as(x: Any, y: Any) -> Any:
    return _append("expand_as_v2", {"X": x, "Y": y}, target_shape=y.shape)


def _gelu(x: Any, approximate: bool = False) -> Any:
    return _append("gelu", {"X": x}, approximate=approximate)


def _grid_sample(
    x: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = True
) -> Any:
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    return _append("grid_sampler", {"X": x, "Grid": grid}, None, "Output", **attrs)


def _roll(x: Any, shifts: Any, axis: Any = None) -> Any:
    lists = (value if isinstance(value, list) else [value] for value in (shifts, axis))
    return _append("roll", {"X": x}, **dict(zip(("shifts", "axis"), lists, strict=True)))


def _softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
    return _append("softplus", {"X": x}, beta=beta, threshold=threshold)


def _triangle(lower: bool, x: Any, diagonal: int = 0) -> Any:
    return _append("tril_triu", {"X": x}, diagonal=diagonal, lower=lower)
