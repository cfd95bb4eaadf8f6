"""Damaging a file's bytes, or a field of what they mean."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from qcc.backends.lite.file import parse_bytes, write_naive_buffer
from qcc.backends.lite.schema import Slot, slots
from qcc.ir.program import ProgramProto

Mutate = Callable[[bytes, random.Random], bytes]

_ODD_NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    255,
    65535,
    1 << 31,
    (1 << 31) - 1,
    -(1 << 31),
    (1 << 63) - 1,
    -(1 << 63),
)
_ODD_VALUES = (None, True, "", "x", "\x00", [], {}, [[]], 0, -1, 1e308, float("nan"), float("inf"), 1 << 70)
_MOST_DEPTH = 12


def mutate_bytes(data: bytes, source: random.Random) -> bytes:
    """One to three changes of bytes: flipped, replaced, cut out, repeated, moved, or cut off."""
    found = bytearray(data)
    for _ in range(source.randint(1, 3)):
        if not found:
            break
        at = source.randrange(len(found))
        length = min(source.choice((1, 1, 2, 4, 8, 64)), len(found) - at)
        match source.randrange(7):
            case 0:
                found[at] ^= 1 << source.randrange(8)
            case 1:
                found[at : at + length] = source.randbytes(length)
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length]
            case 4:
                other = source.randrange(len(found))
                found[at : at + length] = found[other : other + length]
            case 5:
                found[at : at + length] = source.choice((b"\x00", b"\xff", b"\x7f")) * length
            case 6:
                del found[at:]
    return bytes(found)


def mutate_program(data: bytes, source: random.Random) -> bytes:
    """One to three changes of a program's fields: numbers, names, ops, variables, slots, attributes."""
    program = ProgramProto.FromString(data)
    for _ in range(source.randint(1, 3)):
        _change_message(program, source)
    return bytes(program.SerializePartialToString())


def _change_message(top: Any, source: random.Random) -> None:
    message = top
    for _ in range(source.randint(1, _MOST_DEPTH)):
        inner = [value for field, value in message.ListFields() for value in _messages(field, value)]
        if not inner:
            break
        message = source.choice(inner)
    fields = message.ListFields()
    if not fields:
        return
    field, value = source.choice(fields)
    if isinstance(value, str | bytes | bool | int | float):
        if source.random() < 0.2:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _other(value, field, top, source))
    elif hasattr(value, "append") or hasattr(value, "add"):
        _change_list(value, field, top, source)
    else:
        message.ClearField(field.name)


def _messages(field: Any, value: Any) -> list[Any]:
    if field.message_type is None:
        return []
    return list(value) if hasattr(value, "add") else [value]


def _change_list(values: Any, field: Any, top: Any, source: random.Random) -> None:
    if not values:
        return
    at = source.randrange(len(values))
    match source.randrange(3):
        case 0:
            del values[at]
        case 1 if hasattr(values, "add"):
            values.add().CopyFrom(values[at])
        case 1:
            values.append(values[at])
        case 2 if not hasattr(values, "add"):
            values[at] = _other(values[at], field, top, source)
        case 2:
            values[at].CopyFrom(values[source.randrange(len(values))])


def _other(value: Any, field: Any, top: Any, source: random.Random) -> Any:
    if field.enum_type is not None:
        return source.choice([item.number for item in field.enum_type.values])
    if isinstance(value, str):
        names = [var.name for block in top.blocks for var in block.vars]
        return source.choice([*names, "", "nobody", "@EMPTY@", "\u202e\x1b[31m"])
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        bits = 63 if "64" in str(field.cpp_type) or field.cpp_type in (2, 4) else 31
        return max(-(1 << bits), min((1 << bits) - 1, source.choice(_ODD_NUMBERS)))
    if isinstance(value, float):
        return source.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    return source.randbytes(3)


def mutate_json(data: bytes, source: random.Random) -> bytes:
    """One to three changes of a JSON document's values, keys and lists."""
    top = json.loads(data)
    for _ in range(source.randint(1, 3)):
        holder = top
        for _ in range(source.randint(0, _MOST_DEPTH)):
            values = holder.values() if isinstance(holder, dict) else holder
            inner = [value for value in values if isinstance(value, dict | list) and value]
            if not inner:
                break
            holder = source.choice(inner)
        _change_holder(holder, source)
    return json.dumps(top).encode()


