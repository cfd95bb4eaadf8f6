"""A second opinion on `.nb` files: a reader that shares nothing with qcc's, and accounts for every byte.

    python tests/support/nb_dump.py FILE.nb

Tables are dictionaries of the fields that are present. What does not fit raises AssertionError.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

Table = dict[str, Any]

# Of each table its fields by id: "name type". A union's type stands in the field before it.
SCHEMA = {
    "ProgramDesc": ["blocks [BlockDesc]", "version Version", "op_version_map OpVersionMap"],
    "Version": ["version long"],
    "OpVersionMap": ["pair [OpVersionPair]"],
    "OpVersionPair": ["op_name string", "op_version OpVersion"],
    "OpVersion": ["version int"],
    "BlockDesc": ["idx int", "parent_idx int", "vars [VarDesc]", "ops [OpDesc]", "forward_block_idx int"],
    "VarDesc": ["name string", "type VarType", "persistable bool", "need_check_feed bool"],
    "VarType": [
        "type int",
        "selected_rows TensorDesc",
        "lod_tensor LoDTensorDesc",
        "tensor_array LoDTensorDesc",
        "reader ReaderDesc",
        "tuple Tuple",
    ],
    "TensorDesc": ["data_type int", "dims [long]"],
    "LoDTensorDesc": ["tensor TensorDesc", "lod_level int"],
    "ReaderDesc": ["lod_tensor [LoDTensorDesc]"],
    "Tuple": ["element_type [int]"],
    "OpDesc": ["type string", "inputs [Var]", "outputs [Var]", "attrs [Attr]", "is_target bool"],
    "Var": ["parameter string", "arguments [string]"],
    "Attr": [
        "name string",
        "type int",
        "i int",
        "f float",
        "s string",
        "ints [int]",
        "floats [float]",
        "strings [string]",
        "b bool",
        "bools [bool]",
        "block_idx int",
        "l long",
        "blocks_idx [int]",
        "longs [long]",
        "float64 double",
        "float64s [double]",
    ],
    "ParamDesc": ["version VersionDesc", "name string", "variable_type ubyte", "variable ParamTensor"],
    "VersionDesc": ["version int", "model_version int"],
    "ParamTensor": ["lod_level int", "lod [long]", "dim [long]", "data_type int", "data [byte]"],
}
SCALARS = {"bool": "?", "byte": "b", "ubyte": "B", "int": "i", "float": "f", "long": "q", "double": "d"}
# Bytes per element of the types that a parameter may have.
SIZES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 20: 1, 21: 1}
_LONGEST_PADDING = 7


class Reader:
    """One FlatBuffer, with a mark on each byte that something refers to."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.seen = bytearray(len(data))

    def read(self, table: str) -> Table:
        """The root. Bytes that nothing refers to must be zeros that align something."""
        root = self.table(self.take("I", 0), table)
        gaps = bytes(self.seen).split(b"\1")
        assert max(map(len, gaps)) <= _LONGEST_PADDING, "bytes that belong to nothing"
        unseen = (byte for byte, mark in zip(self.data, self.seen, strict=True) if not mark)
        assert not any(unseen), "padding that is not zero"
        return root

    def take(self, code: str, position: int, count: int = 1) -> Any:
        """One or more scalars; they must be aligned and inside."""
        size = struct.calcsize(f"<{code}")
        assert count == 0 or position % size == 0, f"{code} at {position} is not aligned"
        assert 0 <= position <= len(self.data) - size * count, f"{position} is outside"
        self.seen[position : position + size * count] = b"\1" * (size * count)
        values = struct.unpack_from(f"<{count}{code}", self.data, position)
        return values[0] if count == 1 else values

    def target(self, position: int) -> int:
        return position + int(self.take("I", position))

    def table(self, position: int, name: str) -> Table:
        vtable = position - self.take("i", position)
        length, inline = self.take("H", vtable), self.take("H", vtable + 2)
        fields = SCHEMA[name]
        assert (length - 4) // 2 <= len(fields), f"{name} has an unknown field"
        found = {}
        for index in range((length - 4) // 2):
            offset = self.take("H", vtable + 4 + 2 * index)
            field, kind = fields[index].split()
            if offset:
                assert offset < inline, f"{name}.{field} is outside of its table"
                found[field] = self.value(kind, position + offset)
        return found

    def value(self, kind: str, position: int) -> Any:
        if kind in SCALARS:
            return self.take(SCALARS[kind], position)
        place = self.target(position)
        if kind == "string":
            return self.string(place)
        if not kind.startswith("["):
            return self.table(place, kind)
        element, count = kind[1:-1], self.take("I", place)
        if element == "byte":
            self.take("b", place + 4, count)
            return self.data[place + 4 : place + 4 + count]
        if element in SCALARS:
            values = self.take(SCALARS[element], place + 4, count)
            return [values] if count == 1 else list(values)
        return [self.value(element, place + 4 + 4 * index) for index in range(count)]

    def string(self, position: int) -> str:
        length = self.take("I", position)
        self.take("b", position + 4, length + 1)
        assert self.data[position + 4 + length] == 0, "a string without its zero"
        return self.data[position + 4 : position + 4 + length].decode()


def read_nb(data: bytes) -> tuple[Table, list[Table]]:
    """Program and parameters of a file of meta version 2, every byte accounted for."""
    meta, version, size = struct.unpack_from("<H16sQ", data)
    assert meta == 2
    assert version.rstrip(b"\0").isascii()
    program = Reader(data[26 : 26 + size]).read("ProgramDesc")
    position = 26 + size
    header = struct.unpack_from("<HHHHI", data, position)
    position += 12
    params = []
    for _ in range(header[3]):
        total, offset = struct.unpack_from("<II", data, position)
        params.append(Reader(data[position + 4 + offset : position + 4 + total]).read("ParamDesc"))
        assert offset == 4
        position += 4 + total
    assert position == len(data), "bytes behind the last parameter"
    assert header[:3] == (0, 0, 6)
    assert header[4] == max((len(param["variable"]["data"]) for param in params), default=0)
    _check_sizes(params)
    return program, params


def _check_sizes(params: list[Table]) -> None:
    """The runtime copies data into a tensor of the given shape without a look at the length."""
    names = [param["name"].encode() for param in params]
    assert names == sorted(set(names)), "parameters are not sorted by name"
    for param in params:
        tensor = param["variable"]
        size = SIZES[tensor.get("data_type", 0)]
        for extent in tensor["dim"]:
            size *= extent
        assert size == len(tensor["data"]), f"{param['name']} has {len(tensor['data'])} bytes, not {size}"


def main() -> None:
    for path in sys.argv[1:]:
        program, params = read_nb(Path(path).read_bytes())
        for op in program["blocks"][0]["ops"]:
            outputs = [name for slot in op["outputs"] for name in slot["arguments"]]
            print(op["type"], [name for slot in op["inputs"] for name in slot["arguments"]], "->", outputs)
        for param in params:
            print(param["name"], param["variable"]["dim"], len(param["variable"]["data"]), "bytes")


if __name__ == "__main__":
    main()
