"""Declarations of variables as text: `float32[-1, 3, 8, 8] {stop_gradient=false}`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qcc.errors import ModelFormatError
from qcc.ir.dtypes import dtype_name, dtype_number
from qcc.ir.program import AttrType, VarProto
from qcc.ir.text.attributes import attr_value, message_text, parse_int, parse_list, parse_message, quote
from qcc.ir.text.lexer import NAME, Lexer
from qcc.ir.text.usual import Braces

_FLAGS = ("is_parameter", "need_check_feed", "persistable", "stop_gradient")
_LOD_LEVEL = "lod_level"

_VarType = type(VarProto().type)
# Kinds of variables that hold tensors, and the field of the message that describes these.
_TENSOR_FIELDS = {
    _VarType.LOD_TENSOR: "lod_tensor",
    _VarType.LOD_TENSOR_ARRAY: "tensor_array",
    _VarType.SELECTED_ROWS: "selected_rows",
}
# What a variable may be besides a dense tensor.
_KINDS = {
    name: _VarType.Type.Value(name.upper())
    for name in (
        "feed_list", "feed_minibatch", "fetch_list", "lod_rank_table", "lod_tensor_array", "place_list",
        "pstring", "raw", "reader", "selected_rows", "sparse_coo", "sparse_csr", "step_scopes", "string",
        "strings", "tuple", "vocab",
    )
}  # fmt: skip
_KIND_NAMES = {number: name for name, number in _KINDS.items()}

Fields = dict[str, int]
"""Values of the optional fields of a declaration that are set; Paddle tells false from absent."""


def is_weight(var: VarProto) -> bool:
    """True for a dense tensor whose value belongs to the model."""
    return bool(var.persistable) and var.type.type == _VarType.LOD_TENSOR


def tensor_desc(var: VarProto) -> Any:
    """The part of a declaration that holds dtype and dims; None where there is none."""
    name = _TENSOR_FIELDS.get(var.type.type)
    if name is None or not var.type.HasField(name):
        return None
    described = getattr(var.type, name)
    return described if name == "selected_rows" else described.tensor


def fields_of(var: VarProto) -> Fields:
    fields: Fields = {name: getattr(var, name) for name in _FLAGS if var.HasField(name)}
    name = _TENSOR_FIELDS.get(var.type.type)
    if name in ("lod_tensor", "tensor_array"):
        described = getattr(var.type, name)
        if described.HasField(_LOD_LEVEL):
            fields[_LOD_LEVEL] = described.lod_level
    return fields


@dataclass(frozen=True)
class UsualFields:
    """Fields that go without saying, by keyword: a text's lines `usual var` and `usual weight`."""

    by_keyword: Mapping[str, Fields] = field(
        default_factory=lambda: {"var": {}, "weight": {"persistable": 1}}
    )

    @staticmethod
    def of(variables: Iterable[VarProto]) -> UsualFields:
        """What most of these variables have in common."""
        votes: dict[str, dict[str, Counter[int | None]]] = {"var": {}, "weight": {}}
        for var in variables:
            fields = fields_of(var)
            for name in (*_FLAGS, _LOD_LEVEL):
                votes[keyword(var)].setdefault(name, Counter())[fields.get(name)] += 1
        usual = UsualFields()
        return UsualFields(
            {
                key: usual.by_keyword[key]
                | {
                    name: value
                    for name, counter in sorted(table.items())
                    if (value := counter.most_common(1)[0][0]) is not None
                }
                for key, table in votes.items()
            }
        )

    def header(self, key: str) -> Fields:
        """What the text has to say about a keyword's usual fields."""
        plain = UsualFields().by_keyword[key]
        return {name: value for name, value in self.by_keyword[key].items() if name not in plain}


def keyword(var: VarProto) -> str:
    """The word that opens a variable's line."""
    return "weight" if is_weight(var) else "var"


# ---------------------------------------------------------------------------- printing


def fields_text(said: Mapping[str, int | None]) -> str:
    """` {name=value, -absent}`, or nothing."""
    if not said:
        return ""
    return f" {{{', '.join(_field_text(name, value) for name, value in sorted(said.items()))}}}"


