"""Program files: parsing, and taking the feed and fetch ops off."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from qcc._paddle import core
from qcc.errors import GraphError, ModelFormatError
from qcc.frontend.foreign import FIRST_BYTE, HEAD, foreign, refuse_foreign
from qcc.frontend.program_checks import check_program, check_text
from qcc.inputs import open_input, read_input
from qcc.ir.dtypes import dtype_number, numpy_dtype
from qcc.ir.graph import Graph
from qcc.ir.program import (
    AttrType,
    BlockProto,
    DecodeError,
    OpProto,
    ProgramProto,
    Shell,
    VarProto,
    VarTypeProto,
    drop_call_stacks,
    runtime_defaults,
)
from qcc.ir.weights import Weights
from qcc.numerics import linear_range
from qcc.passes.fake_quant import LINEAR_OPS
from qcc.passes.zero_points import read_zero_points

# Persistable variables that hold no value in files (`is_persistable` in paddle/static/io.py).
_VALUELESS = (VarTypeProto.FEED_MINIBATCH, VarTypeProto.FETCH_LIST, VarTypeProto.READER, VarTypeProto.RAW)
# Protobuf's own limit of a message.
_MAX_SIZE = (1 << 31) - 1
# Within so many bytes Paddle 3's header begins.
_HEADER = 4096


@dataclass(frozen=True)
class ProgramFile:
    """A checked program without its feed and fetch ops; `path` names it in messages."""

    path: Path
    program: ProgramProto
    feeds: tuple[str, ...]
    fetches: tuple[str, ...]

    @cached_property
    def persistables(self) -> dict[str, VarProto]:
        """The variables whose values stand in files, in the order of a combined file.

        Raises ModelFormatError for a kind of variable that is no dense tensor.
        """
        found: dict[str, VarProto] = {}
        for block in self.program.blocks:
            for var in block.vars:
                if var.persistable and var.type.type not in _VALUELESS:
                    found[var.name] = var
        for var in found.values():
            if var.type.type != VarTypeProto.LOD_TENSOR:
                kind = VarTypeProto.Type.Name(var.type.type)
                raise ModelFormatError(
                    f"{self.path}: the weight {var.name!r} is of kind {kind}; qcc reads dense tensors only."
                )
        return dict(sorted(found.items()))

    def graph(self, weights: Weights, *, for_test: bool) -> Graph:
        """The program's main block with these values; a weight's dtype is that of its value.

        Raises ModelFormatError.
        """
        program = self._declaring(weights)
        try:
            desc = core.ProgramDesc(program.SerializeToString())
        except ValueError as error:  # Paddle's protobuf is stricter than Python's
            raise ModelFormatError(f"{self.path} is damaged: Paddle cannot parse it.") from error
        shell = replace(
            Shell.of(desc, self.program.op_version_map.SerializeToString()),
            # Paddle puts its own version into what it parses.
            version=self.program.version.version,
            stored_attrs=_stored_attrs(self.program),
        )
        try:
            graph = Graph(desc, shell, self.feeds, self.fetches, weights, for_test=for_test)
        except GraphError as error:
            raise ModelFormatError(f"{self.path}: {error}") from error
        read_zero_points(graph)
        return graph

    def _declaring(self, weights: Weights) -> ProgramProto:
        """The program, with the dtype of each value in the weight's declaration, and ranges of integers."""
        changed = {
            name: dtype_number(str(weights[name].dtype))
            for name, var in self.persistables.items()
            if name in weights and weights[name].dtype != numpy_dtype(var.type.lod_tensor.tensor.data_type)
        }
        if not changed and not any(_lacks_range(op) for block in self.program.blocks for op in block.ops):
            return self.program
        program = ProgramProto.FromString(self.program.SerializeToString())
        for block in program.blocks:
            for op in filter(_lacks_range, block.ops):
                _state_range(op)
            for var in block.vars:
                if var.name in changed:
                    var.type.lod_tensor.tensor.data_type = int(changed[var.name])
        return program


def _bits(op: OpProto) -> int:
    return next((attr.i for attr in op.attrs if attr.name == "bit_length"), 8)


def _lacks_range(op: OpProto) -> bool:
    """True where Paddle 3, which reads qmin and qmax alone, would compute with 8 bits instead of others."""
    return (
        op.type in LINEAR_OPS
        and _bits(op) != 8
        and not any(attr.name in ("qmin", "qmax") for attr in op.attrs)
    )


