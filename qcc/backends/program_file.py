"""A graph as an inference program, as Paddle itself writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Any

from qcc.ir.graph import Graph
from qcc.ir.program import (
    PLAIN_ATTR_FIELDS,
    AttrProto,
    AttrType,
    BlockProto,
    OpProto,
    ProgramProto,
    VarTypeProto,
    runtime_defaults,
)


def inference_program(graph: Graph) -> ProgramProto:
    """The graph's program with feed and fetch ops: what stands in a program file.

    Its bytes are those that `paddle.static.save_inference_model` writes for the same program, but
    for the call stacks of Python, which hold paths of the machine that built it.
    """
    program = graph.to_proto()
    main = program.blocks[0]
    ops = list(main.ops)
    del main.ops[:]
    # Paddle puts one feed op after the other in front, so that the last column comes first.
    for column, name in reversed(list(enumerate(graph.feeds))):
        main.ops.append(_interface_op("feed", column, "feed", name))
    main.ops.extend(ops)
    for column, name in enumerate(graph.fetches):
        main.ops.append(_interface_op("fetch", column, name, "fetch"))
    if graph.feeds:
        _add_holder(main, "feed", VarTypeProto.FEED_MINIBATCH)
    _add_holder(main, "fetch", VarTypeProto.FETCH_LIST)
    every = [op for block in program.blocks for op in block.ops]
    said = graph.shell.stored_attrs | set(_told_attrs(every))
    for op in every:
        _tidy_attrs(op, said)
    return program


def _interface_op(kind: str, column: int, source: str, target: str) -> OpProto:
    op = OpProto(type=kind)
    op.inputs.add(parameter="X", arguments=[source])
    op.outputs.add(parameter="Out", arguments=[target])
    op.attrs.add(name="col", type=AttrType.INT, i=column)
    op.attrs.add(name="op_device", type=AttrType.STRING, s="")
    op.attrs.add(name="op_namescope", type=AttrType.STRING, s="/")
    op.attrs.add(name="op_role", type=AttrType.INT, i=0)
    op.attrs.add(name="op_role_var", type=AttrType.STRINGS)
    op.attrs.add(name="with_quant_attr", type=AttrType.BOOLEAN, b=False)
    return op


def _add_holder(main: BlockProto, name: str, kind: int) -> None:
    holder = main.vars.add(name=name, persistable=True)
    holder.type.type = kind


def _told_attrs(ops: Iterable[OpProto]) -> Iterator[tuple[str, str]]:
    """Of the attributes that Paddle adds when it parses an op, those with another value than it gives them,
    by the type of the op. In a file they stand at all ops of the type: one that is read has them or not."""
    for op in ops:
        defaults = runtime_defaults(op.type)
        for attr in op.attrs:
            if attr.name in defaults and attr_value(attr) != defaults[attr.name]:
                yield op.type, attr.name


def _tidy_attrs(op: OpProto, said: Set[tuple[str, str]]) -> None:
    """Sort an op's attributes, without those that Paddle adds when it parses the op and are not `said`."""
    defaults = runtime_defaults(op.type)
    kept = [
        attr
        for attr in op.attrs
        if attr.name != "op_callstack" and (attr.name not in defaults or (op.type, attr.name) in said)
    ]
    attrs = [AttrProto.FromString(attr.SerializeToString()) for attr in sorted(kept, key=lambda a: a.name)]
    del op.attrs[:]
    op.attrs.extend(attrs)


def attr_value(attr: AttrProto) -> Any:
    """The value of an attribute; None for types that have no plain value, such as blocks."""
    field = PLAIN_ATTR_FIELDS.get(attr.type)
    if field is None:
        return None
    value = getattr(attr, field)
    return value if isinstance(value, (bool, int, float, str)) else list(value)
