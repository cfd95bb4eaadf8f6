"""Whether an op of a program is one that Paddle knows: its slots, its attributes and its variables' kinds.

Paddle's C++ code trusts a program: an op without a required input ends the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from qcc._paddle import OpProtoHolder
from qcc.ir.nodes import EMPTY_NAME
from qcc.ir.program import PLAIN_ATTR_FIELDS, AttrProto, AttrType, OpProto, VarTypeProto

_TENSOR = VarTypeProto.LOD_TENSOR

# Types of attributes that Paddle converts into one another: which one an op declares, its version decides.
_INTEGERS = frozenset((AttrType.INT, AttrType.LONG, AttrType.BOOLEAN))
_NUMBERS = _INTEGERS | {AttrType.FLOAT, AttrType.FLOAT64, AttrType.SCALAR}
_INTEGER_LISTS = frozenset((AttrType.INTS, AttrType.LONGS, AttrType.BOOLEANS))
_NUMBER_LISTS = _INTEGER_LISTS | {AttrType.FLOATS, AttrType.FLOAT64S, AttrType.SCALARS}
# Where an op takes the value from a variable.
_VARIABLES = frozenset((AttrType.VAR, AttrType.VARS))
_ACCEPTED = {**dict.fromkeys(_NUMBERS, _NUMBERS), **dict.fromkeys(_NUMBER_LISTS, _NUMBER_LISTS)}

# Ops of inference programs whose variables may be of other kinds than dense tensors.
_OTHER_KINDS = frozenset(
    [
        "array_to_lod_tensor",
        "assign",
        "beam_search",
        "beam_search_decode",
        "concat",
        "conditional_block",
        "conditional_block_infer",
        "delete_var",
        "feed",
        "fetch",
        "lod_array_length",
        "lod_rank_table",
        "lod_tensor_to_array",
        "max_sequence_len",
        "merge_lod_tensor",
        "merge_lod_tensor_infer",
        "py_func",
        "py_layer",
        "read",
        "read_from_array",
        "recurrent",
        "reorder_lod_tensor_by_rank",
        "run_program",
        "select_input",
        "select_output",
        "share_data",
        "shrink_rnn_memory",
        "slice",
        "split_lod_tensor",
        "sum",
        "tensor_array_to_tensor",
        "while",
        "write_to_array",
    ]
)

# Outputs that only gradients read, whatever a version of Paddle says.
_NEEDED_BY_NOBODY = frozenset({"XShape", "MedianIndex", "Out_Eids"})
# What a block reads from outside and gives; a branch may have nothing of either, whatever the registry says.
_OF_A_BLOCK = {
    "conditional_block": frozenset({"Input", "Out"}),
    "conditional_block_infer": frozenset({"Input", "Out"}),
}
# What the registry calls dispensable, and the kernel reads.
_READ_ANYWAY = {"assign": frozenset({"X"})}

# Attributes that quantize and dequantize ops and convolutions are read by: a part of these ops' types, and
# what they may hold (`fake_quantize_op.cc`, `conv_op.cc`). Of a list, each of its elements, at least one.
_RANGES = {
    "bit_length": ("quantize", 1, 16),
    "quant_bits": ("quantize", 1, 16),
    "quant_axis": ("quantize", -1, 8),
    "groups": ("conv", 1, 1 << 31),
}


@dataclass(frozen=True)
class _Spec:
    """What Paddle's registry says of an op: slots that must be filled, slots of one variable, attributes."""

    required_inputs: frozenset[str]
    required_outputs: frozenset[str]
    single: frozenset[str]
    attrs: Mapping[str, frozenset[int]]
    tensors: bool


