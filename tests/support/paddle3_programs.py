"""Programs of Paddle 3 put together by hand, in the JSON of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from qcc.frontend.paddle3 import convert
from qcc.frontend.paddle3.read import parse
from qcc.frontend.program_file import ProgramFile
from qcc.ir.dtypes import dtype_number
from qcc.ir.program import OpProto
from qcc.ir.tensor_stream import write_tensor
from qcc.ir.text.attributes import plain_value

Json: TypeAlias = dict[str, Any]
HERE = Path("inference.json")
_CODES = {"builtin": "0", "pd_op": "1", "cf": "2", "custom_op": "3", "dist": "4"}
_DTYPES = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "int32": "i32",
    "int64": "i64",
    "bool": "bool",
}


def tensor(shape: Sequence[int], dtype: str = "float32") -> Json:
    """The type of a dense tensor."""
    return {"#": "0.t_dtensor", "D": [{"#": f"0.t_{_DTYPES[dtype]}"}, list(shape), "NCHW", [], 0]}


def attribute(value: Any) -> Json:
    """A Python value as an attribute; ("dtype", name) is a data type, ("ints", list) an array of sizes."""
    if isinstance(value, tuple):
        kind, content = value
        return {"#": {"dtype": "1.a_dtype", "ints": "1.a_intarray"}[kind], "D": content}
    if isinstance(value, list):
        return {"#": "0.a_array", "D": [attribute(item) for item in value]}
    kinds = {bool: "bool", int: "i64", float: "f64", str: "str"}
    return {"#": f"0.a_{kinds[type(value)]}", "D": value}


class Program:
    """A program that grows op by op; each op gives the numbers of its results."""

    def __init__(self, version: int = 4) -> None:
        self.version = version
        self.ops: list[Json] = []
        self._next = 1

    def parameter(self, name: str, shape: Sequence[int], dtype: str = "float32", persistable: int = 1) -> int:
        number = self._new()
        described = {"A": [0, 1, 1, name], "DA": [], "OA": [persistable, 0, 1], "QA": []}
        self.ops.append({"#": "p", **described, "O": {"%": number, "TT": tensor(shape, dtype)}})
        return number

    def feed(self, name: str, shape: Sequence[int], dtype: str = "float32") -> int:
        attrs = {"name": name, "shape": ("ints", list(shape)), "dtype": ("dtype", dtype)}
        return self.op("data", [], [tensor(shape, dtype)], attrs)[0]

    def full(self, value: float, dtype: str = "int64", shape: Sequence[int] = (1,)) -> int:
        attrs = {"shape": ("ints", list(shape)), "value": float(value), "dtype": ("dtype", dtype)}
        return self.op("full", [], [tensor(shape, dtype)], attrs)[0]

    def ints(self, values: Sequence[int]) -> int:
        attrs = {"value": list(values), "dtype": ("dtype", "int64")}
        return self.op("full_int_array", [], [tensor([len(values)], "int64")], attrs)[0]

    def fetch(self, number: int, column: int = 0) -> None:
        self.op("fetch", [number], [tensor([])], {"name": f"fetch_name_{column}", "col": column})

    def combine(self, numbers: Sequence[int], types: Sequence[Json]) -> int:
        return self.op("builtin.combine", numbers, [{"#": "0.t_vec", "D": list(types)}])[0]

    def op(
        self,
        name: str,
        operands: Sequence[int],
        results: Sequence[Json],
        attrs: Mapping[str, Any] | None = None,
        blocks: Sequence[Json] = (),
    ) -> list[int]:
        dialect, _, rest = name.rpartition(".")
        numbers = [self._new() for _ in results]
        content: Json = {
            "#": f"{_CODES[dialect or 'pd_op']}.{rest}",
            "A": [{"N": key, "AT": attribute(value)} for key, value in (attrs or {}).items()],
            "I": [{"%": number} for number in operands],
            "O": [{"%": number, "TT": kind} for number, kind in zip(numbers, results, strict=True)],
            "OA": [],
        }
        if blocks:
            content["regions"] = [{"#": f"region_{i}", "blocks": [block]} for i, block in enumerate(blocks)]
        self.ops.append(content)
        return numbers

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def content(self) -> Json:
        block = {"#": "block_0", "args": [], "ops": self.ops}
        regions = [{"#": "region_0", "blocks": [block]}]
        base = {"magic": "pir", "trainable": True, "version": self.version}
        return {"base_code": base, "program": {"regions": regions}}

    def data(self) -> bytes:
        return json.dumps(self.content()).encode()

    def converted(self, values: Mapping[str, Any] | None = None) -> ProgramFile:
        """The program of Paddle 2.6; `values` are those of parameters, for conditions."""
        return convert(parse(self.data(), HERE), HERE, lambda name: (values or {})[name])


def ops_of(file: ProgramFile, block: int = 0) -> list[OpProto]:
    return list(file.program.blocks[block].ops)


def attrs_of(op: OpProto) -> dict[str, Any]:
    return {attr.name: plain_value(attr) for attr in op.attrs}


def slots_of(slots: Any) -> dict[str, list[str]]:
    """The arguments of inputs or outputs, by slot; empty slots are left out."""
    return {slot.parameter: list(slot.arguments) for slot in slots if slot.arguments}


def save(program: Program, folder: Path, values: Mapping[str, Any], name: str = "inference") -> Path:
    """Write the program and its parameters' file as Paddle 3 does; the path of the program."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_bytes(program.data())
    with (folder / f"{name}.pdiparams").open("wb") as stream:
        for key in sorted(values):
            write_value(stream, values[key])
    return path


def write_value(stream: BinaryIO, value: np.ndarray) -> None:
    """Append a parameter's value; bits of bfloat16, which numpy has not, are held as uint16."""
    dtype = "bfloat16" if value.dtype == np.uint16 else str(value.dtype)
    write_tensor(stream, value, int(dtype_number(dtype)))
