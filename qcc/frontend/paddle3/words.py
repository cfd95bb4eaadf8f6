"""The words of a file's attributes and types, each turned into what it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qcc.frontend.paddle3.program import Attr, DType, Opaque, OtherType, Tensor, TensorArray, Type, Vector

DIALECTS = {"0": "builtin", "1": "pd_op", "2": "cf", "3": "custom_op", "4": "dist"}
"""Numbers that stand for the sets of ops in front of a name: `1.conv2d` is pd_op.conv2d."""

DTYPES = {
    "t_bool": "bool",
    "t_ui8": "uint8",
    "t_i8": "int8",
    "t_i16": "int16",
    "t_i32": "int32",
    "t_i64": "int64",
    "t_f16": "float16",
    "t_bf16": "bfloat16",
    "t_f32": "float32",
    "t_f64": "float64",
    "t_c64": "complex64",
    "t_c128": "complex128",
    "t_f8e4m3fn": "float8_e4m3fn",
    "t_f8e5m2": "float8_e5m2",
}
# JSON has no numbers for these: they stand under a key of their own, `{"#": "0.a_f64", "VD": "-INF"}`.
_NOT_FINITE = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}
# A tensor of more dimensions has no kernel in any Paddle.
MAX_RANK = 64
_INT64 = 1 << 63


class WordError(Exception):
    """Something is not what it must be; says what."""


def full_name(word: object) -> str:
    """`1.conv2d` -> `pd_op.conv2d`.  Raises WordError."""
    if not isinstance(word, str):
        raise WordError(f"has {shown(word)} where a name must be")
    number, dot, rest = word.partition(".")
    return f"{DIALECTS[number]}.{rest}" if dot and number in DIALECTS else word


def shown(thing: object) -> str:
    """A thing from a file, cut to what fits into a message."""
    text = repr(thing)
    return text if len(text) <= 60 else f"{text[:57]}..."


def integer(thing: object) -> int:
    if not isinstance(thing, int) or isinstance(thing, bool) or not -_INT64 <= thing < 2 * _INT64:
        raise WordError(f"has {shown(thing)} where an integer must be")
    return thing


def items(thing: object) -> list[Any]:
    if not isinstance(thing, list):
        raise WordError(f"has {shown(thing)} where a list must be")
    return thing


def record(thing: object) -> dict[str, Any]:
    if not isinstance(thing, dict):
        raise WordError(f"has {shown(thing)} where an object must be")
    return thing


def text(thing: object) -> str:
    if not isinstance(thing, str):
        raise WordError(f"has {shown(thing)} where a text must be")
    return thing


def flag(thing: object) -> bool:
    """Parameters say 0 and 1, attributes false and true."""
    if thing not in (0, 1):
        raise WordError(f"has {shown(thing)} where true or false must be")
    return bool(thing)


def _real(thing: object) -> float:
    if isinstance(thing, str) and thing.lower() in _NOT_FINITE:
        return _NOT_FINITE[thing.lower()]
    if isinstance(thing, bool) or not isinstance(thing, int | float):
        raise WordError(f"has {shown(thing)} where a number must be")
    return float(thing)


def _complex(thing: object) -> complex:
    parts = items(thing)
    if len(parts) != 2:
        raise WordError(f"has {shown(thing)} where a complex number must be")
    return complex(_real(parts[0]), _real(parts[1]))


def _scalar(thing: object) -> Attr:
    """[dtype, value]: its value, whatever width it has."""
    pair = items(thing)
    if len(pair) != 2 or not isinstance(pair[1], bool | int | float | str):
        raise WordError(f"has {shown(thing)} where a scalar must be")
    return pair[1] if isinstance(pair[1], bool | int) else _real(pair[1])


_ATTRS: dict[str, Callable[[object], Attr]] = {
    "builtin.a_bool": flag,
    "builtin.a_i32": integer,
    "builtin.a_i64": integer,
    "builtin.a_index": integer,
    "builtin.a_f32": _real,
    "builtin.a_f64": _real,
    "builtin.a_str": text,
    "builtin.a_tensorname": text,
    "builtin.a_c64": _complex,
    "builtin.a_c128": _complex,
    "builtin.a_array": lambda thing: [attr_of(item) for item in items(thing)],
    "pd_op.a_intarray": lambda thing: [integer(item) for item in items(thing)],
    "pd_op.a_dtype": lambda thing: DType(text(thing)),
    "pd_op.a_layout": text,
    "pd_op.a_scalar": _scalar,
}


def attr_of(word: object) -> Attr:
    """The value of an attribute, `{"#": "0.a_i32", "D": 1}`.

    The width of numbers is left out: it changes from one version of Paddle to the next.  Raises WordError.
    """
    fields = record(word)
    kind = full_name(fields.get("#"))
    read = _ATTRS.get(kind)
    return Opaque(kind) if read is None else read(fields.get("D", fields.get("VD")))


def type_of(word: object) -> Type | None:
    """The type of a value; None for that of an absent result.  Raises WordError."""
    fields = record(word)
    kind = full_name(fields.get("#"))
    if kind == "NULL":
        return None
    if kind == "builtin.t_dtensor":
        return _tensor(fields.get("D"))
    if kind == "builtin.t_vec":
        elements = [type_of(item) for item in items(fields.get("D"))]
        return Vector(tuple(element for element in elements if element is not None))
    if kind in ("pd_op.t_dense_tensor_array", "pd_op.t_dtensor_array"):
        element = _tensor(fields.get("D"))
        return TensorArray(element.dtype, element.shape)
    return OtherType(kind)


def _tensor(content: object) -> Tensor:
    parts = items(content)
    if len(parts) < 2:
        raise WordError(f"has {shown(content)} where dtype and shape of a tensor must be")
    kind = full_name(record(parts[0]).get("#")).rpartition(".")[2]
    shape = tuple(integer(size) for size in items(parts[1]))
    # Any negative size is open: Paddle multiplies -1, too.
    shape = tuple(max(size, -1) for size in shape)
    if len(shape) > MAX_RANK or any(size >= _INT64 for size in shape):
        raise WordError(f"has a tensor of shape {shown(list(shape))}")
    return Tensor(DTYPES.get(kind, kind), shape)
