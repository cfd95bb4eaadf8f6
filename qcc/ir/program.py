"""Paddle's program message (`framework.proto`): what surrounds the ops of the main block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from qcc._paddle import core
from qcc.ir.framework import (
    AttrProto,
    AttrType,
    BlockProto,
    OpProto,
    ProgramProto,
    TensorProto,
    VarProto,
    VarTypeProto,
)
from qcc.ir.nodes import EMPTY_NAME

__all__ = [
    "PLAIN_ATTR_FIELDS",
    "AttrProto",
    "AttrType",
    "BlockProto",
    "DecodeError",
    "OpProto",
    "ProgramProto",
    "Shell",
    "TensorProto",
    "VarProto",
    "VarTypeProto",
    "drop_attr",
    "message_of",
    "pointed_names",
    "runtime_defaults",
]

CALL_STACK = "op_callstack"

# Numbers of their own, since the enumeration looks each up by its name.
_VAR, _VARS = int(AttrType.VAR), int(AttrType.VARS)

PLAIN_ATTR_FIELDS = {
    AttrType.INT: "i",
    AttrType.FLOAT: "f",
    AttrType.STRING: "s",
    AttrType.INTS: "ints",
    AttrType.FLOATS: "floats",
    AttrType.STRINGS: "strings",
    AttrType.BOOLEAN: "b",
    AttrType.BOOLEANS: "bools",
    AttrType.LONG: "l",
    AttrType.LONGS: "longs",
    AttrType.FLOAT64: "float64",
    AttrType.FLOAT64S: "float64s",
}
"""The field of an attribute's message that holds a value of each type of numbers and strings."""


@dataclass(frozen=True)
class Shell:
    """A program without the ops and variables of its main block.

    `version` is Paddle's own program version; `blocks` are the serialized further blocks;
    `op_versions` is the serialized `OpVersionMap` that a saved program carries; `stored_attrs` are
    the (op type, attribute) pairs of `runtime_defaults` that stood in the file.
    """

    version: int
    blocks: tuple[bytes, ...] = ()
    op_versions: bytes = b""
    stored_attrs: frozenset[tuple[str, str]] = frozenset()

    @staticmethod
    def of(desc: core.ProgramDesc, op_versions: bytes = b"") -> Shell:
        blocks = []
        for index in range(1, desc.num_blocks()):
            block = BlockProto.FromString(desc.block(index).serialize_to_string())
            for op in block.ops:
                drop_attr(op, CALL_STACK)
            blocks.append(block.SerializeToString())
        return Shell(desc._version(), tuple(blocks), op_versions)

    def names_read_in_blocks(self) -> list[str]:
        """Names that ops of the further blocks read; some are variables of the main block."""
        names: dict[str, None] = {}
        for op in self._inner_ops():
            for slot in op.inputs:
                names.update(dict.fromkeys(slot.arguments))
        return list(names)

    def names_in_blocks(self) -> set[str]:
        """Names that ops of the further blocks read or write."""
        written = (name for op in self._inner_ops() for slot in op.outputs for name in slot.arguments)
        return {*self.names_read_in_blocks(), *written}

    def _inner_ops(self) -> Iterator[Any]:
        for block in self.blocks:
            yield from BlockProto.FromString(block).ops

    def fill(self, ops: Iterable[core.OpDesc], variables: Iterable[core.VarDesc | None]) -> ProgramProto:
        """The whole program again; variables come sorted by name, as Paddle itself writes them."""
        program = ProgramProto()
        program.version.version = self.version
        main = program.blocks.add(idx=0, parent_idx=-1)
        declared = [var for var in variables if var is not None and var.name() != EMPTY_NAME]
        for var in sorted(declared, key=lambda var: var.name()):
            main.vars.add().ParseFromString(var.serialize_to_string())
        for op in ops:
            main.ops.add().ParseFromString(op.serialize_to_string())
        for block in self.blocks:
            program.blocks.add().ParseFromString(block)
        if self.op_versions:
            program.op_version_map.ParseFromString(self.op_versions)
        return program


@cache
def runtime_defaults(op_type: str) -> dict[str, Any]:
    """Attributes for Paddle's own use, such as `use_mkldnn`, that it adds with these values when it
    parses an op without them."""
    return dict(core.get_op_extra_attrs(op_type))


def message_of(desc: core.ProgramDesc) -> ProgramProto:
    """What `desc.serialize_to_string()` holds, put together from its blocks in a tenth of the time."""
    program = ProgramProto()
    for index in range(desc.num_blocks()):
        program.blocks.add().ParseFromString(desc.block(index).serialize_to_string())
    program.version.version = desc._version()
    program.op_version_map.ParseFromString(_op_versions())
    return program


@cache
def _op_versions() -> bytes:
    """The versions of all ops, which Paddle writes into every program."""
    program = ProgramProto.FromString(core.ProgramDesc().serialize_to_string())
    return program.op_version_map.SerializeToString()


def pointed_names(attrs: Iterable[AttrProto]) -> Iterator[tuple[str, Sequence[str]]]:
    """Those of an op's attributes that name variables, and these."""
    for attr in attrs:
        kind = attr.type
        if kind == _VAR:
            yield attr.name, (attr.var_name,)
        elif kind == _VARS:
            yield attr.name, attr.vars_name


def drop_call_stacks(program: ProgramProto) -> None:
    """Remove the Python call stack of every op: two thirds of a program's bytes, and this machine's paths."""
    for block in program.blocks:
        for op in block.ops:
            drop_attr(op, CALL_STACK)


def drop_attr(op: OpProto, name: str) -> None:
    """Remove an attribute from an op's message, if it is there."""
    for index, attr in enumerate(op.attrs):
        if attr.name == name:
            del op.attrs[index]
            return
