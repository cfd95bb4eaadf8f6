"""qcc.from_program: a model from a program and a scope that live in somebody's training script."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qcc._paddle import core, paddle
from qcc.errors import GraphError
from qcc.frontend.params import as_declared, stored_types
from qcc.frontend.program_checks import check_program
from qcc.frontend.program_file import ProgramFile, take_off_interface
from qcc.ir.dtypes import dtype_name, numpy_dtype
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

    Raises GraphError for unknown feeds and fetches, for none of these or one feed twice, for a fetch that
    needs data which is not fed, for values that the scope lacks or has of another type, for backward ops in a
    program that is said to be a test program, and for what is no program or scope.
    """
    _check_kinds(program, scope)
    proto = message_of(program.desc)
    drop_call_stacks(proto)
    pointed = check_program(proto, _HERE)
    take_off_interface(proto, _HERE)
    file = ProgramFile(_HERE, proto, _names(proto, feeds, "feed"), _names(proto, fetches, "fetch"))
    if not file.fetches:
        raise GraphError("no fetch is given, and a model has to give something.")
    if for_test:
        _refuse_backward(proto)
        _drop_starved_ops(file)
    _drop_unused_values(file, pointed)
    graph = file.graph(_copy_values(file, scope), for_test=for_test)
    # A live program carries every attribute; none of them stood in a file.
    graph.shell = replace(graph.shell, stored_attrs=frozenset())
    verify(graph, scales=False)
    return Model(graph)


def _check_kinds(program: Any, scope: Any) -> None:
    # The programs of Paddle 3's new IR have no description of the old one.
    if not isinstance(getattr(program, "desc", None), core.ProgramDesc):
        raise GraphError(
            f"a paddle.static.Program is wanted, and this is a {type(program).__name__}: of another kind of"
            " program, give qcc.load what paddle.static.save_inference_model writes."
        )
    if not isinstance(scope, core._Scope):
        raise GraphError(
            f"a scope with the program's values is wanted, such as paddle.static.global_scope(), and this is"
            f" a {type(scope).__name__}."
        )


def _names(proto: ProgramProto, wanted: Names, kind: str) -> tuple[str, ...]:
    known = (str, paddle.static.Variable)
    if isinstance(wanted, known) or not all(isinstance(item, known) for item in wanted):
        raise GraphError(f"a list is wanted of each {kind}'s name or variable, and this is {wanted!r}.")
    declared = [var.name for var in proto.blocks[0].vars]
    names = tuple(item if isinstance(item, str) else item.name for item in wanted)
    if kind == "feed" and len(set(names)) < len(names):
        raise GraphError(f"one of the feeds {list(names)} is named twice: name each once.")
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
        declared = names[name].type.lod_tensor.tensor
        if array.dtype not in map(numpy_dtype, stored_types(declared)):
            raise GraphError(
                f"the value of {name!r} in the scope is {array.dtype}, and the program declares it as"
                f" {dtype_name(declared.data_type)}: put it there in that type."
            )
        weights.adopt(name, as_declared(array, declared))
    return weights


def _read(op: OpProto) -> Iterable[str]:
    return (name for slot in op.inputs for name in slot.arguments)


def _written(op: OpProto) -> Iterable[str]:
    return (name for slot in op.outputs for name in slot.arguments)