def _change_holder(holder: Any, source: random.Random) -> None:
    if not holder:
        return
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = source.choice(keys)
    match source.randrange(4):
        case 0:
            del holder[key]
        case 1:
            holder[key] = source.choice(_ODD_VALUES)
        case 2:
            holder[key] = holder[source.choice(keys)]
        case 3 if isinstance(holder, dict):
            holder[source.choice(("", "x", "id", "#"))] = holder.pop(key)
        case 3:
            holder.append(holder[key])


def mutate_naive_buffer(data: bytes, source: random.Random) -> bytes:
    """One to three changes of a Paddle Lite file's fields: numbers, names, types, what a vector holds."""
    buffer = parse_bytes(data).buffer
    for _ in range(source.randint(1, 3)):
        top: Any = buffer.program if source.random() < 0.8 else source.choice(buffer.params)
        _change_table(top, list(_strings(buffer.program)), source)
    stream = io.BytesIO()
    write_naive_buffer(buffer, stream)
    return stream.getvalue()


def _strings(table: Any) -> Iterator[str]:
    """Every text in a table."""
    for slot in slots(type(table)):
        for value in _listed(getattr(table, slot.name)):
            if isinstance(value, str):
                yield value
            elif is_dataclass(value):
                yield from _strings(value)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _change_table(top: Any, texts: Sequence[str], source: random.Random) -> None:
    table = top
    for _ in range(source.randint(1, _MOST_DEPTH)):
        inner = [
            value
            for slot in slots(type(table))
            for value in _listed(getattr(table, slot.name))
            if is_dataclass(value)
        ]
        if not inner:
            break
        table = source.choice(inner)
    slot = source.choice(slots(type(table)))
    setattr(table, slot.name, _other_field(slot, getattr(table, slot.name), texts, source))


def _other_field(slot: Slot, value: Any, texts: Sequence[str], source: random.Random) -> Any:
    match slot.kind.shape:
        case "scalar":
            return _scalar(slot.kind.element, source)
        case "string":
            return source.choice([*texts, "", "nobody", "\u202e\x1b[31m"])
        case "table":
            return value  # the runtime's own optimizer always writes them
    values = list(value)
    at = source.randrange(len(values) + 1)
    match source.randrange(3):
        case 0 if at < len(values):
            del values[at]
        case 1 if values:
            values.insert(at, source.choice(values))
        case _ if slot.kind.shape == "scalars":
            values.insert(at, _scalar(slot.kind.element, source))
        case _ if slot.kind.shape == "strings":
            values.insert(at, source.choice(texts))
    return values if isinstance(value, list | tuple) else np.array(values, slot.kind.element)


def _scalar(element: str, source: random.Random) -> Any:
    if element == "bool":
        return source.random() < 0.5
    if element.startswith("float"):
        return source.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    limits = np.iinfo(element)
    return max(limits.min, min(limits.max, source.choice(_ODD_NUMBERS)))


def mutate_text(data: bytes, source: random.Random) -> bytes:
    """One to three changes of a text's lines and words, or of its bytes."""
    if source.random() < 0.3:
        return mutate_bytes(data, source)
    lines = data.decode().split("\n")
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(lines))
        lines[at : at + 1] = _other_lines(lines[at], source.choice(lines), source)
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _other_lines(line: str, another: str, source: random.Random) -> list[str]:
    match source.randrange(6):
        case 0:
            return []
        case 1:
            return [another, line]
        case 2:
            return [line.replace(" ", source.choice(("", "\t", "  ", ":")))]
        case 3:
            words = line.split(" ")
            words[source.randrange(len(words))] = str(source.choice(_ODD_VALUES))
            return [" ".join(words)]
        case 4:
            return [source.choice(("  ", "- ", "&a ", "*a", "!x ", "<<: ", "? ")) + line]
        case _:
            return [line + source.choice(("[", "{", "'", '"', ":", "#", "]", "\x07"))]
