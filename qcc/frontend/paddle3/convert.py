"""From a program of Paddle 3 to one of Paddle 2.6, op by op in the text's order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qcc.errors import ModelFormatError
from qcc.frontend.paddle3 import rules
from qcc.frontend.paddle3.by_table import convert_by_table
from qcc.frontend.paddle3.conversion import Call, ParameterValue, State
from qcc.frontend.paddle3.counts import note_counts
from qcc.frontend.paddle3.dead_code import drop_dead_ops
from qcc.frontend.paddle3.folding import note_constants
from qcc.frontend.paddle3.in_place import changed_value, last_uses
from qcc.frontend.paddle3.output import Names, OutBlock, Unsupported, Variable, dtype_value, message
from qcc.frontend.paddle3.program import Block, Op, Parameter, Program, Tensor, Type, Vector
from qcc.frontend.paddle3.refusals import Refusal, refused
from qcc.frontend.paddle3.rules.creation import write_constant
from qcc.frontend.paddle3.sizes import is_computed_constant, note_sizes
from qcc.frontend.paddle3.tables import find, rows
from qcc.frontend.program_checks import check_program
from qcc.frontend.program_file import ProgramFile


def declared(program: Program, path: Path) -> ProgramFile:
    """A program with the parameters and nothing else, by which the file with their values is found and read.

    Raises ModelFormatError for a parameter that is no dense tensor of a dtype of Paddle 2.6.
    """
    block = OutBlock(0, -1)
    for parameter in program.parameters:
        block.variables[parameter.name] = _variable(parameter, path)
    return ProgramFile(path, message([block]), (), ())


def convert(program: Program, path: Path, value_of: ParameterValue) -> ProgramFile:
    """The program as Paddle 2.6 would have saved it; it has the same parameters, so their file is taken as it
    is.

    Branches whose condition is the same in every run, which `value_of` a parameter may decide, are resolved.

    Raises ModelFormatError that tells all ops at once that Paddle 2.6 cannot express.
    """
    return _Conversion(program, path, value_of).run()


def _variable(parameter: Parameter, path: Path) -> Variable:
    kind = parameter.value.type
    if not isinstance(kind, Tensor):
        raise ModelFormatError(f"{path}: parameter {parameter.name!r} is no dense tensor.")
    try:
        dtype_value(kind.dtype)
    except ValueError:
        raise ModelFormatError(
            f"{path}: parameter {parameter.name!r} is {kind.dtype}, a data type that Paddle 2.6 lacks."
        ) from None
    return Variable(kind.dtype, kind.shape, persistable=parameter.persistable)


class _Conversion:
    def __init__(self, program: Program, path: Path, value_of: ParameterValue) -> None:
        self._program = program
        self._path = path
        self._refusals: list[Refusal] = []
        main = OutBlock(0, -1)
        ops = list(program.ops())
        self._state = State(
            names=Names(set(_given_names(program, ops))),
            blocks=[main],
            current=main,
            types=dict(_types(program, ops)),
            last_use=last_uses(ops),
            mutable=frozenset(map(changed_value, ops)) - {0},
            value_of=value_of,
            convert_block=self._block,
        )

    def run(self) -> ProgramFile:
        state = self._state
        for parameter in self._program.parameters:
            state.current.variables[parameter.name] = _variable(parameter, self._path)
            state.bound[parameter.value.id] = parameter.name
            state.parameters[parameter.value.id] = parameter
        self._block(self._program.block)
        if self._refusals:
            raise refused(self._refusals, self._path, self._program.version)
        if sorted(state.fetches) != list(range(len(state.fetches))) or not state.fetches:
            raise ModelFormatError(
                f"{self._path} has the outputs {sorted(state.fetches)}: save the model for inference, with"
                " paddle.jit.save or paddle.static.save_inference_model."
            )
        fetches = tuple(state.fetches[column] for column in range(len(state.fetches)))
        drop_dead_ops(state.blocks, (*state.feeds, *fetches))
        program = message(state.blocks)
        check_program(program, self._path)
        return ProgramFile(self._path, program, tuple(state.feeds), fetches)

    def _block(self, block: Block) -> None:
        for op in block.ops:
            try:
                self._op(op)
            except Unsupported as error:
                self._refuse(op, str(error))

    def _op(self, op: Op) -> None:
        state = self._state
        rule, row = find(rules.RULES, op.name), find(rows(), op.name)
        if rule is None and row is None:
            raise Unsupported(rules.why_not(op.name))
        call = Call(state, op)
        note_sizes(state, op)
        note_constants(state, op)
        note_counts(state, op)
        if is_computed_constant(state, op):
            write_constant(call)
            return
        if rule is not None:
            rule(call)
        else:
            convert_by_table(call, row)
        call.finish()
        for value, name in zip(op.results, call.result_names, strict=False):
            if value.type is not None and value.id not in state.bound:
                call.outs(name)

    def _refuse(self, op: Op, reason: str) -> None:
        """Note it and go on, so that all are told; what reads the results gets names that mean nothing."""
        self._refusals.append(Refusal(op, reason))
        for value in op.results:
            if value.id not in self._state.bound:
                kind = value.type
                self._state.bound[value.id] = ["?"] * len(kind.elements) if isinstance(kind, Vector) else "?"


def _given_names(program: Program, ops: list[Op]) -> Iterator[str]:
    for parameter in program.parameters:
        yield parameter.name
    for op in ops:
        name = op.attrs.get("name")
        if op.name in ("pd_op.data", "pd_op.feed") and isinstance(name, str):
            yield name


def _types(program: Program, ops: list[Op]) -> Iterator[tuple[int, Type | None]]:
    for parameter in program.parameters:
        yield parameter.value.id, parameter.value.type
    for op in ops:
        for value in op.results:
            yield value.id, value.type
        for block in op.blocks:
            for value in block.arguments:
                yield value.id, value.type
