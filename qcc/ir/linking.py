"""What a graph is linked from: its ops, with the names of what they read and write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter

from qcc._paddle import core
from qcc.errors import GraphError
from qcc.ir import program as programs
from qcc.ir.nodes import EMPTY_NAME, Op, Var

Names = Mapping[str, Iterable[str]]
# An op with the names in its input slots, in its attributes and in its output slots.
Linked = tuple[Op, Names, Names, Names]

_name = attrgetter("name")

KEEPING = frozenset({"conditional_block", "conditional_block_infer", "while", "write_to_array"})
"""Ops that may leave what they write as it was, or a part of it: branches and loops that are not run, and
what sets one element of an array."""


class LastVersions(dict[str, Var]):
    """Name -> the last version so far, of a program that is gone through op by op.

    `versions` is filled on the way, and `declared` emptied.
    """

    def __init__(self, versions: dict[str, list[Var]], declared: dict[str, Var]) -> None:
        super().__init__()
        self._versions = versions
        self._declared = declared

    def __missing__(self, name: str) -> Var:
        """The first version."""
        declared = self._declared
        var = declared.pop(name) if name in declared else Var(name, None, False, None)
        self._versions[name] = [var]
        self[name] = var
        return var

    def write(self, name: str, op: Op) -> Var:
        """A new version, which an op writes."""
        if name not in self:
            var = self[name]
        else:
            before = self[name]
            if before.producer is op and name != EMPTY_NAME:
                raise GraphError(f"op {op.type} writes variable {name!r} twice.")
            var = self[name] = before.unlinked()
            self._versions[name].append(var)
        var.producer = op
        return var


def read_ops(block: core.BlockDesc, owner: core.ProgramDesc) -> Iterator[Linked]:
    """The ops of a program that Paddle has parsed."""
    for number in range(block.op_size()):
        desc = block.op(number)
        # The Python call stack holds paths of the machine that built the program.
        desc.remove_attr(programs.CALL_STACK)
        read = desc.inputs()
        # Few ops have attributes that name variables, and those alone are looked at one by one.
        points = len(desc.input_arg_names(with_attr_var=True)) > sum(map(len, read.values()))
        pointed = _pointed(desc) if points else {}
        yield Op(desc.type(), desc, (number, 0, 0), owner), read, pointed, desc.outputs()


def _pointed(desc: core.OpDesc) -> Names:
    # Out of the message: what Paddle hands out for such attributes Python would free a second time.
    return dict(programs.pointed_names(programs.OpProto.FromString(desc.serialize_to_string()).attrs))


def share_ops(ops: Iterable[Op]) -> Iterator[Linked]:
    """The ops of a graph again, in this order."""
    for number, op in enumerate(ops):
        op.shared = True
        twin = Op(op.type, op.desc, (number, 0, 0), op.owner, shared=True)
        yield twin, _names(op.inputs), _names(op.pointed), _names(op.outputs)


def _names(slots: Mapping[str, list[Var]]) -> Names:
    return {slot: map(_name, variables) for slot, variables in slots.items()}
