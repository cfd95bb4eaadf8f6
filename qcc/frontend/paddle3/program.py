"""A program of Paddle 3 as its file says it: ops, the values between them, and nested blocks.

Paddle's own word for this form is PIR. A value is named by a number, which holds for the whole file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Tensor:
    """The type of a dense tensor: a dtype by qcc's name, or Paddle's where qcc has none, and sizes, -1 for
    any.
    """

    dtype: str
    shape: tuple[int, ...]

    def with_dtype(self, dtype: str) -> Tensor:
        return Tensor(dtype, self.shape)


@dataclass(frozen=True)
class Vector:
    """The type of several values that go as one: what `builtin.combine` makes."""

    elements: tuple[Type, ...]


@dataclass(frozen=True)
class TensorArray:
    """The type of an array that grows (`TensorArray`); dtype and shape are those of its elements."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class OtherType:
    """A type that no rule knows."""

    name: str


Type: TypeAlias = "Tensor | Vector | TensorArray | OtherType"


@dataclass(frozen=True)
class DType:
    """A data type as the value of an attribute, in Paddle's words: "float32", "Undefined(ALL_DTYPE)"."""

    name: str


@dataclass(frozen=True)
class Opaque:
    """An attribute of a kind that qcc knows nothing of, or that says nothing (a place)."""

    kind: str


Attr: TypeAlias = "bool | int | float | complex | str | DType | Opaque | list[Attr]"


@dataclass(frozen=True)
class Value:
    """What an op gives, or a block is given; `type` is None where an optional result is absent."""

    id: int
    type: Type | None


@dataclass(frozen=True)
class Op:
    """An op with its operands in the order of their definition in Paddle, 0 for an absent one.

    `number` counts the ops of a file from 0 on in the text's order.
    """

    name: str
    number: int
    operands: tuple[int, ...]
    results: tuple[Value, ...]
    attrs: dict[str, Attr]
    blocks: tuple[Block, ...] = ()

    @property
    def scope(self) -> str:
        """The layer that made it, `/MobileNetV3/ConvBNLayer/Conv2D/`; "/" where the file does not say."""
        scope = self.attrs.get("struct_name")
        return scope if isinstance(scope, str) and scope else "/"


@dataclass(frozen=True)
class Parameter:
    """A variable with a name. Only what is persistable has a value in the file of parameters."""

    name: str
    value: Value
    persistable: bool


@dataclass
class Block:
    arguments: tuple[Value, ...] = ()
    ops: list[Op] = field(default_factory=list)


@dataclass
class Program:
    """`version` counts the changes of Paddle's form of files: 1 in Paddle 3.0, 4 in 3.3."""

    version: int
    parameters: list[Parameter]
    block: Block

    def ops(self) -> Iterator[Op]:
        """All ops, those of inner blocks behind the op that has them."""
        stack = [iter(self.block.ops)]
        while stack:
            op = next(stack[-1], None)
            if op is None:
                stack.pop()
                continue
            yield op
            stack.extend(iter(block.ops) for block in reversed(op.blocks))