@cache
def _specs() -> Mapping[str, _Spec]:
    """By the op's type; there is none for gradients."""
    specs: dict[str, _Spec] = {}
    for op_type, proto in OpProtoHolder.instance().op_proto_map.items():
        slots = [*proto.inputs, *proto.outputs]
        needless = _OF_A_BLOCK.get(op_type, frozenset())
        specs[op_type] = _Spec(
            frozenset(slot.name for slot in proto.inputs if not slot.dispensable) - needless
            | _READ_ANYWAY.get(op_type, frozenset()),
            frozenset(slot.name for slot in proto.outputs if not (slot.dispensable or slot.intermediate))
            - _NEEDED_BY_NOBODY
            - needless,
            frozenset(slot.name for slot in slots if not slot.duplicable),
            {attr.name: _accepted(attr.type) for attr in proto.attrs},
            op_type not in _OTHER_KINDS,
        )
    return specs


def _accepted(kind: int) -> frozenset[int]:
    return _ACCEPTED.get(kind, frozenset((kind,))) | _VARIABLES


def op_complaint(op: OpProto, kinds: Mapping[str, int]) -> str | None:
    """What is wrong with an op, as a clause; None when nothing is.

    `kinds`: the kind of each declared variable, by its name. Of an op that the registry does not have, such
    as a user's own, nothing but the names is known.
    """
    spec = _specs().get(op.type)
    return next(chain(_about_names(op, kinds), () if spec is None else _against(spec, op, kinds)), None)


def _about_names(op: OpProto, kinds: Mapping[str, int]) -> Iterator[str]:
    for slots in (op.inputs, op.outputs):
        if len({slot.parameter for slot in slots}) != len(slots):
            yield "has a slot twice"
    written = [name for slot in op.outputs for name in slot.arguments if name != EMPTY_NAME]
    for name in written:
        if name not in kinds:
            yield f"writes {name!r}, which the program does not declare"
    if len(set(written)) != len(written):
        yield f"writes {next(name for name in written if written.count(name) > 1)!r} twice"


def _against(spec: _Spec, op: OpProto, kinds: Mapping[str, int]) -> Iterator[str]:
    for slot_name in sorted(spec.required_inputs - _filled(op.inputs)):
        yield f"has no input {slot_name!r}"
    for slot_name in sorted(spec.required_outputs - _filled(op.outputs)):
        yield f"has no output {slot_name!r}"
    for slot in chain(op.inputs, op.outputs):
        yield from _about_slot(spec, slot.parameter, slot.arguments, kinds)
    for attr in op.attrs:
        accepted = spec.attrs.get(attr.name)
        if accepted is not None and attr.type not in accepted:
            yield f"has the attribute {attr.name!r} of type {AttrType.Name(attr.type)}"
        elif attr.name in _RANGES and attr.type not in _VARIABLES:
            yield from _about_value(op.type, attr)


def _about_slot(spec: _Spec, slot: str, names: Sequence[str], kinds: Mapping[str, int]) -> Iterator[str]:
    if len(names) > 1 and slot in spec.single:
        yield f"has {len(names)} variables in the slot {slot!r}, which takes one"
    if spec.tensors:
        for name in names:
            if kinds.get(name, _TENSOR) != _TENSOR:
                kind = VarTypeProto.Type.Name(kinds[name])
                yield f"has {name!r} in the slot {slot!r}, which is of kind {kind}"


def _about_value(op_type: str, attr: AttrProto) -> Iterator[str]:
    part, least, most = _RANGES[attr.name]
    if part not in op_type:
        return
    if attr.type not in (_INTEGERS | _INTEGER_LISTS):
        yield f"has the attribute {attr.name!r} of type {AttrType.Name(attr.type)}"
        return
    value = getattr(attr, PLAIN_ATTR_FIELDS[attr.type])
    values = list(value) if attr.type in _INTEGER_LISTS else [value]
    if not values or min(values) < least or max(values) > most:
        yield f"has the attribute {attr.name!r} with the value {values}"


def _filled(slots: Iterable[Any]) -> set[str]:
    return {slot.parameter for slot in slots if slot.arguments and slot.arguments[0] != EMPTY_NAME}