def _state_range(op: OpProto) -> None:
    for name, value in zip(("qmin", "qmax"), linear_range(_bits(op)), strict=True):
        op.attrs.add(name=name, type=AttrType.INT, i=value)


def _stored_attrs(program: ProgramProto) -> frozenset[tuple[str, str]]:
    return frozenset(
        (op.type, attr.name)
        for block in program.blocks
        for op in block.ops
        for attr in op.attrs
        if attr.name in runtime_defaults(op.type)
    )


def read_program(path: Path) -> ProgramFile:
    """Read an inference program.  Raises ModelFormatError naming the file and what is wrong with it."""
    try:
        refuse_foreign(path)
        data = read_input(path, _MAX_SIZE)
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror}.") from error
    program = _parse(data)
    if program is None:
        raise foreign(path, data[:HEAD])
    drop_call_stacks(program)
    check_text(program, path)
    check_program(program, path)
    feeds, fetches = take_off_interface(program, path)
    if not fetches:
        raise ModelFormatError(
            f"{path} has no fetch op, so it is not an inference program: save it with"
            " paddle.static.save_inference_model, or hand the program to qcc.from_program."
        )
    return ProgramFile(path, program, feeds, fetches)


def is_program(path: Path) -> bool:
    """True when the file's content, whatever its name, is a Paddle program; of what else may stand in a
    folder, such as a log, no more is read than a program can have."""
    with open_input(path) as stream:
        first = stream.read(1)
        if first != FIRST_BYTE or os.fstat(stream.fileno()).st_size > _MAX_SIZE:
            return False
        program = _parse(first + stream.read())
    return program is not None and program.IsInitialized() and len(program.blocks) > 0


def _parse(data: bytes) -> ProgramProto | None:
    program = ProgramProto()
    try:
        program.ParseFromString(data)
    except DecodeError:
        return None
    return program


def is_paddle3(path: Path) -> bool:
    """True when the file's content is a program of Paddle 3: JSON that begins with a header "base_code"."""
    with open_input(path) as stream:
        start = stream.read(_HEADER)
    return start.lstrip()[:1] == b"{" and b'"base_code"' in start


def take_off_interface(program: ProgramProto, path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove feed and fetch ops and their holders from the main block; return the fed and fetched names."""
    main = program.blocks[0]
    feeds = _interface(main, "feed", path)
    fetches = _interface(main, "fetch", path)
    kept = [op for op in main.ops if op.type not in ("feed", "fetch")]
    # Variables of these types serve feed and fetch ops only.
    variables = [
        var
        for var in main.vars
        if var.type.type not in (VarTypeProto.FEED_MINIBATCH, VarTypeProto.FETCH_LIST)
    ]
    if len(kept) == len(main.ops) and len(variables) == len(main.vars):
        return feeds, fetches
    stripped = BlockProto(idx=main.idx, parent_idx=main.parent_idx, vars=variables, ops=kept)
    main.CopyFrom(stripped)
    return feeds, fetches


def _interface(main: BlockProto, kind: str, path: Path) -> tuple[str, ...]:
    """The names that feed (or fetch) ops provide, in the order of their columns."""
    by_column: dict[int, str] = {}
    declared = {var.name for var in main.vars}
    for op in main.ops:
        if op.type != kind:
            continue
        column = next((attr.i for attr in op.attrs if attr.name == "col"), None)
        ends = _slot(op, "Out") if kind == "feed" else _slot(op, "X")
        if column is None or column in by_column or len(ends) != 1 or ends[0] not in declared:
            raise ModelFormatError(f"{path}: {kind} op {ends} is damaged or doubled.")
        by_column[column] = ends[0]
    names = tuple(by_column[column] for column in sorted(by_column))
    if sorted(by_column) != list(range(len(by_column))):
        raise ModelFormatError(f"{path}: the {kind} ops have the columns {sorted(by_column)}.")
    if len(set(names)) != len(names) and kind == "feed":
        raise ModelFormatError(f"{path}: a variable is fed twice: {list(names)}.")
    return names


def _slot(op: OpProto, parameter: str) -> list[str]:
    slots = op.outputs if parameter == "Out" else op.inputs
    return [name for slot in slots if slot.parameter == parameter for name in slot.arguments]
