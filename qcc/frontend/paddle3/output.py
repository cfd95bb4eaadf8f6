"""The program of Paddle 2.6 that comes out, while it grows; at the end it becomes Paddle's message."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qcc.frontend.paddle3.program import DType
from qcc.frontend.paddle3.tables import LegacyOp, legacy_ops
from qcc.ir.dtypes import dtype_number
from qcc.ir.program import AttrProto, AttrType, BlockProto, OpProto, ProgramProto, VarTypeProto
from qcc.ir.text.attributes import make_attr

# Paddle 2.6's own number (`PADDLE_VERSION_INTEGER`).
_VERSION = 2006002
UNDEFINED = -1
"""The number of "no data type": as an attribute's value, that of the input."""

_FLOAT32_MAX = 3.4028234663852886e38
_INT32 = 1 << 31
_INT64 = 1 << 63


class Unsupported(Exception):
    """An op has no counterpart in Paddle 2.6; says why, and what to do where there is something.

    An op that 2.6 knows but that the file uses in a way it does not is one, too.
    """


@dataclass(frozen=True)
class Variable:
    """A declaration; `kind` is a name of `VarType.Type`."""

    dtype: str
    shape: tuple[int, ...]
    kind: str = "LOD_TENSOR"
    persistable: bool = False


@dataclass
class OutOp:
    """An op with all that differs from the defaults; `attrs` hold what `attribute` gives, `pointed` the
    variables that hold the value of an attribute, `block` the number of its inner block."""

    type: str
    inputs: dict[str, list[str]]
    outputs: dict[str, list[str]]
    attrs: dict[str, Any]
    scope: str
    block: int | None = None
    pointed: dict[str, list[str]] = field(default_factory=dict)

    def read(self) -> Iterator[str]:
        for names in (*self.inputs.values(), *self.pointed.values()):
            yield from names

    def written(self) -> Iterator[str]:
        for names in self.outputs.values():
            yield from names


@dataclass(eq=False)
class OutBlock:
    """A block under its number, and that of the block around it, -1 for none."""

    index: int
    parent: int
    ops: list[OutOp] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)


