"""Loops and branches, and what writes into a variable that is there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qcc.frontend.paddle3.conversion import Call, State
from qcc.frontend.paddle3.output import OutBlock, OutOp, Unsupported, Variable
from qcc.frontend.paddle3.program import Block, Tensor
from qcc.frontend.paddle3.rules.registry import rule


@rule("cf.yield")
def yield_(call: Call) -> None:
    """What a block gives to the op that holds it, which looks it up itself."""


@rule("if")
def if_(call: Call) -> None:
    """Two conditional blocks, whose results are selected between.

    A condition that is the same in every run leaves the one block that runs, and no other.
    """
    if len(call.op.blocks) != 2:
        raise Unsupported(f"it has {len(call.op.blocks)} blocks where an if has two")
    condition = call["cond"]
    numbers = call.numbers("cond")
    if numbers is not None and len(numbers) == 1:
        _inline(call, call.op.blocks[0 if numbers[0] else 1])
        return
    kind = call.type("cond")
    refused = call.new("logical_not", {"X": condition}, kind)
    when_true = _branch(call, call.op.blocks[0], condition)
    when_false = _branch(call, call.op.blocks[1], refused)
    if not call.op.results:
        return
    mask = call.cast(condition, kind, "int32")
    for value, true, false in zip(call.op.results, when_true, when_false, strict=True):
        if value.type is None:
            continue
        chosen = call.new_variable(value.type)
        call.state.bound[value.id] = chosen
        call.emit("select_input", {"X": [false, true], "Mask": mask}, {"Out": chosen})


def _yielded(block: Block) -> tuple[int, ...]:
    if not block.ops or block.ops[-1].name != "cf.yield":
        return ()
    return block.ops[-1].operands


def _inline(call: Call, block: Block) -> None:
    call.state.convert_block(block)
    for value, number in zip(call.op.results, _yielded(block), strict=True):
        call.state.alias(value.id, number)


def _branch(call: Call, block: Block, condition: str) -> list[str]:
    """A conditional block; the variables that hold its results, as many as the op has."""
    inner = _open(call, block)
    yielded = _yielded(block)
    if len(yielded) != len(call.op.results):
        raise Unsupported(f"a block gives {len(yielded)} values for {len(call.op.results)} results")
    results = []
    for value, number in zip(call.op.results, yielded, strict=True):
        outer = call.new_variable(value.type or Tensor("float32", ()))
        with _inside(call.state, inner):
            call.emit("assign", {"X": _one(call, number)}, {"Out": outer})
        results.append(outer)
    read = _read_from_outside(inner)
    _close(
        call,
        inner,
        "conditional_block",
        {"Cond": [condition], "Input": read},
        results,
        is_scalar_condition=True,
    )
    return results


@contextmanager
def _inside(state: State, block: OutBlock) -> Iterator[None]:
    """What is written and declared goes into this block."""
    outer, state.current = state.current, block
    try:
        yield
    finally:
        state.current = outer


def _open(call: Call, block: Block) -> OutBlock:
    """A new block with the ops of a block of the file."""
    state = call.state
    inner = OutBlock(len(state.blocks), state.current.index)
    state.blocks.append(inner)
    with _inside(state, inner):
        state.convert_block(block)
    return inner


def _one(call: Call, number: int) -> str:
    names = call.state.names_of(number)
    if len(names) != 1:
        raise Unsupported("a value that goes in or out of a block is absent, or several")
    return names[0]


def _read_from_outside(inner: OutBlock) -> list[str]:
    """The variables that ops of a block read, or change, and that the block does not declare."""
    found: dict[str, None] = {}
    for op in inner.ops:
        for name in op.read():
            if name not in inner.variables:
                found.setdefault(name)
    return sorted(found)


def _close(
    call: Call, inner: OutBlock, op: str, inputs: dict[str, list[str]], results: list[str], **attrs: bool
) -> None:
    state = call.state
    scopes = call.state.names.under(state.names.stem(op), 0)
    state.current.variables[scopes] = Variable("", (), "STEP_SCOPES")
    slot = "StepScopes" if op == "while" else "Scope"
    out = OutOp(op, inputs, {"Out": results, slot: [scopes]}, dict(attrs), call.op.scope)
    out.block = inner.index
    state.current.ops.append(out)


@rule("while")
def while_(call: Call) -> None:
    """2.6 changes the variables of a loop in place.

    They are copied in front of the loop, since others may read what they were; at the end of the body all new
    values are copied aside before any variable is changed, since they may change places.
    """
    state = call.state
    if len(call.op.blocks) != 1:
        raise Unsupported(f"it has {len(call.op.blocks)} blocks where a while has one")
    body, operands = call.op.blocks[0], call.op.operands
    yielded = _yielded(body)
    if not len(operands) - 1 == len(body.arguments) == len(yielded) - 1 == len(call.op.results):
        raise Unsupported("its operands, arguments and results do not fit each other")
    condition = _copied(call, operands[0])
    variables = []
    for number, argument, value in zip(operands[1:], body.arguments, call.op.results, strict=True):
        state.types[argument.id] = argument.type
        name = _copied(call, number)
        state.bound[argument.id] = state.bound[value.id] = name
        variables.append(name)
    inner = _open(call, body)
    results = [condition, *variables]
    with _inside(state, inner):
        fresh = [_copied(call, number) for number in yielded]
        for copy, target in zip(fresh, results, strict=True):
            call.emit("assign", {"X": copy}, {"Out": target})
    read = [name for name in _read_from_outside(inner) if name != condition]
    reads = sorted({*read, *variables})
    _close(call, inner, "while", {"X": reads, "Condition": [condition]}, results, is_test=True)


def _copied(call: Call, number: int) -> str:
    """A variable of its own with this value."""
    kind = call.kind(number)
    if not isinstance(kind, Tensor):
        raise Unsupported("a variable of a loop is no dense tensor")
    return call.new("assign", {"X": _one(call, number)}, kind)


@rule("assign_out_")
def assign_out(call: Call) -> None:
    """The variable is written to, and is the result."""
    call.bind("out", call["output"])
    call.emit("assign", {"X": call["x"]}, {"Out": call["output"]})


@rule("select_input")
def select_input(call: Call) -> None:
    mask, *values = call.op.operands
    names = [_one(call, number) for number in values]
    call.emit("select_input", {"X": names, "Mask": _one(call, mask)}, {"Out": call.out("out")})
