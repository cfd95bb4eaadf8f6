"""qcc.from_program: a model from a program and a scope that live in somebody's training script."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from qcc._paddle import paddle
from qcc.errors import GraphError
from qcc.frontend.params import as_declared
from qcc.frontend.program_checks import check_program
from qcc.frontend.program_file import ProgramFile, take_off_interface
from qcc.ir.nodes import EMPTY_NAME
from qcc.ir.program import BlockProto, OpProto, ProgramProto, drop_call_stacks, message_of
from qcc.ir.verify import verify
from qcc.ir.weights import Weights
from qcc.model import Model, values_in_scope

# Bits of the attribute op_role (`OpRole` in op_proto_maker.h).
_BACKWARD = 1
_OPTIMIZE = 2
_HERE = Path("the program")

Names = Sequence["str | paddle.static.Variable"]


def from_program(
    program: paddle.static.Program,
    scope: paddle.static.Scope,
    feeds: Names,
    fetches: Names,
    for_test: bool,
) -> Model:
    """A model from a program and the values that a scope holds for it; neither is touched.

    `feeds` and `fetches` are names or variables of the main block. `for_test` tells a test program
    (a clone made with `for_test=True` before `minimize`) from a training program. In a test program,
    ops that wait for data which is not fed, such as a loss that waits for labels, are left out.

    Every persistable tensor that an op uses is copied out of the scope.

    Raises GraphError for unknown feeds and fetches, for a fetch that needs data which is not fed, for
    values that the scope lacks, and for backward ops in a program that is said to be a test program.
    """
    proto = message_of(program.desc)
    drop_call_stacks(proto)
    pointed = check_program(proto, _HERE)
    take_off_interface(proto, _HERE)
    file = ProgramFile(_HERE, proto, _names(proto, feeds, "feed"), _names(proto, fetches, "fetch"))
    if for_test:
        _refuse_backward(proto)
        _drop_starved_ops(file)
    _drop_unused_values(file, pointed)
    graph = file.graph(_copy_values(file, scope), for_test=for_test)
    # A live program carries every attribute; none of them stood in a file.
    graph.shell = replace(graph.shell, stored_attrs=frozenset())
    verify(graph, scales=False)
    return Model(graph)


def _names(proto: ProgramProto, wanted: Names, kind: str) -> tuple[str, ...]:
    declared = [var.name for var in proto.blocks[0].vars]
    names = tuple(item if isinstance(item, str) else item.name for item in wanted)
    for name in names:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            hint = f"; the nearest name is {near[0]!r}" if near else ""
            raise GraphError(f"{kind} {name!r} is not a variable of the program's main block{hint}.")
    return names


def _refuse_backward(proto: ProgramProto) -> None:
    for op in proto.blocks[0].ops:
        role = next((attr.i for attr in op.attrs if attr.name == "op_role"), 0)
        if role & (_BACKWARD | _OPTIMIZE):
            raise GraphError(
                f"the program was given as a test program, but op {op.type} belongs to training: pass"
                " for_test=False, or a `program.clone(for_test=True)` made before `minimize`."
            )


def _drop_starved_ops(file: ProgramFile) -> None:
    """Remove the ops that wait, directly or not, for data that is not fed."""
    main = file.program.blocks[0]
    available = {*file.feeds, EMPTY_NAME, *(var.name for var in main.vars if var.persistable)}
    written = {name for op in main.ops for name in _written(op)}
    # What no op writes and nobody feeds is data, if it is a tensor that wants to be fed.
    starved: dict[str, str] = {}
    for var in main.vars:
        if var.name not in available and var.name not in written:
            starved[var.name] = var.name
    kept = []
    for op in main.ops:
        cause = next((starved[name] for name in _read(op) if name in starved), None)
        if cause is None:
            kept.append(op)
            for name in _written(op):
                starved.pop(name, None)
        else:
            starved.update(dict.fromkeys(_written(op), cause))
    for fetch in file.fetches:
        if fetch in starved:
            raise GraphError(f"fetch {fetch!r} needs {starved[fetch]!r}, which is not among the feeds.")
    main.CopyFrom(BlockProto(idx=main.idx, parent_idx=main.parent_idx, vars=main.vars, ops=kept))


def _drop_unused_values(file: ProgramFile, pointed: Iterable[str]) -> None:
    """Remove declarations of persistable variables that no op uses, such as an optimizer's."""
    main = file.program.blocks[0]
    used = {*file.feeds, *file.fetches, *pointed}
    for block in file.program.blocks:
        for op in block.ops:
            used.update(_read(op), _written(op))
    variables = [var for var in main.vars if not var.persistable or var.name in used]
    if len(variables) == len(main.vars):
        return
    main.CopyFrom(BlockProto(idx=main.idx, parent_idx=main.parent_idx, vars=variables, ops=main.ops))


def _copy_values(file: ProgramFile, scope: paddle.static.Scope) -> Weights:
    names = file.persistables
    weights = Weights()
    for name, array in values_in_scope(scope, list(names)).items():
        weights.adopt(name, as_declared(array, names[name].type.lod_tensor.tensor))
    return weights


def _read(op: OpProto) -> Iterable[str]:
    return (name for slot in op.inputs for name in slot.arguments)


def _written(op: OpProto) -> Iterable[str]:
    return (name for slot in op.outputs for name in slot.arguments)
