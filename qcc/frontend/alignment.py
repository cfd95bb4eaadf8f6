"""Two traces of a layer, in training and in evaluation mode, brought together op by op.

What training draws at random is not drawn when a layer is evaluated. As Paddle counts the ops that it names,
everything behind is then called otherwise, and quantizers, which are called by what they quantize, would not
be found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qcc._paddle import VarType, core, paddle, static_mode
from qcc.errors import GraphError
from qcc.frontend.drawn import Trace, read_by, written_by
from qcc.frontend.layer import Traced
from qcc.ir.program import (
    AttrType,
    BlockProto,
    OpProto,
    VarProto,
    drop_call_stacks,
    message_of,
    runtime_defaults,
)
from qcc.ir.text.usual import BOOKKEEPING

# Attributes that say which mode it is, or how much is drawn, and what Paddle notes of where an op comes from.
_OF_MODES = frozenset(
    {*BOOKKEEPING, "fix_seed", "is_test", "seed", "trainable_statistics", "use_global_stats"}
)
_OF_DROPOUTS = "dropout"
# They number what Paddle keeps elsewhere, or name variables.
_NO_VALUES = frozenset({AttrType.BLOCK, AttrType.BLOCKS, AttrType.VAR, AttrType.VARS})
_OF_FUNCTIONS = "callable_id"


def align(train: Traced, test: Traced) -> Traced:
    """`test`, with its variables called as in `train`. Where training draws at random, as for dropouts of
    whole channels or stochastic depth, a dropout stands that hands on what it reads:

        train:  b = conv2d(a); c = elementwise_mul(b, drawn); d = conv2d(c)
        test:   b = conv2d(a);                                c = conv2d(b)
        result: b = conv2d(a); c = dropout(b) {is_test=1};    d = conv2d(c)

    Raises GraphError unless the layer's outputs come from the same ops in both modes but for that, so that
    what training measures holds when the layer is evaluated. Further outputs in training are left out.
    """
    trained, evaluated = (message_of(one.program.desc) for one in (train, test))
    for proto in (trained, evaluated):
        drop_call_stacks(proto)
    if any(op.type == "lod_array_length" for block in trained.blocks[1:] for op in block.ops):
        # Paddle's executor keeps what earlier steps have appended.
        raise GraphError(
            "forward appends to a list in a loop whose number of turns depends on data, which Paddle does not"
            " train: let the size that it goes over be fixed in input_spec."
        )
    pairing = _Pairing(Trace(trained.blocks[0], train.feeds), Trace(evaluated.blocks[0], test.feeds))
    pairing.follow(train.outputs, test.outputs)
    if pairing.is_one():
        return test
    if len(evaluated.blocks) > 1:
        raise GraphError(
            "forward draws at random in training alone, and holds a loop or a branch that depends on data:"
            " it can be trained with one of both."
        )
    _rename(evaluated.blocks[0], pairing)
    with static_mode():
        program = paddle.static.Program.parse_from_string(evaluated.SerializeToString())
    return replace(test, program=program, outputs=tuple(map(pairing.name, test.outputs)))


class _Pairing:
    """Which ops and variables of two traces are the same one.

    `handed_on`: what training alone computes, with what it is made of.
    """

    def __init__(self, train: Trace, test: Trace) -> None:
        self._train, self._test = train, test
        self.handed_on: dict[str, str] = {}
        # By the number of an op in evaluation, the op in training.
        self._pairs: dict[int, OpProto] = {}
        self._names: dict[str, str] = {}
        # What training computes once more, with what it is called the first time.
        self._again: dict[str, str] = {}
        self._fixed: dict[Any, OpProto] = {}

    def follow(self, trained: Sequence[str], evaluated: Sequence[str]) -> None:
        """Pair the ops that the outputs depend on."""
        train, test = self._train, self._test
        way, rest = train.way(trained[: len(evaluated)]), test.way(evaluated)[::-1]
        scaled = train.scaled(way)
        for number in way:
            op = train.ops[number]
            if rest and self._is_same(number, rest[-1]):
                self._pair(op, rest.pop())
            elif number in train.shaken or number in scaled:
                source = train.shaken.get(number) or scaled[number]
                self.handed_on.update(dict.fromkeys(written_by(op), source))
            elif train.is_fixed(op):
                first = self._fixed.setdefault(self._key(op), op)
                self._again.update(zip(written_by(op), written_by(first), strict=True))
            else:
                raise _differ(op, test.ops[rest[-1]] if rest else None)
        if rest:
            raise _differ(None, test.ops[rest[-1]])
        made = [self.undrawn(name) for name in trained[: len(evaluated)]]
        if made != [self.name(name) for name in evaluated]:
            raise GraphError("forward returns other tensors in evaluation than it returns first in training.")

    def name(self, name: str) -> str:
        """How training calls a variable of evaluation."""
        if name in self._names or name in self._test.lasting:
            return self._names.get(name, name)
        return f"{name}.evaluated"

    def is_one(self) -> bool:
        """Whether nothing is called otherwise."""
        return not self.handed_on and all(old == new for old, new in self._names.items())

    def reads(self, number: int, slot: OpProto.Var) -> list[str]:
        """What an op in evaluation reads in one of its slots, as the same op in training does."""
        names = [self.name(name) for name in slot.arguments]
        if number not in self._pairs:
            return names
        slots = {twin.parameter: twin.arguments for twin in self._pairs[number].inputs}
        return [
            self._first(twin) if self.undrawn(twin) == name else name
            for name, twin in zip(names, slots[slot.parameter], strict=True)
        ]

    def _pair(self, op: OpProto, number: int) -> None:
        self._pairs[number] = op
        if self._train.is_fixed(op):
            self._fixed.setdefault(self._key(op), op)
        slots = {slot.parameter: slot.arguments for slot in op.outputs}
        for slot in self._test.ops[number].outputs:
            self._names.update(zip(slot.arguments, slots.get(slot.parameter, ()), strict=False))

    def _is_same(self, number: int, other: int) -> bool:
        op, twin = self._train.ops[number], self._test.ops[other]
        if op.type != twin.type:
            return False
        if number in self._train.shaken:
            source = self._test.shaken.get(other)
            return source is not None and self.undrawn(self._train.shaken[number]) == self.name(source)
        if _attributes(op) != _attributes(twin):
            return False
        return [self.undrawn(name) for name in read_by(op)] == [self.name(name) for name in read_by(twin)]

    def undrawn(self, name: str) -> str:
        """What stands for a variable of training where nothing is drawn."""
        name = self._first(name)
        while name in self.handed_on:
            name = self._first(self.handed_on[name])
        return name

    def _first(self, name: str) -> str:
        return self._again.get(name, name)

    def _key(self, op: OpProto) -> Any:
        return op.type, *_attributes(op).values(), *map(self.undrawn, read_by(op))


def _attributes(op: OpProto) -> dict[str, bytes]:
    """What an op says of what it computes."""
    return {
        attr.name: attr.SerializeToString()
        for attr in sorted(op.attrs, key=lambda attr: attr.name)
        if attr.name not in _OF_MODES
        and attr.type not in _NO_VALUES
        and _OF_DROPOUTS not in attr.name
        and _OF_FUNCTIONS not in attr.name
    }


def _differ(trained: OpProto | None, evaluated: OpProto | None) -> GraphError:
    if trained is not None and evaluated is not None and trained.type == evaluated.type:
        one, other = _attributes(trained), _attributes(evaluated)
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                return GraphError(
                    f"forward computes {trained.type} with another {name!r} in evaluation than in training:"
                    " it has to take the same way in both modes."
                )
    found, wanted = (op.type if op is not None else "nothing more" for op in (evaluated, trained))
    return GraphError(
        f"forward computes {found} in evaluation where it computes {wanted} in training: it has to take the"
        " same way in both modes, but for batch norms and what is drawn at random, such as dropouts."
    )


def _rename(block: BlockProto, pairing: _Pairing) -> None:
    """Call the variables of a test program as training does, with a dropout for what that draws."""
    ops, made = [], dict[str, str]()
    for number, op in enumerate(block.ops):
        reads = [pairing.reads(number, slot) for slot in op.inputs]
        for name in (name for names in reads for name in names):
            if name in pairing.handed_on and name not in made:
                made[name] = pairing.undrawn(name)
                ops.append(_handing_on(made[name], name))
        for slot, names in zip(op.inputs, reads, strict=True):
            slot.arguments[:] = names
        for slot in op.outputs:
            slot.arguments[:] = [pairing.name(name) for name in slot.arguments]
        for attr in op.attrs:
            if attr.var_name:
                attr.var_name = pairing.name(attr.var_name)
            attr.vars_name[:] = [pairing.name(name) for name in attr.vars_name]
        ops.append(op)
    variables = {pairing.name(var.name): var for var in block.vars}
    for name, var in variables.items():
        var.name = name
    for name, source in made.items():
        variables[name] = VarProto(name=name)
        variables[name].type.CopyFrom(variables[source].type)
        mask = variables[_mask(name)] = VarProto(name=_mask(name))
        mask.type.CopyFrom(variables[source].type)
        mask.type.lod_tensor.tensor.data_type = VarType.UINT8
    block.CopyFrom(BlockProto(idx=block.idx, parent_idx=block.parent_idx, vars=variables.values(), ops=ops))


def _handing_on(source: str, result: str) -> OpProto:
    op = core.OpDesc()
    op.set_type("dropout")
    op.set_input("X", [source])
    op.set_output("Out", [result])
    op.set_output("Mask", [_mask(result)])
    attrs = {"is_test": True, "dropout_implementation": "upscale_in_train", "dropout_prob": 0.5}
    for name, value in {**runtime_defaults("dropout"), **attrs}.items():
        op._set_attr(name, value)
    return OpProto.FromString(op.serialize_to_string())


def _mask(result: str) -> str:
    return f"{result}.mask"
