"""Programs in half floats: of a network that was moved to float16, or of mixed precision."""

from __future__ import annotations

from dataclasses import replace

from qcc.frontend.paddle3.program import (
    Attr,
    Block,
    DType,
    Op,
    Program,
    Tensor,
    TensorArray,
    Type,
    Value,
    Vector,
)

_HALF = ("float16", "bfloat16")
_WHOLE = "float32"


def widened(program: Program) -> Program:
    """The program with float32 in the place of float16 and bfloat16, parameters, feeds and fetches included.

    Every half float is a float32, so that weights stay what they are; what is computed is no longer rounded
    to half. A cast between the two is one to the same type, which its rule leaves out.

        %2 = cast(%1: float16, dtype=float32)  ->  %2 = cast(%1: float32, dtype=float32)
    """
    parameters = [replace(one, value=_value(one.value)) for one in program.parameters]
    return Program(program.version, parameters, _block(program.block))


def _block(block: Block) -> Block:
    return Block(tuple(map(_value, block.arguments)), [_op(op) for op in block.ops])


def _op(op: Op) -> Op:
    return replace(
        op,
        results=tuple(map(_value, op.results)),
        attrs={name: _attr(value) for name, value in op.attrs.items()},
        blocks=tuple(map(_block, op.blocks)),
    )


def _value(value: Value) -> Value:
    return value if value.type is None else replace(value, type=_type(value.type))


def _type(kind: Type) -> Type:
    if isinstance(kind, Vector):
        return Vector(tuple(map(_type, kind.elements)))
    if isinstance(kind, Tensor | TensorArray) and kind.dtype in _HALF:
        return replace(kind, dtype=_WHOLE)
    return kind


def _attr(value: Attr) -> Attr:
    if isinstance(value, list):
        return [_attr(item) for item in value]
    return DType(_WHOLE) if isinstance(value, DType) and value.name in _HALF else value