class Names:
    """Names that are not taken, the same ones for the same text: `conv2d_0.tmp_0`, as Paddle counts."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._counts: dict[str, int] = {}

    def stem(self, word: str) -> str:
        """`conv2d` -> `conv2d_3`, for the outputs of one op."""
        number = self._counts.get(word, 0)
        self._counts[word] = number + 1
        return f"{word}_{number}"

    def under(self, stem: str, number: int) -> str:
        name = f"{stem}.tmp_{number}"
        while name in self._taken:
            name = f"{name}_"
        self._taken.add(name)
        return name


def filled(
    op: str, declared: LegacyOp, attrs: Mapping[str, Any], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """The attributes as `attribute` makes them, and one that 2.6 wants although a tensor stands for it."""
    found = {
        name: attribute(op, name, declared.attrs[name][0], value)
        for name, value in attrs.items()
        if value is not None
    }
    for name, slot in _STANDS_FOR.get(op, ()):
        if slot in inputs and name not in found:
            found[name] = _ZEROS[declared.attrs[name][0]]
    return found


# Attributes without a default, and the inputs that stand for them.
_STANDS_FOR = {
    "clip": (("min", "Min"), ("max", "Max")),
    "pad3d": (("paddings", "Paddings"),),
}
_ZEROS: dict[str, Any] = {"FLOAT": 0.0, "INTS": []}


def check_slots(op: str, declared: LegacyOp, inputs: Mapping[str, Sequence[str]]) -> None:
    """Raises Unsupported for an input that 2.6 needs and that is absent, or for several where it takes
    one.
    """
    for slot in declared.inputs.values():
        count = len(inputs.get(slot.name, ()))
        if not count and not slot.optional:
            raise Unsupported(f"{op} of Paddle 2.6 needs the input {slot.name}")
        if count > 1 and not slot.several:
            raise Unsupported(f"{op} of Paddle 2.6 takes one tensor as {slot.name}")


def attribute(op: str, name: str, kind: str, value: Any) -> Any:
    """A value as an attribute of this type holds it.  Raises Unsupported for one that it cannot hold."""
    try:
        return _CONVERTERS[kind](value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise Unsupported(
            f"{name} = {str(value)[:40]} cannot be the attribute {name} ({kind}) of {op}"
        ) from error


def _int32(value: Any) -> int:
    number = _int64(value)
    if not -_INT32 <= number < _INT32:
        raise OverflowError(number)
    return number


def _int64(value: Any) -> int:
    if isinstance(value, DType):
        return dtype_value(value.name)
    number = int(value)
    if number != value or not -_INT64 <= number < _INT64:
        raise OverflowError(value)
    return number


def dtype_value(name: str) -> int:
    """Paddle's number of a data type; -1 for "Undefined(ALL_DTYPE)".  Raises ValueError for one that 2.6
    lacks.
    """
    if name.startswith("Undefined"):
        return UNDEFINED
    if name not in _DTYPES:
        raise ValueError(name)
    return int(dtype_number(name))


def check_dtype(name: str) -> None:
    """Raises Unsupported for a data type that 2.6 lacks."""
    if name not in _DTYPES:
        raise Unsupported(f"Paddle 2.6 has no data type {name}")


_DTYPES = {
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
    "complex64", "complex128",
}  # fmt: skip


def _float32(value: Any) -> float:
    """What overflows float32 is infinite in it."""
    number = float(value)
    return math.copysign(math.inf, number) if abs(number) > _FLOAT32_MAX else number


def _boolean(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _scalar(value: Any) -> Any:
    scalar = AttrProto().scalar
    if isinstance(value, bool):
        scalar.type, scalar.b = scalar.BOOLEAN, value
    elif isinstance(value, int):
        scalar.type, scalar.i = scalar.LONG, value
    else:
        scalar.type, scalar.r = scalar.FLOAT64, float(value)
    return scalar


def _list_of(convert: Any) -> Any:
    return lambda value: [convert(item) for item in (value if isinstance(value, list | tuple) else [value])]


def _one(convert: Any) -> Any:
    """Of a list with one element, that element."""
    return lambda value: convert(value[0] if isinstance(value, list | tuple) and len(value) == 1 else value)


_SINGLE = {
    "INT": _int32,
    "LONG": _int64,
    "FLOAT": _float32,
    "FLOAT64": float,
    "BOOLEAN": _boolean,
    "STRING": _string,
    "SCALAR": _scalar,
}
_CONVERTERS: dict[str, Any] = {
    **{kind: _one(convert) for kind, convert in _SINGLE.items()},
    **{f"{kind}S": _list_of(convert) for kind, convert in _SINGLE.items()},
}


def message(blocks: Sequence[OutBlock]) -> ProgramProto:
    """The program as Paddle's message; each op has all slots and all attributes, as one that Paddle built.

    Variables come sorted by name, as Paddle itself writes them.
    """
    program = ProgramProto()
    program.version.version = _VERSION
    for block in blocks:
        proto = program.blocks.add(idx=block.index, parent_idx=block.parent)
        _fill(proto, block)
    for name, declared in legacy_ops().items():
        if declared.version:
            program.op_version_map.pair.add(op_name=name).op_version.version = declared.version
    return program


def _fill(proto: BlockProto, block: OutBlock) -> None:
    for name in sorted(block.variables):
        _declare(proto, name, block.variables[name])
    for op in block.ops:
        _add(proto.ops.add(type=op.type), op, legacy_ops()[op.type])


def _declare(proto: BlockProto, name: str, variable: Variable) -> None:
    var = proto.vars.add(name=name, persistable=variable.persistable)
    var.type.type = VarTypeProto.Type.Value(variable.kind)
    fields = {"LOD_TENSOR": "lod_tensor", "LOD_TENSOR_ARRAY": "tensor_array"}
    if variable.kind in fields:
        described = getattr(var.type, fields[variable.kind])
        if not variable.persistable:  # Paddle says none of a parameter, nor do passes that replace it
            described.lod_level = 0
        described.tensor.data_type = dtype_value(variable.dtype)
        described.tensor.dims.extend(variable.shape)


def _add(proto: OpProto, op: OutOp, declared: LegacyOp) -> None:
    for slot in declared.inputs:
        proto.inputs.add(parameter=slot).arguments.extend(op.inputs.get(slot, ()))
    for slot in declared.outputs:
        proto.outputs.add(parameter=slot).arguments.extend(op.outputs.get(slot, ()))
    for name, (kind, default) in declared.attrs.items():
        if name in op.pointed:
            proto.attrs.add(name=name, type=AttrType.Value("VARS"), vars_name=op.pointed[name])
        elif name in op.attrs:
            _add_attr(proto, name, kind, op.attrs[name])
        elif default is not None:
            _add_attr(proto, name, kind, attribute(op.type, name, kind, default))
    if op.block is not None:
        _add_attr(proto, "sub_block", "BLOCK", op.block)
    _add_attr(proto, "op_device", "STRING", "")
    _add_attr(proto, "op_namescope", "STRING", op.scope)
    _add_attr(proto, "op_role", "INT", 0)
    _add_attr(proto, "op_role_var", "STRINGS", [])
    _add_attr(proto, "with_quant_attr", "BOOLEAN", False)


def _add_attr(proto: OpProto, name: str, kind: str, value: Any) -> None:
    proto.attrs.append(make_attr(name, AttrType.Value(kind), value))
