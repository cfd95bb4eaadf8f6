"""FlatBuffers bytes into tables, with every offset checked and every byte accounted for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

from qcc.backends.lite.schema import Slot, slots

_T = TypeVar("_T")

_FORMATS = {
    "bool": ("?", 1),
    "uint8": ("B", 1),
    "int8": ("b", 1),
    "int16": ("h", 2),
    "uint16": ("H", 2),
    "int32": ("i", 4),
    "uint32": ("I", 4),
    "int64": ("q", 8),
    "float32": ("f", 4),
    "float64": ("d", 8),
}
_LONGEST_PADDING = 7
_MOST_SHARED = 4
"""Empty strings are one object, and so are equal layouts of tables; nothing else is, so that what is read is
little more than the buffer. Where vectors hold one table many times, a kilobyte would be read as
gigabytes."""


class DamagedError(Exception):
    """The bytes are not a FlatBuffer of the schema; the message says where and why."""


class Unpacker:
    """Reads one buffer. After `root`, `findings` tells what is allowed by the format but not by the runtime.

    `complaints` are about places that Paddle Lite's mobile reader follows without a check: a required or
    forced field that is missing, keys that are not sorted, an `arguments` vector whose last string does
    not follow it.
    """

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.complaints: list[str] = []
        self._used: list[tuple[int, int]] = []
        self._left = _MOST_SHARED * len(data)
        self._vtables: set[int] = set()

    def root(self, table: type[_T]) -> _T:
        """The root table.  Raises DamagedError."""
        try:
            self._use(0, 4)
            return self._table(self._scalar("uint32", 0), table)
        except struct.error:
            raise DamagedError("an offset points outside of the buffer") from None
        except UnicodeDecodeError as error:
            raise DamagedError(f"a string is not UTF-8: {error}") from None

    def unaccounted(self) -> list[tuple[int, int]]:
        """Ranges of bytes that belong to nothing and are more than alignment's zero padding."""
        gaps = []
        position = 0
        for start, stop in [*sorted(self._used), (len(self.data), len(self.data))]:
            gap = self.data[position:start] if start > position else b""
            if len(gap) > _LONGEST_PADDING or any(gap):
                gaps.append((position, start))
            position = max(position, stop)
        return gaps

    # ------------------------------------------------------------------ reading

    def _use(self, start: int, length: int) -> None:
        if start < 0 or start + length > len(self.data):
            raise DamagedError(f"{length} bytes at {start} lie outside of the buffer")
        self._left -= length
        if self._left < 0:
            raise DamagedError(f"its {len(self.data)} bytes are used more than {_MOST_SHARED} times over")
        self._used.append((start, start + length))

    def _scalar(self, name: str, position: int) -> Any:
        code, size = _FORMATS[name]
        if position < 0 or position % size:
            raise DamagedError(f"a {name} stands at {position}, where alignment forbids it")
        return struct.unpack_from(f"<{code}", self.data, position)[0]

    def _target(self, position: int) -> int:
        """Where the offset at a position points."""
        target = position + self._scalar("uint32", position)
        if target == position:
            raise DamagedError(f"the offset at {position} points to itself")
        return target

    def _table(self, position: int, table: type[_T]) -> _T:
        vtable = position - self._scalar("int32", position)
        length, size = self._scalar("uint16", vtable), self._scalar("uint16", vtable + 2)
        if vtable not in self._vtables:
            self._vtables.add(vtable)
            self._use(vtable, length)
        self._use(position, 4)
        count = (length - 4) // 2
        layout = slots(table)
        values: dict[str, Any] = {}
        for index in range(count):
            offset = self._scalar("uint16", vtable + 4 + 2 * index)
            if not offset:
                continue
            if index >= len(layout) or offset >= size:
                raise DamagedError(f"the {table.__name__} at {position} has an unknown field {index}")
            slot = layout[index]
            width = _FORMATS[slot.kind.element][1] if slot.kind.shape == "scalar" else 4
            self._use(position + offset, width)
            values[slot.name] = self._value(slot, position + offset)
        self._complain_of_missing(table, values)
        return table(**values)

    def _value(self, slot: Slot, position: int) -> Any:
        shape, element = slot.kind.shape, slot.kind.element
        if shape == "scalar":
            return self._scalar(element, position)
        target = self._target(position)
        if shape == "string":
            return self._string(target)
        if shape == "table":
            return self._table(target, element)
        if shape == "scalars":
            return self._scalars(element, target)
        if shape == "strings":
            self._check_adjacency(slot, target)
            return self._items(target, self._string)
        items = self._items(target, lambda item: self._table(item, element))
        self._check_sorted(slot, element, items)
        return items

    def _string(self, position: int) -> str:
        length = self._scalar("uint32", position)
        self._use(position, 4 + length + 1)
        if self.data[position + 4 + length]:
            raise DamagedError(f"the string at {position} does not end in a zero")
        return bytes(self.data[position + 4 : position + 4 + length]).decode()

    def _scalars(self, element: str, position: int) -> Any:
        code, size = _FORMATS[element]
        length = self._scalar("uint32", position)
        start = position + 4
        self._use(position, 4 + length * size)
        if start % size and length:
            raise DamagedError(f"the vector at {position} is not aligned for {element}")
        if element == "int8":
            return self.data[start : start + length].cast("b")
        return struct.unpack_from(f"<{length}{code}", self.data, start)

    def _items(self, position: int, read: Callable[[int], Any]) -> tuple[Any, ...]:
        length = self._scalar("uint32", position)
        self._use(position, 4 + 4 * length)
        return tuple(read(self._target(position + 4 + 4 * index)) for index in range(length))

    # ------------------------------------------------------------------ what the mobile reader relies on

    def _complain_of_missing(self, table: type, values: dict[str, Any]) -> None:
        for slot in slots(table):
            wanted = slot.kind.required or slot.kind.shape in ("scalars", "strings", "tables")
            if wanted and slot.name not in values:
                self.complaints.append(f"{_title(table, values)} lacks {slot.name}")

    def _check_sorted(self, slot: Slot, element: type, items: tuple[Any, ...]) -> None:
        # The schema marks a key in these vectors, but only those of an op are searched by it.
        if slot.name not in ("inputs", "outputs", "attrs"):
            return
        key = next(entry.name for entry in slots(element) if entry.kind.key)
        names = [getattr(item, key).encode() for item in items]
        if any(left >= right for left, right in pairwise(names)):
            self.complaints.append(f"{slot.name} of an op are not sorted, or not unique: {names}")

    def _check_adjacency(self, slot: Slot, position: int) -> None:
        if slot.name != "arguments":
            return
        length = self._scalar("uint32", position)
        end = position + 4 + 4 * length
        if length and self._target(end - 4) != end:
            self.complaints.append(f"the last string of the arguments at {position} does not follow them")


def _title(table: type, values: dict[str, Any]) -> str:
    name = next((values[slot.name] for slot in slots(table) if slot.kind.key and slot.name in values), "")
    return f"{table.__name__} {name!r}" if name else table.__name__
