"""Tables into FlatBuffers bytes, in the very layout that Paddle Lite's C++ code gives them.

That layout matters: the runtime's mobile reader takes for granted that every vector and string is there,
and that the last string of an `arguments` vector directly follows the vector. So children are built
immediately before their vector, in the order of the fields' ids, empty vectors and strings are written,
and a table's fields are laid down widest first, the highest id first among equals, as `flatc` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from flatbuffers import Builder

from qcc.backends.lite.schema import Slot, slots


class _Scalar(NamedTuple):
    width: int
    dtype: type
    prepend: Any


_SCALARS = {
    "bool": _Scalar(1, np.bool_, Builder.PrependBool),
    "uint8": _Scalar(1, np.uint8, Builder.PrependUint8),
    "int8": _Scalar(1, np.int8, Builder.PrependInt8),
    "int32": _Scalar(4, np.int32, Builder.PrependInt32),
    "int64": _Scalar(8, np.int64, Builder.PrependInt64),
    "float32": _Scalar(4, np.float32, Builder.PrependFloat32),
    "float64": _Scalar(8, np.float64, Builder.PrependFloat64),
}
_OFFSET = _Scalar(4, np.uint32, Builder.PrependUOffsetTRelative)


def pack(table: Any, room: int = 1024) -> memoryview:
    """The bytes of a root table; `room` is a guess of their number, which saves copies when it is right."""
    packer = _Packer(room)
    builder = packer.builder
    builder.Finish(packer.table(table))
    return memoryview(builder.Bytes)[builder.Head() :]


class _Packer:
    def __init__(self, room: int) -> None:
        self.builder = Builder(room)
        self.empty: int | None = None

    def table(self, table: Any) -> int:
        """Write a table after its children; returns its offset."""
        layout = slots(type(table))
        values: list[Any] = []
        for slot in layout:
            value = getattr(table, slot.name)
            if slot.kind.shape == "scalar":
                values.append(value if value != slot.default else None)
            elif value is None:
                values.append(None)
            else:
                values.append(self.child(slot, value))
        builder = self.builder
        builder.StartObject(len(layout))
        for prepend, index in _laying_order(type(table)):
            if values[index] is not None:
                prepend(builder, values[index])
                builder.Slot(index)
        return builder.EndObject()

    def child(self, slot: Slot, value: Any) -> int:
        shape, element = slot.kind.shape, slot.kind.element
        if shape == "string":
            # All empty values of string attributes are one object.
            return self.shared_empty() if not value and slot.name == "s" else self.builder.CreateString(value)
        if shape == "table":
            return self.table(value)
        if shape == "scalars":
            return self.scalars(element, value)
        if shape == "strings":
            return self.offsets([self.builder.CreateString(text) for text in value])
        return self.offsets([self.table(item) for item in value])

    def shared_empty(self) -> int:
        if self.empty is None:
            self.empty = self.builder.CreateString("")
        return self.empty

    def offsets(self, offsets: Sequence[int]) -> int:
        builder = self.builder
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def scalars(self, element: str, values: Any) -> int:
        builder = self.builder
        if isinstance(values, np.ndarray):
            return self.raw(values)
        scalar = _SCALARS[element]
        if len(values):
            return builder.CreateNumpyVector(np.array(values, scalar.dtype))
        builder.StartVector(scalar.width, 0, scalar.width)
        return builder.EndVector()

    def raw(self, values: np.ndarray) -> int:
        """A vector of bytes; the builder's own function for arrays copies them three times."""
        builder = self.builder
        builder.StartVector(1, values.size, 1)
        end, builder.head = builder.head, builder.head - values.size
        with memoryview(builder.Bytes) as place:
            place[builder.head : end] = values.view(np.uint8).data
        builder.vectorNumElems = values.size
        return builder.EndVector()


_orders: dict[type, list[tuple[Any, int]]] = {}


def _laying_order(table: type) -> list[tuple[Any, int]]:
    """How and in which order a table's fields are laid down: (function of the builder, id) pairs."""
    if table not in _orders:
        order = sorted(slots(table), key=lambda slot: (-_inline(slot).width, -slot.id))
        _orders[table] = [(_inline(slot).prepend, slot.id) for slot in order]
    return _orders[table]


def _inline(slot: Slot) -> _Scalar:
    """What stands in the table itself: the scalar, or the offset of what the field refers to."""
    return _SCALARS[slot.kind.element] if slot.kind.shape == "scalar" else _OFFSET
