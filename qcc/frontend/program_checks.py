"""What a program file must fulfil before Paddle's C++ code, which trusts it, may see it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from qcc.errors import ModelFormatError
from qcc.frontend.op_checks import op_complaint
from qcc.ir.nodes import EMPTY_NAME
from qcc.ir.program import (
    AttrProto,
    AttrType,
    BlockProto,
    OpProto,
    ProgramProto,
    VarProto,
    VarTypeProto,
    pointed_names,
)

# The message in which a variable of each type keeps its data type and shape.
_TENSOR_FIELDS = {
    VarTypeProto.LOD_TENSOR: "lod_tensor",
    VarTypeProto.SELECTED_ROWS: "selected_rows",
    VarTypeProto.LOD_TENSOR_ARRAY: "tensor_array",
}
# `DDim::kMaxRank`: with more, Paddle throws.
_MOST_DIMENSIONS = 9
# Attributes that point to something that must be there. One in thousands does, so the others cost one test.
_POINTING = frozenset((AttrType.BLOCK, AttrType.BLOCKS, AttrType.VAR, AttrType.VARS))


def check_program(program: ProgramProto, path: Path) -> frozenset[str]:
    """Blocks form a tree, names are declared, shapes make sense, ops are as Paddle knows them. Returns the
    names of the variables that attributes of ops name.

    Raises ModelFormatError naming the file, and the op or variable.
    """
    if not program.blocks:
        raise ModelFormatError(f"{path} is not a Paddle program: it has no blocks.")
    if not program.IsInitialized():
        raise ModelFormatError(f"{path} is not a Paddle program, or is damaged: required fields are missing.")
    declared: list[dict[str, int]] = []
    for index, block in enumerate(program.blocks):
        where = f"{path}, block {index}"
        _check_place(program, index, block, where)
        declared.append(_check_variables(block, where))
    pointed: set[str] = set()
    for index, block in enumerate(program.blocks):
        visible = _visible(program, index, declared)
        for op in block.ops:
            pointed.update(_check_op(program, index, op, visible, f"{path}, block {index}"))
    return frozenset(pointed)


def _visible(program: ProgramProto, index: int, declared: list[dict[str, int]]) -> Mapping[str, int]:
    """The kinds of what is declared in a block, in those around it and in the one whose gradients it
    computes, looked up and not copied."""
    found = []
    while index >= 0:
        block = program.blocks[index]
        found.append(declared[index])
        if block.forward_block_idx >= 0:
            found.append(declared[block.forward_block_idx])
        index = block.parent_idx
    return ChainMap(*found)


def check_text(program: ProgramProto, path: Path) -> None:
    """Every name is text: UTF-8.  Raises ModelFormatError naming the file."""
    try:
        # What cannot be decoded comes as bytes, or is an error, depending on protobuf's implementation.
        damaged: bytes | None = next((text for text in _texts(program) if isinstance(text, bytes)), None)
    except UnicodeDecodeError as error:
        damaged = error.object
    if damaged is not None:
        raise ModelFormatError(f"{path} is damaged: it holds a name that is no text, {damaged!r}.")


def _texts(program: ProgramProto) -> Iterator[str | bytes]:
    for pair in program.op_version_map.pair:
        yield pair.op_name
    for block in program.blocks:
        for var in block.vars:
            yield var.name
        for op in block.ops:
            yield op.type
            for slot in (*op.inputs, *op.outputs):
                yield slot.parameter
                yield from slot.arguments
            for attr in op.attrs:
                yield attr.name
                yield attr.s
                yield attr.var_name
                yield from attr.strings
                yield from attr.vars_name


def _check_place(program: ProgramProto, index: int, block: BlockProto, where: str) -> None:
    if block.idx != index:
        raise ModelFormatError(f"{where}: it says that it is block {block.idx}; the file is damaged.")
    if not (0 <= block.parent_idx < index if index else block.parent_idx == -1):
        raise ModelFormatError(f"{where}: its parent is block {block.parent_idx}; the file is damaged.")
    if not -1 <= block.forward_block_idx < len(program.blocks):
        raise ModelFormatError(
            f"{where}: its forward block is block {block.forward_block_idx}; the file is damaged."
        )


def _check_variables(block: BlockProto, where: str) -> dict[str, int]:
    """The kind of each variable, by its name."""
    kinds: dict[str, int] = {}
    for var in block.vars:
        if not var.name or "\0" in var.name:
            raise ModelFormatError(f"{where}: a variable has the name {var.name!r}; the file is damaged.")
        if var.name in kinds:
            raise ModelFormatError(f"{where}: variable {var.name!r} is declared twice.")
        kinds[var.name] = var.type.type
        _check_shape(var, where)
    return kinds


def _check_shape(var: VarProto, where: str) -> None:
    field = _TENSOR_FIELDS.get(var.type.type)
    if field is None:
        return
    if not var.type.HasField(field):
        raise ModelFormatError(f"{where}: variable {var.name!r} has no data type; the file is damaged.")
    tensor = getattr(var.type, field)
    if field != "selected_rows":
        tensor = tensor.tensor
    # Of what is computed, any negative size is open.
    negative = var.persistable and any(size < -1 for size in tensor.dims)
    if negative or len(tensor.dims) > _MOST_DIMENSIONS:
        raise ModelFormatError(
            f"{where}: variable {var.name!r} has the shape {list(tensor.dims)}; the file is damaged."
        )


def _check_op(
    program: ProgramProto, index: int, op: OpProto, declared: Mapping[str, int], where: str
) -> list[str]:
    if not op.type:
        raise ModelFormatError(f"{where}: an op has no type; the file is damaged.")
    pointing = [attr for attr in op.attrs if attr.type in _POINTING]
    pointed = [name for _, names in pointed_names(pointing) for name in names]
    for name in chain((name for slot in op.inputs for name in slot.arguments), pointed):
        if name != EMPTY_NAME and name not in declared:
            raise ModelFormatError(
                f"{where}: op {op.type} reads {name!r}, which the program does not declare."
            )
    complaint = op_complaint(op, declared)
    if complaint is not None:
        raise ModelFormatError(f"{where}: op {op.type} {complaint}.")
    for attr in pointing:
        for target in _blocks_of(attr):
            # Only towards higher numbers, and only into its own child, so that no block runs itself.
            if not index < target < len(program.blocks) or program.blocks[target].parent_idx != index:
                raise ModelFormatError(
                    f"{where}: attribute {attr.name!r} of op {op.type} points to block {target},"
                    " which is not a block below its own; the file is damaged."
                )
    return pointed


def _blocks_of(attr: AttrProto) -> tuple[int, ...]:
    if attr.type == AttrType.BLOCK:
        return (attr.block_idx,)
    if attr.type == AttrType.BLOCKS:
        return tuple(attr.blocks_idx)
    return ()