def _field_text(name: str, value: int | None) -> str:
    if value is None:
        return f"-{name}"
    if name == _LOD_LEVEL:
        return f"{name}={value}"
    return f"{name}={'true' if value else 'false'}"


def declaration_text(var: VarProto, usual: UsualFields) -> str:
    """A variable's line without its value."""
    fields, unsaid = fields_of(var), usual.by_keyword[keyword(var)]
    said: dict[str, int | None] = {name: None for name in unsaid if name not in fields}
    said.update({name: value for name, value in fields.items() if unsaid.get(name) != value})
    type_text = _type_text(var)
    if type_text is None:
        return f"{keyword(var)} {quote(var.name)}: {message_text(var.SerializeToString())}"
    return f"{keyword(var)} {quote(var.name)}: {type_text}{fields_text(said)}"


def _type_text(var: VarProto) -> str | None:
    """None where only the message itself tells all."""
    tensor = tensor_desc(var)
    try:
        dtype = None if tensor is None else dtype_name(tensor.data_type)
    except ModelFormatError:
        return None
    dims = () if tensor is None else tuple(tensor.dims)
    rebuilt = make_var(var.name, var.type.type, dtype, dims, fields_of(var))
    if rebuilt.SerializeToString() != var.SerializeToString():
        return None
    kind = _KIND_NAMES.get(var.type.type)
    if dtype is None:
        return kind
    tensor_text = f"{dtype}[{', '.join(map(str, dims))}]"
    return tensor_text if kind is None else f"{kind}<{tensor_text}>"


# ---------------------------------------------------------------------------- parsing


def make_var(name: str, kind: int, dtype: str | None, dims: Iterable[int], fields: Fields) -> VarProto:
    """The message of a declaration; without a dtype it says nothing about a tensor."""
    var = VarProto(name=name)
    var.type.type = kind
    tensor_field = _TENSOR_FIELDS.get(kind)
    if dtype is not None and tensor_field is not None:
        described = getattr(var.type, tensor_field)
        tensor = described if tensor_field == "selected_rows" else described.tensor
        tensor.data_type = int(dtype_number(dtype))
        tensor.dims.extend(dims)
        if _LOD_LEVEL in fields:
            described.lod_level = fields[_LOD_LEVEL]
    for flag in _FLAGS:
        if flag in fields:
            setattr(var, flag, bool(fields[flag]))
    return var


def parse_type(lexer: Lexer) -> tuple[int, str | None, list[int]]:
    """Kind, dtype and dims after the colon."""
    start = lexer.start
    word = lexer.expect_kind(NAME, "a type such as float32[8, 3]")
    kind = _KINDS.get(word)
    if kind is None:
        return _VarType.LOD_TENSOR, _dtype(lexer, word, start), parse_list(lexer, parse_int)
    if not lexer.take("<"):
        return kind, None, []
    start = lexer.start
    dtype = _dtype(lexer, lexer.expect_kind(NAME, "a type such as float32[8, 3]"), start)
    dims = parse_list(lexer, parse_int)
    lexer.expect(">")
    return kind, dtype, dims


def _dtype(lexer: Lexer, word: str, start: int) -> str:
    try:
        dtype_number(word)
    except ModelFormatError as error:
        raise lexer.wrong(str(error).removesuffix("."), start) from None
    return word


def fields_from(braces: Braces, usual: Fields, lexer: Lexer, start: int) -> Fields:
    """A variable's fields: the usual ones, changed by what stands in its braces."""
    fields = dict(usual)
    for name in braces.absent:
        fields.pop(name, None)
    for attr in braces.attrs:
        kind = AttrType.INT if attr.name == _LOD_LEVEL else AttrType.BOOLEAN
        if attr.name not in (*_FLAGS, _LOD_LEVEL) or attr.type != kind:
            known = ", ".join(f"{flag}=true" for flag in _FLAGS)
            raise lexer.wrong(
                f"a variable has no field '{attr.name}' of this type; it has {known}, lod_level=0", start
            )
        fields[attr.name] = int(attr_value(attr))
    return fields


def parse_message_var(lexer: Lexer) -> VarProto:
    var = VarProto()
    parse_message(lexer, var)
    return var
