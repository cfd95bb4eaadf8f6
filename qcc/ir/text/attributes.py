"""Attribute values as text: exact, typed, and as short as that allows.

====================  =========================================================
INT, LONG             ``5``, ``5L``
FLOAT, FLOAT64        ``0.5``, ``0.5d``; the shortest digits that give the same bits; ``inf``, ``nand``
BOOLEAN, STRING       ``true``, ``"text"`` with JSON's escapes
lists of these        ``[1, 2]``, ``["a"]``; empty ones name their type: ``ints[]``
BLOCK, BLOCKS         ``block(1)``, ``blocks(1, 2)``
VAR, VARS             ``var(x)``, ``vars(x, "a name")``
SCALAR, SCALARS       ``scalar(5L)``, ``scalars(true, 0.5d, complex(0.0d, 1.0d))``
anything else         ``message("...")``: the message in base64
====================  =========================================================
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

from qcc.ir.program import PLAIN_ATTR_FIELDS, AttrProto, AttrType
from qcc.ir.text.lexer import BARE_NAME, NAME, NUMBER, STRING, Lexer

_FIELDS = PLAIN_ATTR_FIELDS | {
    AttrType.BLOCK: "block_idx",
    AttrType.BLOCKS: "blocks_idx",
    AttrType.VAR: "var_name",
    AttrType.VARS: "vars_name",
    AttrType.SCALAR: "scalar",
    AttrType.SCALARS: "scalars",
}
_LISTS = {
    AttrType.INTS: AttrType.INT,
    AttrType.FLOATS: AttrType.FLOAT,
    AttrType.STRINGS: AttrType.STRING,
    AttrType.BOOLEANS: AttrType.BOOLEAN,
    AttrType.LONGS: AttrType.LONG,
    AttrType.FLOAT64S: AttrType.FLOAT64,
}
_LIST_OF = {element: kind for kind, element in _LISTS.items()}
_LIST_NAMES = {AttrType.Name(kind).lower(): kind for kind in _LISTS}
_CALLS = {
    "block": AttrType.BLOCK,
    "blocks": AttrType.BLOCKS,
    "var": AttrType.VAR,
    "vars": AttrType.VARS,
    "scalar": AttrType.SCALAR,
    "scalars": AttrType.SCALARS,
}
_SCALAR = AttrProto().scalar
_SCALAR_TYPES = {
    _SCALAR.BOOLEAN: AttrType.BOOLEAN,
    _SCALAR.LONG: AttrType.LONG,
    _SCALAR.FLOAT64: AttrType.FLOAT64,
}
_SCALAR_FIELDS = {_SCALAR.BOOLEAN: "b", _SCALAR.LONG: "i", _SCALAR.FLOAT64: "r"}
_SCALAR_OF = {element: kind for kind, element in _SCALAR_TYPES.items()}
_BLOCK_KINDS = (AttrType.BLOCK, AttrType.BLOCKS)


class _NoTextError(Exception):
    """The value has no readable form that gives the same message."""


def make_attr(name: str, kind: int, value: Any) -> AttrProto:
    """The message of an attribute; a SCALAR's value is a message, a SCALARS' an iterable of messages."""
    attr = AttrProto(name=name, type=kind)
    field = _FIELDS[kind]
    if kind == AttrType.SCALAR:
        attr.scalar.CopyFrom(value)
    elif kind in _LISTS or kind in (AttrType.BLOCKS, AttrType.VARS, AttrType.SCALARS):
        getattr(attr, field).extend(value)
    else:
        setattr(attr, field, value)
    return attr


def attr_value(attr: AttrProto) -> Any:
    """The value that the message holds for its type."""
    return getattr(attr, _FIELDS[attr.type])


def plain_value(attr: AttrProto) -> Any:
    """The same as Python's own bool, int, float, complex, str, or a list of them."""
    value = attr_value(attr)
    if attr.type == AttrType.SCALAR:
        return _plain_scalar(value)
    if attr.type == AttrType.SCALARS:
        return [_plain_scalar(item) for item in value]
    return value if isinstance(value, bool | int | float | str | bytes) else list(value)


def _plain_scalar(scalar: Any) -> bool | int | float | complex:
    if scalar.type == scalar.COMPLEX128:
        return complex(scalar.c.r, scalar.c.i)
    return getattr(scalar, _SCALAR_FIELDS[scalar.type])


# ---------------------------------------------------------------------------- printing


def quote(name: str) -> str:
    """A name as text: bare where that reads back."""
    return name if BARE_NAME.fullmatch(name) else _string_text(name)


