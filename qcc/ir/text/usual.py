"""What goes without saying in the text of an op: the attributes that it carries at their defaults.

An op that Paddle appends to a program carries every attribute that Paddle knows a default of. Older
Paddles knew fewer, and an op that a pass made may carry only what it was given; so the text tells
attributes at their default (left out) from attributes that are not there (`-name`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from qcc._paddle import core
from qcc.ir.framework import OpSignature
from qcc.ir.program import AttrProto, AttrType, OpProto, ProgramProto
from qcc.ir.text.attributes import make_attr

_PLAIN = {
    # What every op of a program that `paddle.static` built has; some unlike the registered default.
    attr.name: attr.SerializeToString()
    for attr in (
        make_attr("op_device", AttrType.STRING, ""),
        make_attr("op_namescope", AttrType.STRING, "/"),
        make_attr("op_role", AttrType.INT, 0),
        make_attr("op_role_var", AttrType.STRINGS, []),
        make_attr("with_quant_attr", AttrType.BOOLEAN, False),
    )
}
BOOKKEEPING = tuple(_PLAIN)
"""Attributes of every op, which say how it came to be and not what it computes."""

# An op that carries fewer of them was made by a pass: it carries only what it was given.
_ENOUGH = 3


@cache
def _signature(op_type: str) -> OpSignature | None:
    """Paddle's declaration of an op type: its slots and attributes; None for backward and foreign ops."""
    return _signatures().get(op_type)


@cache
def _signatures() -> dict[str, OpSignature]:
    return {proto.type: proto for proto in map(OpSignature.FromString, core.get_all_op_protos())}


def main_output(op_type: str) -> str:
    """The output slot that goes without saying when an op has no other."""
    declared = _signature(op_type)
    return str(declared.outputs[0].name) if declared is not None and declared.outputs else "Out"


@cache
def extra_attributes(op_type: str) -> dict[str, AttrProto]:
    """Attributes for Paddle's kernels alone (`use_mkldnn`), which stand first in an op's message.

    Paddle adds them to every op that it reads; it declares no types for them, so it is asked for a message.
    """
    program = ProgramProto()
    program.blocks.add(idx=0, parent_idx=-1).ops.add(type=op_type)
    desc = core.ProgramDesc(program.SerializeToString())
    op = desc.block(0).op(0)
    op._set_attr("op_role", 0)  # any change makes it write the message anew
    attrs = OpProto.FromString(op.serialize_to_string()).attrs
    return {attr.name: attr for attr in attrs if attr.name != "op_role"}


@cache
def usual_attributes(op_type: str) -> dict[str, AttrProto]:
    """Default of each attribute."""
    declared = _signature(op_type)
    if declared is None and op_type.endswith("_grad"):
        # Backward ops declare nothing and get the attributes of their forward op.
        return usual_attributes(op_type.removesuffix("_grad")) | extra_attributes(op_type)
    kinds: dict[str, int] = {} if declared is None else {attr.name: attr.type for attr in declared.attrs}
    defaults = {
        name: make_attr(name, kinds[name], value)
        for name, value in core.get_op_attrs_default_value(op_type.encode()).items()
        if name in kinds and name != "op_callstack" and value is not None
    }
    if declared is not None:
        defaults.update({name: AttrProto.FromString(message) for name, message in _PLAIN.items()})
    defaults.update(extra_attributes(op_type))
    return defaults


@dataclass(frozen=True)
class Braces:
    """What stands between an op's braces: attributes, names of absent ones, and whether that is all.

    `exact` attributes are the op's attributes to the last, but for those of Paddle's kernels, of which the
    defaults go without saying. `verbatim` ones are all, in this order.
    """

    attrs: Sequence[AttrProto] = ()
    absent: Sequence[str] = ()
    exact: bool = False
    verbatim: bool = False


@dataclass
class Usual:
    """The unsaid attributes of one text: Paddle's defaults, changed by its line `usual op {...}`."""

    changes: Mapping[str, AttrProto | None] = field(default_factory=dict)
    _implied: dict[str, dict[str, bytes]] = field(default_factory=dict, init=False)

    @staticmethod
    def of(ops: Iterable[OpProto]) -> Usual:
        """What most of these ops have in common in their bookkeeping."""
        votes: dict[str, Counter[bytes]] = {name: Counter() for name in BOOKKEEPING}
        for op in ops:
            present = {attr.name: attr.SerializeToString() for attr in op.attrs if attr.name in votes}
            if len(present) < _ENOUGH:
                continue
            for name, counter in votes.items():
                counter[present.get(name, b"")] += 1
        changes: dict[str, AttrProto | None] = {}
        for name, counter in votes.items():
            if 2 * counter[b""] > counter.total():
                changes[name] = None
            elif len(+counter) == 1 and counter[_PLAIN[name]] == 0:
                (message,) = +counter
                changes[name] = AttrProto.FromString(message)
        return Usual(changes)

    def implied(self, op_type: str) -> dict[str, bytes]:
        """The attributes that go without saying, serialized."""
        if op_type not in self._implied:
            implied = {}
            for name, default in usual_attributes(op_type).items():
                attr = self.changes.get(name, default)
                if attr is not None:
                    implied[name] = attr.SerializeToString()
            self._implied[op_type] = implied
        return self._implied[op_type]

    def shorten(self, op: OpProto) -> Braces:
        """What has to be said about an op's attributes."""
        implied = self.implied(op.type)
        names = [attr.name for attr in op.attrs]
        explicit = [attr for attr in op.attrs if implied.get(attr.name) != attr.SerializeToString()]
        absent = sorted(implied.keys() - set(names))
        few = len(set(names) & set(BOOKKEEPING)) < _ENOUGH
        if few or names != _in_order(op.type, set(names)):
            return _exact(op)
        return Braces(explicit, absent)

    def complete(self, op_type: str, braces: Braces) -> list[AttrProto]:
        """An op's attributes again: the inverse of `shorten`."""
        if braces.verbatim:
            return list(braces.attrs)
        explicit = {attr.name: attr for attr in braces.attrs}
        if braces.exact:
            attrs = {
                name: attr for name, attr in extra_attributes(op_type).items() if name not in braces.absent
            }
            attrs |= explicit
            return [attrs[name] for name in _in_order(op_type, attrs)]
        implied = self.implied(op_type)
        names = (implied.keys() | explicit.keys()) - set(braces.absent)
        return [
            explicit[name] if name in explicit else AttrProto.FromString(implied[name])
            for name in _in_order(op_type, names)
        ]


def _exact(op: OpProto) -> Braces:
    names = [attr.name for attr in op.attrs]
    if names != _in_order(op.type, names):
        return Braces(list(op.attrs), verbatim=True)
    extras = extra_attributes(op.type)
    said = sorted((attr for attr in op.attrs if extras.get(attr.name) != attr), key=lambda attr: attr.name)
    return Braces(said, sorted(extras.keys() - set(names)), exact=True)


def _in_order(op_type: str, names: Iterable[str]) -> list[str]:
    extras = extra_attributes(op_type)
    return sorted(names, key=lambda name: (name not in extras, name))