def value_text(attr: AttrProto) -> str:
    """The text of an attribute's value."""
    try:
        value = attr_value(attr)
        text = _text(attr.type, value)
        if make_attr(attr.name, attr.type, value).SerializeToString() == attr.SerializeToString():
            return text
    except (_NoTextError, EncodeError):  # an attribute may lack what its type wants
        pass
    return message_text(attr.SerializeToString())


def message_text(message: bytes) -> str:
    """A message without a readable form."""
    return f'message("{base64.b64encode(message).decode()}")'


def _text(kind: int, value: Any) -> str:
    if kind in _LISTS:
        element = _LISTS[kind]
        if not value:
            return f"{AttrType.Name(kind).lower()}[]"
        return f"[{', '.join(_text(element, item) for item in value)}]"
    return _PRINTERS[kind](value)


def _string_text(value: str | bytes) -> str:
    if isinstance(value, bytes):  # protobuf gives bytes where they are not UTF-8
        raise _NoTextError
    return json.dumps(value, ensure_ascii=False)


def float32_text(value: float) -> str:
    """The shortest decimal that rounds to this float32, with a point or an exponent in it."""
    return _exact(str(np.float32(value)), repr(value), value, "<f")


def float64_text(value: float) -> str:
    """The shortest decimal that rounds to this float64, without the suffix `d`."""
    return _exact(repr(value), repr(value), value, "<d")


def _exact(short: str, long: str, value: float, layout: str) -> str:
    for text in (short, long):
        if struct.pack(layout, float(text)) == struct.pack(layout, value):
            return text
    raise _NoTextError  # a NaN with a payload


def _scalar_text(scalar: Any) -> str:
    if scalar.type == scalar.COMPLEX128:
        return f"complex({float64_text(scalar.c.r)}d, {float64_text(scalar.c.i)}d)"
    return _text(_SCALAR_TYPES[scalar.type], getattr(scalar, _SCALAR_FIELDS[scalar.type]))


def _call_text(word: str, items: Iterable[str]) -> str:
    return f"{word}({', '.join(items)})"


_PRINTERS: dict[int, Callable[[Any], str]] = {
    AttrType.INT: str,
    AttrType.LONG: lambda value: f"{value}L",
    AttrType.FLOAT: float32_text,
    AttrType.FLOAT64: lambda value: f"{float64_text(value)}d",
    AttrType.BOOLEAN: lambda value: "true" if value else "false",
    AttrType.STRING: _string_text,
    AttrType.BLOCK: lambda value: f"block({value})",
    AttrType.BLOCKS: lambda value: _call_text("blocks", map(str, value)),
    AttrType.VAR: lambda value: f"var({quote(value)})",
    AttrType.VARS: lambda value: _call_text("vars", map(quote, value)),
    AttrType.SCALAR: lambda value: _call_text("scalar", [_scalar_text(value)]),
    AttrType.SCALARS: lambda value: _call_text("scalars", map(_scalar_text, value)),
}


# ---------------------------------------------------------------------------- parsing


def parse_attr(lexer: Lexer, name: str) -> AttrProto:
    """The attribute whose value stands under the cursor.  Raises TextError."""
    start = lexer.start
    if lexer.at("message"):
        attr = AttrProto()
        parse_message(lexer, attr)
        return attr
    kind, value = parse_value(lexer)
    try:
        return make_attr(name, kind, value)
    except ValueError:
        kind_name = AttrType.Name(kind)
        raise lexer.wrong(f"the value is out of the range of {kind_name}", start) from None


def parse_message(lexer: Lexer, message: Any) -> None:
    """Fill a message from `message("...")`."""
    lexer.expect("message")
    lexer.expect("(")
    start = lexer.start
    text = lexer.expect_kind(STRING, "a string of base64")
    try:
        message.ParseFromString(base64.b64decode(text[1:-1], validate=True))
    except (ValueError, DecodeError):
        raise lexer.wrong("the string is not a message in base64", start) from None
    lexer.expect(")")


def parse_name(lexer: Lexer) -> str:
    """A bare or quoted name."""
    if lexer.kind == STRING:
        return _parse_string(lexer)
    return lexer.expect_kind(NAME, "a name")


def parse_int(lexer: Lexer) -> int:
    """A whole number without a suffix."""
    start = lexer.start
    kind, value = parse_value(lexer) if lexer.kind == NUMBER else (None, 0)
    if kind != AttrType.INT or not -(2**63) <= value < 2**63:
        raise lexer.wrong("expected a whole number of at most 64 bits", start)
    return int(value)


def parse_number(lexer: Lexer) -> int | float:
    """A number of any of the four types."""
    start = lexer.start
    kind, value = parse_value(lexer)
    if kind not in (AttrType.INT, AttrType.LONG, AttrType.FLOAT, AttrType.FLOAT64):
        raise lexer.wrong("expected a number", start)
    return value


def parse_list(
    lexer: Lexer, item: Callable[[Lexer], Any], opening: str = "[", closing: str = "]"
) -> list[Any]:
    """Items between brackets, separated by commas."""
    lexer.expect(opening)
    items: list[Any] = []
    while not lexer.take(closing):
        if items and not lexer.take(","):
            raise lexer.unexpected(f"',' or '{closing}'")
        items.append(item(lexer))
    return items


def parse_value(lexer: Lexer) -> tuple[int, Any]:
    """A value and the type of attribute that it would be.  Raises TextError."""
    if lexer.kind == NUMBER:
        return _parse_number_token(lexer)
    if lexer.kind == STRING:
        return AttrType.STRING, _parse_string(lexer)
    if lexer.at("["):
        return _parse_nonempty(lexer)
    word, sign = lexer.value, 1
    if lexer.take("-"):
        word, sign = lexer.value, -1
    if word in ("inf", "nan", "infd", "nand"):
        lexer.advance()
        kind = AttrType.FLOAT64 if word.endswith("d") else AttrType.FLOAT
        return kind, sign * float(word[:3])
    if sign < 0 or lexer.kind != NAME:
        raise lexer.unexpected("a value")
    return _parse_word(lexer, word)


def _parse_word(lexer: Lexer, word: str) -> tuple[int, Any]:
    if word in ("true", "false"):
        lexer.advance()
        return AttrType.BOOLEAN, word == "true"
    if word in _LIST_NAMES:
        lexer.advance()
        lexer.expect("[")
        lexer.expect("]")
        return _LIST_NAMES[word], []
    kind = _CALLS.get(word)
    if kind is None:
        raise lexer.unexpected("a value")
    start = lexer.start
    lexer.advance()
    item = parse_int if kind in _BLOCK_KINDS else parse_name if word.startswith("var") else _parse_scalar
    items = parse_list(lexer, item, "(", ")")
    if word.endswith("s"):
        return kind, items
    if len(items) != 1:
        raise lexer.wrong(f"'{word}' takes one value, not {len(items)}", start)
    return kind, items[0]


def _parse_number_token(lexer: Lexer) -> tuple[int, int | float]:
    word, start = lexer.value, lexer.start
    lexer.advance()
    if word.endswith("L"):
        if not word[:-1].lstrip("-").isdigit():
            raise lexer.error("a whole number before L", f"'{word}'", start)
        return AttrType.LONG, int(word[:-1])
    if word.endswith("d"):
        return AttrType.FLOAT64, float(word[:-1])
    if word.lstrip("-").isdigit():
        return AttrType.INT, int(word)
    return AttrType.FLOAT, float(word)


def _parse_string(lexer: Lexer) -> str:
    start = lexer.start
    text = lexer.expect_kind(STRING, "a string")
    try:
        return str(json.loads(text))
    except json.JSONDecodeError as error:
        raise lexer.wrong(f"the string is not a JSON string ({error.msg.lower()})", start) from None


def _parse_nonempty(lexer: Lexer) -> tuple[int, list[Any]]:
    start = lexer.start
    items = parse_list(lexer, parse_value)
    if not items:
        names = ", ".join(f"{name}[]" for name in _LIST_NAMES)
        raise lexer.wrong(f"expected one of {names} for an empty list", start)
    kinds = {kind for kind, _ in items}
    kind = kinds.pop()
    if kinds or kind not in _LIST_OF:
        raise lexer.wrong("the items of this list are not all of one type", start)
    return _LIST_OF[kind], [value for _, value in items]


def _parse_scalar(lexer: Lexer) -> Any:
    scalar = type(_SCALAR)()
    start = lexer.start
    if lexer.take("complex"):
        parts = parse_list(lexer, parse_value, "(", ")")
        if [kind for kind, _ in parts] != [AttrType.FLOAT64] * 2:
            raise lexer.wrong("'complex' takes two values of the form 0.5d", start)
        scalar.type = scalar.COMPLEX128
        scalar.c.r, scalar.c.i = (value for _, value in parts)
        return scalar
    kind, value = parse_value(lexer)
    if kind not in _SCALAR_OF:
        raise lexer.wrong("a scalar is true or false, or of the form 5L or 0.5d", start)
    scalar.type = _SCALAR_OF[kind]
    setattr(scalar, _SCALAR_FIELDS[scalar.type], value)
    return scalar
